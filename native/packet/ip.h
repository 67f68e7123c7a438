// Inner IP packets: what the data plane must know of them, parsed once.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace dtunnel {

inline constexpr std::uint8_t kProtocolIcmp = 1;
inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kProtocolIcmpv6 = 58;

inline constexpr std::uint8_t kTcpFin = 0x01;
inline constexpr std::uint8_t kTcpSyn = 0x02;
inline constexpr std::uint8_t kTcpRst = 0x04;
inline constexpr std::uint8_t kTcpPsh = 0x08;
inline constexpr std::uint8_t kTcpAck = 0x10;
inline constexpr std::uint8_t kTcpUrg = 0x20;
inline constexpr std::uint8_t kTcpEce = 0x40;
inline constexpr std::uint8_t kTcpCwr = 0x80;

// A packet whose IP header is whole and whose length field says exactly how long it is.
struct IpPacket {
  std::uint8_t version = 0;         // 4 or 6
  std::uint8_t protocol = 0;        // of what follows the IP header (IPv6: the first next header)
  std::uint8_t traffic_class = 0;   // DSCP and ECN
  bool fragment = false;            // IPv4: offset or more-fragments; IPv6: next header 44
  bool first_fragment = true;       // false: offset is not zero
  bool dont_fragment = false;       // IPv4 DF; always true for IPv6
  std::uint16_t header_size = 0;    // IP header only
  const std::uint8_t* source = nullptr;
  const std::uint8_t* destination = nullptr;

  std::size_t address_size() const { return version == 4 ? 4 : 16; }
};

// Parses `packet`. nullopt: neither IPv4 nor IPv6, cut short, or its length field disagrees (RFC 791 §3.1, RFC 8200 §3).
// A super packet (`super`) may state another length, since the kernel fills it in per segment.
std::optional<IpPacket> ParseIp(Bytes packet, bool super);

// The offset of the transport header when it is TCP or UDP directly behind the IP header and whole in `packet`.
// TCP's options are included in `*size`.
struct Transport {
  std::uint8_t protocol = 0;
  std::uint16_t at = 0;
  std::uint16_t size = 0;
};
std::optional<Transport> ParseTransport(Bytes packet, const IpPacket& ip);

// Explicit congestion notification (RFC 3168 §5) in the traffic class.
inline constexpr std::uint8_t kEcnMask = 3;
inline constexpr std::uint8_t kEcnNone = 0;
inline constexpr std::uint8_t kEcnCapable1 = 1;
inline constexpr std::uint8_t kEcnCapable0 = 2;
inline constexpr std::uint8_t kEcnMarked = 3;

// Writes the traffic class of `packet`, adjusting IPv4's header checksum.
void SetTrafficClass(std::uint8_t* packet, std::uint8_t traffic_class);

// Applies the outer mark to an inner packet on leaving the tunnel (RFC 6040 §4.2, normal mode). False: it must be dropped.
bool DecapsulateEcn(std::uint8_t* packet, std::uint8_t outer_ecn);

// Lowers the MSS option of a TCP SYN so that its segments fit in IP packets of `max_packet` octets. `partial`: the TCP
// checksum is still to be completed by whoever segments. True when it was lowered.
bool ClampMss(MutableBytes packet, const IpPacket& ip, std::size_t max_packet, bool partial);

}  // namespace dtunnel
