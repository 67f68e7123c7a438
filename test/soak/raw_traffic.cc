#include "raw_traffic.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "packet_maker.h"

namespace dtunnel::soak {
namespace {

// struct virtio_net_hdr (virtio 1.2 §5.1.6); the kernel's own header is not C++.
struct VirtioHeader {
  std::uint8_t flags = 0;
  std::uint8_t gso_type = 0;
  std::uint16_t header_size = 0;
  std::uint16_t gso_size = 0;
  std::uint16_t checksum_start = 0;
  std::uint16_t checksum_offset = 0;
};
constexpr std::size_t kVnet = 10;
static_assert(sizeof(VirtioHeader) == kVnet);
constexpr std::uint8_t kNeedsChecksum = 1;
constexpr std::uint8_t kGsoTcp4 = 1, kGsoTcp6 = 4, kGsoUdp = 5, kGsoEcn = 0x80;
constexpr std::size_t kEthernet = ETH_HLEN;
constexpr std::uint8_t kHops = 2;  // both gateways forward
constexpr int kBuffer = 64 << 20;

int OpenTap(const Host& host, int protocol) {
  host.Enter();
  const int fd = Open(AF_PACKET, SOCK_RAW, 0);
  Option(fd, SOL_PACKET, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
  Option(fd, SOL_SOCKET, SO_RCVBUFFORCE, kBuffer, "SO_RCVBUFFORCE");
  sockaddr_ll where{};
  where.sll_family = AF_PACKET;
  where.sll_protocol = htons(static_cast<std::uint16_t>(protocol));
  where.sll_ifindex = static_cast<int>(::if_nametoindex(host.device.c_str()));
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0) Fail("bind to " + host.device);
  return fd;
}

Octets Frame(const Item& item, const Host& from) {
  Octets frame(kVnet + kEthernet);
  const Layout layout = LayoutOf(item.packet);
  const bool tcp = layout.protocol == 6;
  VirtioHeader hdr;
  if (item.gso.partial) {
    hdr.flags = kNeedsChecksum;
    hdr.checksum_start = static_cast<std::uint16_t>(kEthernet + layout.transport);
    hdr.checksum_offset = tcp ? 16 : 6;
  }
  if (item.gso.segment != 0) {
    const std::size_t header = tcp ? static_cast<std::size_t>(item.packet[layout.transport + 12] >> 4) * 4 : 8;
    hdr.gso_type = !tcp ? kGsoUdp : layout.v6 ? kGsoTcp6 : kGsoTcp4;
    if (tcp && (item.packet[layout.transport + 13] & 0x80) != 0) hdr.gso_type |= kGsoEcn;
    hdr.gso_size = item.gso.segment;
    hdr.header_size = static_cast<std::uint16_t>(kEthernet + layout.transport + header);
  }
  std::memcpy(frame.data(), &hdr, kVnet);
  std::copy(from.gateway.begin(), from.gateway.end(), frame.begin() + kVnet);
  std::copy(from.own.begin(), from.own.end(), frame.begin() + kVnet + ETH_ALEN);
  Put16(&frame, kVnet + 12, layout.v6 ? 0x86dd : 0x0800);
  frame.insert(frame.end(), item.packet.begin(), item.packet.end());
  return frame;
}

// Whether the packet is addressed to the part of the network that is for raw packets.
bool IsOurs(const Octets& packet, const Host& to) {
  if (packet.size() >= 20 && packet[0] >> 4 == 4) {
    const auto network = to.Raw4(0);
    return std::equal(network.begin(), network.begin() + 3, packet.begin() + 16);
  }
  if (packet.size() < 40 || packet[0] >> 4 != 6) return false;
  const auto network = to.Raw6(0);
  return std::equal(network.begin(), network.begin() + 15, packet.begin() + 24);
}

}  // namespace

RawTraffic::RawTraffic(const Host& from, const Host& to, const Plan& plan, std::uint64_t seed)
    : from_(from), to_(to), plan_(plan), seed_(seed), sender_(OpenTap(from, 0)), receiver_(OpenTap(to, ETH_P_ALL)) {}

Verdict RawTraffic::Run() {
  PacketMaker maker(from_, to_, plan_, seed_);
  Ledger ledger;
  const double end = Now() + plan_.seconds;
  double last_arrival = Now();
  std::vector<Item> waiting;
  while (true) {
    if (Receive(&ledger) != 0) last_arrival = Now();
    if (ledger.outstanding() < plan_.window && Now() < end) {
      for (Item& item : maker.Burst()) {
        for (Octets& packet : Segment(item.packet, item.gso)) {
          Octets expected = Comparable(packet, kHops);
          if (plan_.outer_ecn >= 0) expected = Decapsulated(expected, plan_.outer_ecn);
          if (!expected.empty()) ledger.Sent(FlowOf(packet), std::move(expected), item.kind);
        }
        Send(Frame(item, from_));
      }
      continue;
    }
    if (ledger.outstanding() == 0) {
      if (Now() >= end) break;
      last_arrival = Now();
      continue;
    }
    if (Now() - last_arrival > plan_.patience) {
      ledger.GiveUp();
      last_arrival = Now();
      continue;
    }
    pollfd wait{receiver_, POLLIN, 0};
    ::poll(&wait, 1, 20);
  }
  // Whatever arrives although nothing is missing came twice or is damaged.
  ::usleep(50'000);
  Receive(&ledger);
  tpacket_stats missed{};
  socklen_t size = sizeof missed;
  if (::getsockopt(receiver_, SOL_PACKET, PACKET_STATISTICS, &missed, &size) != 0) Fail("PACKET_STATISTICS");
  if (missed.tp_drops != 0) {
    errno = ENOBUFS;
    Fail("the tap itself lost packets");
  }
  return ledger.verdict();
}

void RawTraffic::Send(const Octets& frame) {
  while (::send(sender_, frame.data(), frame.size(), 0) < 0) {
    // EINVAL: the packet is one that the kernel will not take from us.
    if (errno != ENOBUFS && errno != EINTR && errno != EAGAIN) {
      Fail("send of " + Hex(frame));
    }
    ::usleep(100);
  }
}

std::size_t RawTraffic::Receive(Ledger* ledger) {
  static thread_local Octets buffer(kVnet + kEthernet + 65'536);
  std::size_t count = 0;
  for (; count < 256; ++count) {
    sockaddr_ll from{};
    socklen_t size = sizeof from;
    const ssize_t got =
        ::recvfrom(receiver_, buffer.data(), buffer.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &size);
    if (got < 0) {
      if (errno == EAGAIN || errno == EINTR) break;
      Fail("receive");
    }
    if (from.sll_pkttype == PACKET_OUTGOING || static_cast<std::size_t>(got) <= kVnet + kEthernet) continue;
    VirtioHeader hdr;
    std::memcpy(&hdr, buffer.data(), kVnet);
    const Octets packet(buffer.begin() + kVnet + kEthernet, buffer.begin() + got);
    if (!IsOurs(packet, to_)) continue;
    const Gso gso{(hdr.flags & kNeedsChecksum) != 0, hdr.gso_type == 0 ? std::uint16_t{0} : hdr.gso_size};
    for (const Octets& one : Segment(packet, gso)) {
      const Octets comparable = Comparable(one, 0);
      if (comparable.empty()) {
        ledger->Foreign(one);
        continue;
      }
      ledger->Arrived(FlowOf(one), comparable, plan_.lossy ? Unmarked(comparable) : std::vector<Octets>{});
    }
  }
  return count;
}

}  // namespace dtunnel::soak
