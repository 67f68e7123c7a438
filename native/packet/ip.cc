#include "packet/ip.h"

#include "packet/checksum.h"

namespace dtunnel {
namespace {

constexpr std::uint8_t kNextHeaderFragment = 44;
constexpr std::size_t kMssOptionSize = 4;

std::optional<IpPacket> ParseV4(Bytes p, bool super) {
  if (p.size() < 20) return std::nullopt;
  IpPacket ip;
  ip.version = 4;
  ip.header_size = static_cast<std::uint16_t>((p[0] & 15) * 4);
  if (ip.header_size < 20 || ip.header_size > p.size()) return std::nullopt;
  if (!super && Load16(&p[2]) != p.size()) return std::nullopt;
  const std::uint16_t fragment = Load16(&p[6]);
  ip.dont_fragment = (fragment & 0x4000) != 0;
  ip.fragment = (fragment & 0x3fff) != 0;
  ip.first_fragment = (fragment & 0x1fff) == 0;
  ip.protocol = p[9];
  ip.traffic_class = p[1];
  ip.source = &p[12];
  ip.destination = &p[16];
  return ip;
}

std::optional<IpPacket> ParseV6(Bytes p, bool super) {
  if (p.size() < 40) return std::nullopt;
  if (!super && Load16(&p[4]) + std::size_t{40} != p.size()) return std::nullopt;
  IpPacket ip;
  ip.version = 6;
  ip.header_size = 40;
  ip.protocol = p[6];
  ip.traffic_class = static_cast<std::uint8_t>((p[0] & 15) << 4 | p[1] >> 4);
  ip.dont_fragment = true;
  ip.fragment = ip.protocol == kNextHeaderFragment;
  if (ip.fragment && p.size() >= 44) ip.first_fragment = (Load16(&p[42]) & 0xfff8) == 0;
  ip.source = &p[8];
  ip.destination = &p[24];
  return ip;
}

// The offset of the MSS option in the TCP header, or 0 (RFC 9293 §3.1: options end at kind 0; kind 1 is one octet).
std::size_t FindMssOption(Bytes tcp, std::size_t header_size) {
  std::size_t at = 20;
  while (at + 1 < header_size) {
    const std::uint8_t kind = tcp[at];
    if (kind == 0) return 0;
    if (kind == 1) {
      ++at;
      continue;
    }
    const std::uint8_t size = tcp[at + 1];
    if (size < 2 || at + size > header_size) return 0;
    if (kind == 2) return size == kMssOptionSize ? at : 0;
    at += size;
  }
  return 0;
}

}  // namespace

std::optional<IpPacket> ParseIp(Bytes packet, bool super) {
  if (packet.empty()) return std::nullopt;
  if (packet[0] >> 4 == 4) return ParseV4(packet, super);
  if (packet[0] >> 4 == 6) return ParseV6(packet, super);
  return std::nullopt;
}

std::optional<Transport> ParseTransport(Bytes packet, const IpPacket& ip) {
  if (ip.fragment) return std::nullopt;
  const std::size_t left = packet.size() - ip.header_size;
  Transport t;
  t.protocol = ip.protocol;
  t.at = ip.header_size;
  if (ip.protocol == kProtocolUdp && left >= 8) {
    t.size = 8;
    return t;
  }
  if (ip.protocol == kProtocolTcp && left >= 20) {
    t.size = static_cast<std::uint16_t>((packet[t.at + 12u] >> 4) * 4);
    if (t.size >= 20 && t.size <= left) return t;
  }
  return std::nullopt;
}

void SetTrafficClass(std::uint8_t* packet, std::uint8_t traffic_class) {
  if (packet[0] >> 4 == 4) {
    const std::uint16_t before = Load16(packet);
    packet[1] = traffic_class;
    AdjustChecksum(packet + 10, before, Load16(packet));
    return;
  }
  packet[0] = static_cast<std::uint8_t>((packet[0] & 0xf0) | traffic_class >> 4);
  packet[1] = static_cast<std::uint8_t>((packet[1] & 0x0f) | (traffic_class & 15) << 4);
}

bool DecapsulateEcn(std::uint8_t* packet, std::uint8_t outer_ecn) {
  const bool v4 = packet[0] >> 4 == 4;
  const auto traffic_class =
      v4 ? packet[1] : static_cast<std::uint8_t>((packet[0] & 15) << 4 | packet[1] >> 4);
  const std::uint8_t inner_ecn = traffic_class & kEcnMask;
  if (inner_ecn == kEcnNone) return outer_ecn != kEcnMarked;
  const bool mark = outer_ecn == kEcnMarked;
  const bool lower = outer_ecn == kEcnCapable1 && inner_ecn == kEcnCapable0;
  if ((mark && inner_ecn != kEcnMarked) || lower) {
    SetTrafficClass(packet, static_cast<std::uint8_t>((traffic_class & ~kEcnMask) | outer_ecn));
  }
  return true;
}

bool ClampMss(MutableBytes packet, const IpPacket& ip, std::size_t max_packet, bool partial) {
  if (ip.protocol != kProtocolTcp) return false;
  const std::optional<Transport> tcp = ParseTransport(packet, ip);
  if (!tcp || (packet[tcp->at + 13u] & (kTcpSyn | kTcpRst)) != kTcpSyn) return false;
  const std::size_t headers = std::size_t{ip.header_size} + 20;
  if (max_packet <= headers) return false;
  const std::size_t option = FindMssOption(packet.subspan(tcp->at), tcp->size);
  if (option == 0) return false;
  std::uint8_t* field = &packet[tcp->at + option + 2];
  const std::size_t limit = max_packet - headers;
  const std::uint16_t before = Load16(field);
  if (before <= limit) return false;
  const auto after = static_cast<std::uint16_t>(limit);
  Store16(field, after);
  if (!partial) {
    // An option may begin at an odd offset: then its value's octets lie in two words of the sum, swapped.
    const bool odd = option % 2 != 0;
    const auto swap = [odd](std::uint16_t v) { return odd ? static_cast<std::uint16_t>(v << 8 | v >> 8) : v; };
    AdjustChecksum(&packet[tcp->at + 16u], swap(before), swap(after));
  }
  return true;
}

}  // namespace dtunnel
