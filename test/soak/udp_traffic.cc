#include "udp_traffic.h"

#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "packets.h"

namespace dtunnel::soak {
namespace {

constexpr int kBuffer = 16 << 20;
constexpr int kUdpSegment = 103;  // udp(7)
constexpr int kUdpGro = 104;
const std::string kFlow = "udp";

}  // namespace

UdpStyle StyleOf(std::size_t index) {
  switch (index % kUdpStyles) {
    case 0: return {AF_INET, false, false, false};
    case 1: return {AF_INET6, false, false, false};
    case 2: return {AF_INET, true, false, false};
    case 3: return {AF_INET6, true, false, false};
    case 4: return {AF_INET, false, true, true};
    default: return {AF_INET, true, false, true};
  }
}

UdpTraffic::UdpTraffic(const Host& from, const Host& to, const Plan& plan, UdpStyle style, std::uint16_t port,
                       std::uint64_t seed)
    : plan_(plan), style_(style), seed_(seed), remote_(to.Address(style.family, port)) {
  const bool v4 = style.family == AF_INET;
  to.Enter();
  receiver_ = Open(style.family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  Option(receiver_, SOL_SOCKET, SO_RCVBUFFORCE, kBuffer, "SO_RCVBUFFORCE");
  Option(receiver_, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_RECVTOS : IPV6_RECVTCLASS, 1, "RECVTOS");
  if (style.segment) Option(receiver_, IPPROTO_UDP, kUdpGro, 1, "UDP_GRO");
  if (::bind(receiver_, reinterpret_cast<const sockaddr*>(&remote_), SizeOf(remote_)) != 0) Fail("bind");
  from.Enter();
  sender_ = Open(style.family, SOCK_DGRAM, 0);
  Option(sender_, SOL_SOCKET, SO_SNDBUFFORCE, kBuffer, "SO_SNDBUFFORCE");
  if (style.no_checksum) Option(sender_, SOL_SOCKET, SO_NO_CHECK, 1, "SO_NO_CHECK");
  if (!style.fragments) return;
  Option(sender_, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT, "IP_MTU_DISCOVER");
  if (!style.segment) return;
  // The kernel takes one IP id for a datagram that it then cuts, and gives its segments those that follow, which other
  // datagrams between the same two addresses get as well: reassembly mixed their fragments once in some million (RFC 6864).
  Option(sender_, IPPROTO_IP, IP_TRANSPARENT, 1, "IP_TRANSPARENT");
  const sockaddr_storage own = from.OwnAddress4();
  if (::bind(sender_, reinterpret_cast<const sockaddr*>(&own), SizeOf(own)) != 0) Fail("bind");
}

Verdict UdpTraffic::Run() {
  Random random(seed_);
  Ledger ledger;
  const std::size_t room = plan_.largest - (style_.family == AF_INET ? 28 : 48);
  const double end = Now() + plan_.seconds;
  while (Now() < end) {
    const auto traffic_class = static_cast<std::uint8_t>(random.Next());
    std::size_t budget = plan_.window;
    std::size_t size = 1 + random.Below(room);
    while (budget != 0) {
      if (random.Chance(8)) size = 1 + random.Below(room);
      const std::size_t sizes[] = {size, size, size, 0, 1, 12, room, style_.fragments ? 1 + random.Below(9000) : room};
      const std::size_t one = sizes[random.Below(std::size(sizes))];
      // Cut into full segments and a shorter one (udp(7): at most 64, here less); a fragmenting sender cuts beyond what
      // the tunnel carries whole.
      const std::size_t segment = style_.segment && one != 0 ? std::min(one, style_.fragments ? std::size_t{1372} : room) : 0;
      const std::size_t pieces = segment == 0 ? 1 : std::min<std::size_t>({1 + random.Below(40), budget, 60'000 / segment});
      Octets data(segment == 0 ? one : segment * pieces - random.Below(segment));
      random.Fill(data.data(), data.size());
      for (std::size_t at = 0, left = segment == 0 ? 1 : pieces; left != 0; --left) {
        const std::size_t piece = segment == 0 ? data.size() : std::min(segment, data.size() - at);
        Octets expected(data.begin() + static_cast<std::ptrdiff_t>(at),
                        data.begin() + static_cast<std::ptrdiff_t>(at + piece));
        expected.push_back(traffic_class);
        ledger.Sent(kFlow, std::move(expected), segment == 0 ? "udp" : "udp segment");
        at += piece;
      }
      Send(data, data.size() > segment ? static_cast<std::uint16_t>(segment) : std::uint16_t{0}, traffic_class);
      const std::size_t cost = std::max<std::size_t>(pieces, data.size() / 1000);
      budget -= std::min(budget, cost);
    }
    double last = Now();
    while (ledger.outstanding() != 0) {
      if (Receive(&ledger) != 0) {
        last = Now();
        continue;
      }
      if (Now() - last > plan_.patience) ledger.GiveUp();
      pollfd wait{receiver_, POLLIN, 0};
      ::poll(&wait, 1, 20);
    }
  }
  ::usleep(50'000);
  Receive(&ledger);
  return ledger.verdict();
}

void UdpTraffic::Send(const Octets& data, std::uint16_t segment, std::uint8_t traffic_class) {
  const bool v4 = style_.family == AF_INET;
  iovec vector{const_cast<std::uint8_t*>(data.data()), data.size()};
  alignas(cmsghdr) std::array<std::uint8_t, CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof segment)> control{};
  msghdr message{};
  message.msg_name = &remote_;
  message.msg_namelen = SizeOf(remote_);
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* c = CMSG_FIRSTHDR(&message);
  const int tos = traffic_class;
  c->cmsg_level = v4 ? static_cast<int>(IPPROTO_IP) : static_cast<int>(IPPROTO_IPV6);
  c->cmsg_type = v4 ? static_cast<int>(IP_TOS) : static_cast<int>(IPV6_TCLASS);
  c->cmsg_len = CMSG_LEN(sizeof tos);
  std::memcpy(CMSG_DATA(c), &tos, sizeof tos);
  message.msg_controllen = CMSG_SPACE(sizeof tos);
  if (segment != 0) {
    message.msg_controllen = control.size();
    c = CMSG_NXTHDR(&message, c);
    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = kUdpSegment;
    c->cmsg_len = CMSG_LEN(sizeof segment);
    std::memcpy(CMSG_DATA(c), &segment, sizeof segment);
  }
  while (::sendmsg(sender_, &message, 0) < 0) {
    if (errno != ENOBUFS && errno != EINTR && errno != EAGAIN) Fail("sendmsg");
    ::usleep(100);
  }
}

std::size_t UdpTraffic::Receive(Ledger* ledger) {
  static thread_local Octets buffer(65'536);
  alignas(cmsghdr) std::array<std::uint8_t, 128> control;
  std::size_t count = 0;
  for (; count < 256; ++count) {
    iovec vector{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(receiver_, &message, 0);
    if (got < 0) {
      if (errno == EAGAIN || errno == EINTR) break;
      Fail("recvmsg");
    }
    std::uint8_t traffic_class = 0;
    auto stride = static_cast<std::size_t>(got);
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
      int value = 0;
      std::memcpy(&value, CMSG_DATA(c), std::min<std::size_t>(sizeof value, c->cmsg_len - CMSG_LEN(0)));
      if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == kUdpGro) stride = static_cast<std::size_t>(value);
      if (c->cmsg_type == IP_TOS || c->cmsg_type == IPV6_TCLASS) traffic_class = static_cast<std::uint8_t>(value);
    }
    std::size_t at = 0;
    do {
      const std::size_t piece = std::min(stride, static_cast<std::size_t>(got) - at);
      Octets one(buffer.begin() + static_cast<std::ptrdiff_t>(at), buffer.begin() + static_cast<std::ptrdiff_t>(at + piece));
      one.push_back(traffic_class);
      std::vector<Octets> unmarked;
      if (plan_.lossy && (traffic_class & 3) == 3) {
        for (const int ecn : {1, 2}) {
          unmarked.push_back(one);
          unmarked.back().back() = static_cast<std::uint8_t>((traffic_class & ~3) | ecn);
        }
      }
      ledger->Arrived(kFlow, one, unmarked);
      at += piece;
    } while (at < static_cast<std::size_t>(got));
  }
  return count;
}

}  // namespace dtunnel::soak
