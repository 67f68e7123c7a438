// Raw IP packets as a LAN host might send them, and what must come out at the far end. Written without the data plane's
// own code: what they have in common must come from the RFCs, not from one mistake made twice.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "ledger.h"

namespace dtunnel::soak {

// splitmix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t Next();
  std::uint64_t Below(std::uint64_t bound) { return Next() % bound; }
  bool Chance(std::uint64_t in) { return Below(in) == 0; }
  void Fill(std::uint8_t* out, std::size_t size);

 private:
  std::uint64_t state_;
};

std::uint16_t Get16(const Octets& p, std::size_t at);
std::uint32_t Get32(const Octets& p, std::size_t at);
void Put16(Octets* p, std::size_t at, std::uint16_t v);
void Put32(Octets* p, std::size_t at, std::uint32_t v);

// The Internet checksum over all of a span (RFC 1071), not complemented.
std::uint32_t Sum(const std::uint8_t* data, std::size_t size);
std::uint16_t Fold(std::uint32_t sum);

// Where in `packet` the transport header begins, behind IPv4 options or IPv6 extension headers, and what it is.
struct Layout {
  bool v6 = false;
  bool fragment = false;
  std::uint8_t protocol = 0;
  std::size_t transport = 0;
};
Layout LayoutOf(const Octets& packet);

// The sum of the pseudo header for a transport part of `size` octets.
std::uint32_t PseudoSum(const Octets& packet, std::uint8_t protocol, std::size_t size);
// Writes lengths and IPv4's header checksum; then TCP's or UDP's.
void FinishIp(Octets* packet);
void FinishTransport(Octets* packet);

// What PACKET_VNET_HDR says of a packet beside its octets.
struct Gso {
  bool partial = false;      // the checksum is still to be completed
  std::uint16_t segment = 0;  // payload octets per segment; 0: one packet
};
// The packets that a network card would send for `super`, as the specifications have it.
std::vector<Octets> Segment(const Octets& super, const Gso& gso);

// The packet as it may be compared: `hops` are taken off the hop limit; the IPv4 header checksum, once found right, and
// the identification of atomic packets (RFC 6864 §4.1) are zeroed. Empty when a header checksum is wrong.
Octets Comparable(const Octets& packet, std::uint8_t hops);
// `packet` (comparable) with its ECN mark taken back, both ways it can have been; empty when it carries none.
std::vector<Octets> Unmarked(const Octets& packet);

// `packet` (comparable) as it leaves a tunnel whose outer packets arrived with `outer` in their ECN field (RFC 6040 §4.2);
// empty: it must be dropped.
Octets Decapsulated(const Octets& packet, int outer);

// Addresses, protocol and ports, or what stands for ports: packets with the same text must keep their order.
std::string FlowOf(const Octets& packet);

}  // namespace dtunnel::soak
