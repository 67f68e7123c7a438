// Nanoseconds of a message to one peer, by how many datagrams it has: from a socket that serves every peer, as the data plane
// has it, and from one that is connected to this peer. What arrives is dropped at once: the receiver's buffer is full.
//   make -C native/test bench && native/test/build/bench/send_bench        (needs root: in a network namespace of its own)
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "os/clock.h"
#include "os/udp.h"
#include "test/namespace.h"

namespace {

using namespace dtunnel;

constexpr std::size_t kDatagram = 1437;  // a packet of 1400 octets in its record
constexpr std::size_t kMessages = 5000;

[[noreturn]] void Fail(const Error& error) {
  std::printf("%s: %s\n", error.syscall, std::strerror(error.code));
  std::exit(1);
}

UdpSocket OpenOrExit(const Endpoint& bind) {
  auto socket = UdpSocket::Open(UdpOptions{.bind = bind, .mark = {}});
  if (!socket) Fail(socket.error());
  return std::move(socket.value());
}

// The best of several runs.
double MessageNs(const SendTarget& target, bool connected, std::size_t datagrams) {
  std::vector<std::uint8_t> data(kDatagram * datagrams);
  iovec vector{data.data(), data.size()};
  std::array<std::uint8_t, kSendControlSize> control;
  msghdr message;
  SendTarget named = target;
  if (connected) named.source = {};
  PrepareMessage(named, &vector, datagrams > 1 ? kDatagram : 0, 0, &control, &message);
  if (connected) {
    message.msg_name = nullptr;
    message.msg_namelen = 0;
  }
  double best = 1e18;
  for (int run = 0; run < 20; ++run) {
    const std::uint64_t start = NowNs();
    for (std::size_t i = 0; i < kMessages; ++i) {
      if (::sendmsg(target.fd, &message, MSG_DONTWAIT) < 0) Fail(LastError("sendmsg"));
    }
    best = std::min(best, static_cast<double>(NowNs() - start) / kMessages);
  }
  return best;
}

void Family(const IpAddress& address) {
  const UdpSocket receiver = OpenOrExit(Endpoint{address, 0});
  const UdpSocket shared = OpenOrExit(Endpoint{address, 0});
  const UdpSocket own = OpenOrExit(Endpoint{address, 0});
  const Path path{.remote = receiver.local(), .local = address};
  const SendTarget to_shared = SendTarget::Make(shared.fd(), path);
  const SendTarget to_own = SendTarget::Make(own.fd(), path);
  if (::connect(own.fd(), reinterpret_cast<const sockaddr*>(&to_own.remote), to_own.remote_size) != 0) {
    Fail(LastError("connect"));
  }
  MessageNs(to_shared, false, 32);  // fills the receiver's buffer
  for (const std::size_t datagrams : {std::size_t{1}, std::size_t{8}, std::size_t{32}, std::size_t{44}}) {
    const double from_shared = MessageNs(to_shared, false, datagrams);
    const double from_own = MessageNs(to_own, true, datagrams);
    std::printf("IPv%u, %2zu datagrams  %6.0f shared  %6.0f connected\n", address.family, datagrams, from_shared, from_own);
  }
}

}  // namespace

int main() {
  if (!test::Namespace()) return 0;
  IpAddress four{.family = 4, .octets = {127, 0, 0, 1}};
  IpAddress six{.family = 6, .octets = {}};
  six.octets[15] = 1;
  Family(four);
  Family(six);
}
