// struct virtio_net_hdr, which the TUN device puts before every packet (virtio 1.2 §5.1.6, tun driver: IFF_VNET_HDR).
// Fields are in the machine's byte order, as the legacy interface has it.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace dtunnel {

inline constexpr std::size_t kVnetHdrSize = 10;

inline constexpr std::uint8_t kVnetNeedsChecksum = 1;  // VIRTIO_NET_HDR_F_NEEDS_CSUM

inline constexpr std::uint8_t kGsoNone = 0;
inline constexpr std::uint8_t kGsoTcp4 = 1;
inline constexpr std::uint8_t kGsoTcp6 = 4;
inline constexpr std::uint8_t kGsoUdp = 5;        // VIRTIO_NET_HDR_GSO_UDP_L4, Linux 6.2
inline constexpr std::uint8_t kGsoEcnBit = 0x80;  // marks CWR on the first segment; carried in the flags anyway

struct VnetHdr {
  std::uint8_t flags = 0;
  std::uint8_t gso_type = kGsoNone;  // without the ECN bit
  std::uint16_t header_size = 0;     // a hint only, wrong for forwarded packets
  std::uint16_t gso_size = 0;
  std::uint16_t checksum_start = 0;
  std::uint16_t checksum_offset = 0;
};

inline VnetHdr DecodeVnetHdr(const std::uint8_t* in) {
  VnetHdr h;
  h.flags = in[0];
  h.gso_type = static_cast<std::uint8_t>(in[1] & ~kGsoEcnBit);
  std::memcpy(&h.header_size, in + 2, 2);
  std::memcpy(&h.gso_size, in + 4, 2);
  std::memcpy(&h.checksum_start, in + 6, 2);
  std::memcpy(&h.checksum_offset, in + 8, 2);
  return h;
}

inline void EncodeVnetHdr(const VnetHdr& h, std::uint8_t* out) {
  out[0] = h.flags;
  out[1] = h.gso_type;
  std::memcpy(out + 2, &h.header_size, 2);
  std::memcpy(out + 4, &h.gso_size, 2);
  std::memcpy(out + 6, &h.checksum_start, 2);
  std::memcpy(out + 8, &h.checksum_offset, 2);
}

}  // namespace dtunnel
