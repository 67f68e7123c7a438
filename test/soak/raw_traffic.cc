#include "raw_traffic.h"

#include <arpa/inet.h>
#include <linux/filter.h>
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

// Lets in what comes to the part of the network that is for raw packets, and nothing else: the other traffic is much more
// than a tap that is not always scheduled can hold.
void AttachFilter(int fd, const Host& host) {
  const auto four = host.Raw4(0);
  const auto six = host.Raw6(0);
  const auto word = [](const std::uint8_t* at) -> std::uint32_t {
    return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 | at[3];
  };
  constexpr std::uint32_t kNetwork = 0xffffff00;
  constexpr std::uint32_t kTo4 = kEthernet + 16, kTo6 = kEthernet + 24;
  constexpr std::uint16_t kLoadWord = BPF_LD | BPF_W | BPF_ABS, kIfEqual = BPF_JMP | BPF_JEQ | BPF_K,
                          kAnd = BPF_ALU | BPF_AND | BPF_K;
  // After the operation: how many to skip if it is so, and if not.
  sock_filter program[] = {
      {BPF_LD | BPF_H | BPF_ABS, 0, 0, 12},
      {kIfEqual, 0, 3, 0x0800},
      {kLoadWord, 0, 0, kTo4},
      {kAnd, 0, 0, kNetwork},
      {kIfEqual, 10, 11, word(four.data()) & kNetwork},
      {kIfEqual, 0, 10, 0x86dd},
      {kLoadWord, 0, 0, kTo6},
      {kIfEqual, 0, 8, word(six.data())},
      {kLoadWord, 0, 0, kTo6 + 4},
      {kIfEqual, 0, 6, word(six.data() + 4)},
      {kLoadWord, 0, 0, kTo6 + 8},
      {kIfEqual, 0, 4, word(six.data() + 8)},
      {kLoadWord, 0, 0, kTo6 + 12},
      {kAnd, 0, 0, kNetwork},
      {kIfEqual, 0, 1, word(six.data() + 12) & kNetwork},
      {BPF_RET | BPF_K, 0, 0, 0xffffffff},
      {BPF_RET | BPF_K, 0, 0, 0},
  };
  const sock_fprog filter{static_cast<std::uint16_t>(std::size(program)), program};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0) Fail("SO_ATTACH_FILTER");
}

// `protocol` 0 opens one that sends only. Nothing arrives before it is bound, so nothing passes by the filter.
int OpenTap(const Host& host, int protocol) {
  host.Enter();
  const int fd = Open(AF_PACKET, SOCK_RAW, 0);
  Option(fd, SOL_PACKET, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
  Option(fd, SOL_SOCKET, SO_RCVBUFFORCE, kBuffer, "SO_RCVBUFFORCE");
  AttachFilter(fd, host);
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
    const ssize_t got = ::recv(receiver_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0) {
      if (errno == EAGAIN || errno == EINTR) break;
      Fail("receive");
    }
    if (static_cast<std::size_t>(got) <= kVnet + kEthernet) continue;
    VirtioHeader hdr;
    std::memcpy(&hdr, buffer.data(), kVnet);
    const Octets packet(buffer.begin() + kVnet + kEthernet, buffer.begin() + got);
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
