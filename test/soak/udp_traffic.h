// UDP from one host's socket to the other's, through both kernels' own stacks: segmentation offload, fragments,
// datagrams without checksum, marks.
#pragma once

#include "hosts.h"
#include "ledger.h"

namespace dtunnel::soak {

// What one sender does.
struct UdpStyle {
  int family = 0;
  bool segment = false;      // UDP_SEGMENT on the sender, UDP_GRO on the receiver
  bool no_checksum = false;  // SO_NO_CHECK; IPv4
  bool fragments = false;    // no DF, and datagrams up to 9,000 octets among the others
};
inline constexpr std::size_t kUdpStyles = 6;
UdpStyle StyleOf(std::size_t index);

// One flow, one thread: bursts, each awaited. Sockets are opened in the constructor, which changes namespaces.
class UdpTraffic {
 public:
  UdpTraffic(const Host& from, const Host& to, const Plan& plan, UdpStyle style, std::uint16_t port, std::uint64_t seed);
  Verdict Run();

 private:
  void Send(const Octets& data, std::uint16_t segment, std::uint8_t traffic_class);
  std::size_t Receive(Ledger* ledger);

  const Plan plan_;
  const UdpStyle style_;
  const std::uint64_t seed_;
  sockaddr_storage remote_;
  int sender_ = -1;
  int receiver_ = -1;
};

}  // namespace dtunnel::soak
