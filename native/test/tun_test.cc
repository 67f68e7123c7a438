// The TUN device itself, in a network namespace of its own. Needs root; says so otherwise.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "os/fd.h"
#include "os/tun.h"
#include "packet/checksum.h"
#include "packet/vnet_hdr.h"
#include "test/check.h"
#include "test/namespace.h"

namespace dtunnel::test {
namespace {

constexpr std::uint16_t kFarPort = 7;

// The reader on which the datagram that `fd` sends to 10.98.0.2 comes up; nothing when on none or on several.
std::optional<std::size_t> ReaderOf(const Tun& tun, std::size_t lanes, const Fd& fd) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(kFarPort);
  ::inet_pton(AF_INET, "10.98.0.2", &to.sin_addr);
  if (::sendto(fd.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 1) return std::nullopt;
  std::optional<std::size_t> found;
  std::array<std::uint8_t, 2048> packet;
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    ssize_t size = 0;
    while ((size = ::read(tun.reader(lane), packet.data(), packet.size())) > 0) {
      const std::uint8_t* ip = packet.data() + kVnetHdrSize;
      // The kernel itself says things to a new device.
      if (ip[0] >> 4 != 4 || ip[9] != 17 || Load16(ip + 22) != kFarPort) continue;
      if (found) return std::nullopt;
      found = lane;
    }
  }
  return found;
}

// The answer to it: from the far port to `port`.
std::array<std::uint8_t, kVnetHdrSize + 29> AnswerTo(std::uint16_t port) {
  std::array<std::uint8_t, kVnetHdrSize + 29> out{};
  const std::uint8_t fixed[28] = {0x45, 0, 0, 29, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 98, 0, 2,
                                  10,   98, 0, 1, 0, kFarPort, 0, 0, 0,    9, 0, 0};  // no UDP checksum
  std::uint8_t* ip = out.data() + kVnetHdrSize;
  std::memcpy(ip, fixed, sizeof fixed);
  Store16(ip + 22, port);
  RefreshIpv4Checksum(ip);
  return out;
}

const Test kFlowsStay{"a flow stays on its queue, whichever lane its answers come by (planes)", [] {
  if (!Namespace()) return;
  constexpr std::size_t kLanes = 4;
  TunOptions options;
  options.name = "tun-t";
  options.queues = kLanes;
  auto tun = Tun::Open(options);
  if (!Expect(static_cast<bool>(tun))) return;
  Expect(std::system("ip addr add 10.98.0.1/24 dev tun-t && ip link set tun-t up") == 0);  // NOLINT(cert-env33-c)
  std::array<bool, kLanes> used{};
  for (std::size_t flow = 0; flow < 40; ++flow) {
    const Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto first = ReaderOf(tun.value(), kLanes, fd);
    if (!Expect(first.has_value())) return;
    used[*first] = true;
    sockaddr_in local{};
    socklen_t size = sizeof local;
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&local), &size);
    const auto answer = AnswerTo(ntohs(local.sin_port));
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      ExpectEqual(::write(tun.value().writer(lane), answer.data(), answer.size()), static_cast<ssize_t>(answer.size()));
      std::uint8_t got = 0;
      ExpectEqual(::recv(fd.get(), &got, 1, 0), ssize_t{1});
      Expect(ReaderOf(tun.value(), kLanes, fd) == first);
    }
  }
  for (const bool one : used) Expect(one, "every lane has flows");
}};

const Test kOneQueue{"a device with one queue has one descriptor (planes)", [] {
  if (!Namespace()) return;
  TunOptions options;
  options.name = "tun-o";
  auto tun = Tun::Open(options);
  if (!Expect(static_cast<bool>(tun))) return;
  ExpectEqual(tun.value().descriptors().size(), std::size_t{1});
  ExpectEqual(tun.value().reader(0), tun.value().writer(0));
}};

}  // namespace
}  // namespace dtunnel::test
