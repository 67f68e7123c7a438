#include "packet/split.h"

#include <algorithm>
#include <cstring>

#include "packet/checksum.h"

namespace dtunnel {

std::optional<Splitter> Splitter::Create(MutableBytes packet, const VnetHdr& hdr) {
  const std::optional<IpPacket> ip = ParseIp(packet, true);
  if (!ip) return std::nullopt;
  Splitter s;
  s.v6_ = ip->version == 6;
  s.tcp_ = hdr.gso_type != kGsoUdp;
  if (s.tcp_ && hdr.gso_type != (s.v6_ ? kGsoTcp6 : kGsoTcp4)) return std::nullopt;
  // Every super packet has its checksum left to the device, so checksum_start is the transport header.
  s.transport_at_ = hdr.checksum_start;
  if ((hdr.flags & kVnetNeedsChecksum) == 0 || s.transport_at_ < ip->header_size) return std::nullopt;
  const std::size_t fixed = s.tcp_ ? 20 : 8;
  if (packet.size() < s.transport_at_ + fixed) return std::nullopt;
  const std::size_t transport =
      s.tcp_ ? static_cast<std::size_t>(packet[s.transport_at_ + 12] >> 4) * 4 : fixed;
  s.headers_ = s.transport_at_ + transport;
  if (transport < fixed || s.headers_ > kMaxHeaders || packet.size() <= s.headers_ || hdr.gso_size == 0) {
    return std::nullopt;
  }
  s.packet_ = packet.data();
  s.gso_size_ = hdr.gso_size;
  s.payload_size_ = packet.size() - s.headers_;
  s.count_ = (s.payload_size_ + s.gso_size_ - 1) / s.gso_size_;

  std::uint8_t* t = s.headers_template_.data();
  std::memcpy(t, packet.data(), s.headers_);
  std::memset(t + s.transport_at_ + (s.tcp_ ? 16 : 6), 0, 2);
  if (s.tcp_) {
    s.first_sequence_ = Load32(t + s.transport_at_ + 4);
    s.tcp_flags_ = t[s.transport_at_ + 13];
  }
  if (!s.v6_) {
    s.first_id_ = Load16(t + 4);
    std::memset(t + 2, 0, 4);   // length and identification: per segment
    std::memset(t + 10, 0, 2);  // checksum
    s.ip_sum_ = AddChecksum(t, ip->header_size, 0);
  }
  s.pseudo_sum_ = PseudoHeaderSum(packet.data(), s.tcp_ ? kProtocolTcp : kProtocolUdp, 0);
  return s;
}

MutableBytes Splitter::Next() {
  if (index_ == count_) return {};
  const std::size_t offset = index_ * gso_size_;
  const std::size_t payload = std::min(gso_size_, payload_size_ - offset);
  std::uint8_t* at = packet_ + offset;  // headers end where the payload begins
  WriteHeaders(at, payload, index_ + 1 == count_);
  ++index_;
  return MutableBytes(at, headers_ + payload);
}

void Splitter::WriteHeaders(std::uint8_t* at, std::size_t payload, bool last) {
  std::memcpy(at, headers_template_.data(), headers_);
  const std::size_t transport_size = headers_ - transport_at_ + payload;
  if (v6_) {
    Store16(at + 4, static_cast<std::uint16_t>(headers_ + payload - 40));
  } else {
    const auto length = static_cast<std::uint16_t>(headers_ + payload);
    const auto id = static_cast<std::uint16_t>(first_id_ + index_);
    Store16(at + 2, length);
    Store16(at + 4, id);
    StoreChecksum(ip_sum_ + ChecksumOf16(length) + ChecksumOf16(id), at + 10);
  }
  std::uint8_t* transport = at + transport_at_;
  std::uint8_t* checksum = transport + (tcp_ ? 16 : 6);
  if (tcp_) {
    Store32(transport + 4, first_sequence_ + static_cast<std::uint32_t>(index_ * gso_size_));
    std::uint8_t flags = tcp_flags_;
    // What a network card does (and RFC 3168 §6.1.2): the end of data marks the last, CWR the first segment.
    if (!last) flags &= static_cast<std::uint8_t>(~(kTcpFin | kTcpPsh));
    if (index_ != 0) flags &= static_cast<std::uint8_t>(~kTcpCwr);
    transport[13] = flags;
  } else {
    Store16(transport + 4, static_cast<std::uint16_t>(transport_size));
  }
  const std::uint64_t sum = pseudo_sum_ + ChecksumOf16(static_cast<std::uint16_t>(transport_size));
  StoreChecksum(AddChecksum(transport, transport_size, sum), checksum);
  // RFC 768: a computed checksum of zero is sent as ones, since zero means "none".
  if (!tcp_ && checksum[0] == 0 && checksum[1] == 0) std::memset(checksum, 0xff, 2);
}

bool CompleteChecksum(MutableBytes packet, const VnetHdr& hdr) {
  const std::size_t field = std::size_t{hdr.checksum_start} + hdr.checksum_offset;
  if (field + 2 > packet.size()) return false;
  // The field holds the pseudo header's sum already.
  StoreChecksum(AddChecksum(&packet[hdr.checksum_start], packet.size() - hdr.checksum_start, 0), &packet[field]);
  // RFC 768: offset 6 is UDP's checksum, where zero would mean "none".
  if (hdr.checksum_offset == 6 && packet[field] == 0 && packet[field + 1] == 0) std::memset(&packet[field], 0xff, 2);
  return true;
}

}  // namespace dtunnel
