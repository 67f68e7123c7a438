// Splitter: cuts a super packet from the TUN device (TSO, USO) into the packets it stands for, without copying payload.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "packet/ip.h"
#include "packet/vnet_hdr.h"

namespace dtunnel {

// Segments are yielded front to back. The headers of segment i are written into the octets right before its payload,
// which belong to segment i − 1: a segment is therefore gone once Next is called again. The octet right behind a
// segment is the next one's payload and must be put back by whoever borrows it.
class Splitter {
 public:
  // nullopt when the header does not describe the packet. Do not trust `header_size` of `hdr`: forwarded packets carry
  // a wrong one.
  static std::optional<Splitter> Create(MutableBytes packet, const VnetHdr& hdr);

  std::size_t count() const { return count_; }
  // Octets of every segment but the last.
  std::size_t segment_size() const { return headers_ + gso_size_; }

  // The next segment, complete with lengths and checksums; empty at the end.
  MutableBytes Next();

 private:
  Splitter() = default;
  void WriteHeaders(std::uint8_t* at, std::size_t payload, bool last);

  // IPv4 with options and TCP with options need 120; IPv6 extension headers may need more.
  static constexpr std::size_t kMaxHeaders = 256;

  std::uint8_t* packet_ = nullptr;
  std::size_t payload_size_ = 0;
  std::size_t headers_ = 0;
  std::size_t transport_at_ = 0;
  std::size_t gso_size_ = 0;
  std::size_t count_ = 0;
  std::size_t index_ = 0;
  bool v6_ = false;
  bool tcp_ = false;
  std::uint16_t first_id_ = 0;
  std::uint32_t first_sequence_ = 0;
  std::uint8_t tcp_flags_ = 0;
  std::uint64_t ip_sum_ = 0;
  std::uint64_t pseudo_sum_ = 0;
  std::array<std::uint8_t, kMaxHeaders> headers_template_;
};

// Completes the transport checksum of an ordinary packet that the kernel left to the device. False: `hdr` points
// outside the packet.
bool CompleteChecksum(MutableBytes packet, const VnetHdr& hdr);

}  // namespace dtunnel
