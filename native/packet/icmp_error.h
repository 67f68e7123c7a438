// "Packet too big" for inner hosts (RFC 1191 §4, RFC 4443 §3.2).
#pragma once

#include <array>

#include "base/bytes.h"
#include "packet/ip.h"

namespace dtunnel {

inline constexpr std::size_t kMaxIcmpError = 1280;

// Writes the ICMP message that tells the source of `packet` to send at most `mtu` octets; returns its size, 0 when none
// may be sent: about ICMP errors, later fragments, and packets to or from groups (RFC 1122 §3.2.2, RFC 4443 §2.4 (e)).
//
// It comes from the packet's own destination: that address is reached through this device, so it passes the host's
// reverse-path filter, whereas an address of the host itself as a source would be dropped as martian.
std::size_t WritePacketTooBig(Bytes packet, const IpPacket& ip, std::size_t mtu,
                              std::array<std::uint8_t, kMaxIcmpError>* out);

}  // namespace dtunnel
