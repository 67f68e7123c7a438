// PacketMaker: bursts of raw packets that stress joining and cutting: runs that belong together, things that look as if
// they did, and everything else that IP carries.
#pragma once

#include <vector>

#include "hosts.h"
#include "packets.h"

namespace dtunnel::soak {

// One packet to hand to the kernel; a super packet when `gso` says so.
struct Item {
  Octets packet;
  Gso gso;
  const char* kind = "";
};

class PacketMaker {
 public:
  PacketMaker(const Host& from, const Host& to, const Plan& plan, std::uint64_t seed);

  // Some dozens of packets of one flow or of several mixed.
  std::vector<Item> Burst();

 private:
  struct Flow {
    bool v6 = false;
    bool tcp = false;
    std::uint8_t pair = 1;
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    std::uint32_t sequence = 0;
    std::uint32_t acknowledgment = 0;
    std::uint16_t window = 1000;
    std::uint16_t id = 0;
    std::uint16_t fragment_field = 0x4000;
    std::uint8_t traffic_class = 0;
    std::uint8_t hop_limit = 64;
    std::uint32_t label = 0;
    Octets options;  // of TCP
  };

  std::vector<Item> FlowBurst();
  std::vector<Item> TcpRun(Flow* flow);
  std::vector<Item> UdpRun(Flow* flow);
  std::vector<Item> Super(Flow* flow);
  std::vector<Item> Oddity(Flow* flow);
  std::vector<Item> Fragments(Flow* flow);
  void Perturb(Flow* flow);

  // A packet's IP header for `flow`, with `options` (IPv4 options or IPv6 extension headers) and nothing behind it.
  Octets Ip(Flow* flow, std::uint8_t protocol, const Octets& options = {});
  Octets Tcp(Flow* flow, std::uint8_t flags, std::size_t payload, const Octets& ip_options = {});
  Octets Udp(Flow* flow, std::size_t payload, const Octets& ip_options = {});
  void Append(Octets* packet, std::size_t random);
  std::size_t Room(const Flow& flow) const;  // payload behind TCP's or UDP's header

  const Host from_;
  const Host to_;
  const Plan plan_;
  Random random_;
  std::vector<Flow> flows_;
};

}  // namespace dtunnel::soak
