// Many sockets: a plane in a network namespace of its own (needs root).
#include <poll.h>
#include <sys/socket.h>

#include <vector>

#include "os/socket_address.h"
#include "plane/plane.h"
#include "test/check.h"
#include "test/namespace.h"

namespace dtunnel::test {
namespace {

IpAddress Loopback(std::uint8_t family, std::uint8_t last = 1) {
  IpAddress address;
  address.family = family;
  if (family == 4) address.octets = {127, 0, 0, last};
  if (family == 6) address.octets[15] = last;
  return address;
}

// poll(2) had room for 31 sockets, and what came to another waited for a datagram to one of those.
const Test kMany{"every socket wakes its thread, however many there are (planes)", [] {
  if (!Namespace()) return;
  PlaneConfig config;
  config.device_name = "rebind";
  config.device_mtu = 1400;
  const auto addresses = [](std::uint8_t first) {
    std::vector<ListenSpec> specs;
    for (std::uint8_t i = 0; i < 16; ++i) {
      specs.push_back(ListenSpec{Loopback(4, static_cast<std::uint8_t>(first + i)), 4433});
    }
    return specs;
  };
  config.listen = addresses(1);
  auto opened = Plane::Open(config, [] {});
  if (!Expect(static_cast<bool>(opened), "plane opens")) return;
  Plane& plane = *opened.value();
  Expect(static_cast<bool>(plane.Rebind(addresses(101))));
  const Fd flow(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto read = [&plane] { return plane.CountersOf(ReceiveThread(0)).udp_receive_datagrams.value(); };
  std::uint64_t sent = 0;
  for (const std::uint8_t first : {std::uint8_t{1}, std::uint8_t{101}}) {
    for (const ListenSpec& spec : addresses(first)) {
      sockaddr_storage to{};
      const socklen_t size = EncodeSocketAddress(Endpoint{spec.address, spec.port}, &to);
      Expect(::sendto(flow.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), size) == 1);
      ++sent;
      for (int i = 0; i < 500 && read() < sent; ++i) ::poll(nullptr, 0, 10);
      ExpectEqual(read(), sent);
    }
  }
}};

}  // namespace
}  // namespace dtunnel::test
