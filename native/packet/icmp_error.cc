#include "packet/icmp_error.h"

#include <algorithm>
#include <cstring>

#include "packet/checksum.h"

namespace dtunnel {
namespace {

constexpr std::size_t kV4Total = 576;  // RFC 1812 §4.3.2.3: as much as fits without exceeding 576 octets
constexpr std::uint8_t kHopLimit = 64;

bool IsIcmpError(Bytes packet, const IpPacket& ip) {
  if (packet.size() <= ip.header_size) return false;
  const std::uint8_t type = packet[ip.header_size];
  if (ip.version == 6) return ip.protocol == kProtocolIcmpv6 && type < 128;
  // Echo, timestamp and the like are queries; what remains of types 3 … 12 are errors (RFC 792).
  return ip.protocol == kProtocolIcmp && (type == 3 || type == 4 || type == 5 || type == 11 || type == 12);
}

bool IsUnicast(const std::uint8_t* address, const IpPacket& ip) {
  if (ip.version == 6) {
    static constexpr std::array<std::uint8_t, 16> kUnspecified{};
    return address[0] != 0xff && std::memcmp(address, kUnspecified.data(), 16) != 0;
  }
  return address[0] != 0 && address[0] < 224;  // RFC 1122 §3.2.1.3: not "this host", group, reserved or broadcast
}

std::size_t WriteV4(Bytes packet, const IpPacket& ip, std::size_t mtu, std::uint8_t* out) {
  const std::size_t quoted = std::min(packet.size(), kV4Total - 28);
  const std::size_t total = 28 + quoted;
  std::memset(out, 0, 28);
  out[0] = 0x45;
  Store16(out + 2, static_cast<std::uint16_t>(total));
  out[8] = kHopLimit;
  out[9] = kProtocolIcmp;
  std::memcpy(out + 12, ip.destination, 4);
  std::memcpy(out + 16, ip.source, 4);
  RefreshIpv4Checksum(out);
  out[20] = 3;  // destination unreachable
  out[21] = 4;  // fragmentation needed and DF set
  Store16(out + 26, static_cast<std::uint16_t>(mtu));
  std::memcpy(out + 28, packet.data(), quoted);
  StoreChecksum(AddChecksum(out + 20, total - 20, 0), out + 22);
  return total;
}

std::size_t WriteV6(Bytes packet, const IpPacket& ip, std::size_t mtu, std::uint8_t* out) {
  const std::size_t quoted = std::min(packet.size(), kMaxIcmpError - 48);
  const std::size_t total = 48 + quoted;
  std::memset(out, 0, 48);
  out[0] = 0x60;
  Store16(out + 4, static_cast<std::uint16_t>(total - 40));
  out[6] = kProtocolIcmpv6;
  out[7] = kHopLimit;
  std::memcpy(out + 8, ip.destination, 16);
  std::memcpy(out + 24, ip.source, 16);
  out[40] = 2;  // packet too big
  Store32(out + 44, static_cast<std::uint32_t>(mtu));
  std::memcpy(out + 48, packet.data(), quoted);
  const auto message = static_cast<std::uint32_t>(total - 40);
  StoreChecksum(AddChecksum(out + 40, message, PseudoHeaderSum(out, kProtocolIcmpv6, message)), out + 42);
  return total;
}

}  // namespace

std::size_t WritePacketTooBig(Bytes packet, const IpPacket& ip, std::size_t mtu,
                              std::array<std::uint8_t, kMaxIcmpError>* out) {
  if (!ip.first_fragment || IsIcmpError(packet, ip)) return 0;
  if (!IsUnicast(ip.source, ip) || !IsUnicast(ip.destination, ip)) return 0;
  return ip.version == 6 ? WriteV6(packet, ip, mtu, out->data()) : WriteV4(packet, ip, mtu, out->data());
}

}  // namespace dtunnel
