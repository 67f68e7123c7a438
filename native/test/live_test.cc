// Two whole planes in one process, in a network namespace of their own, under traffic while the main thread changes
// everything it can: what the thread sanitizer is for. Needs root; says so otherwise.
#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <cstdlib>
#include <cstring>
#include <thread>

#include "os/clock.h"
#include "plane/plane.h"
#include "test/check.h"

namespace dtunnel::test {
namespace {

constexpr PeerId kPeer = 1;

PlaneConfig ConfigOf(const char* name, std::uint32_t lanes) {
  PlaneConfig config;
  config.device_name = name;
  config.device_mtu = 1400;
  config.listen = {ListenSpec{}};
  config.lanes = lanes;
  return config;
}

IpAddress Loopback() {
  const std::uint8_t octets[4] = {127, 0, 0, 1};
  return IpAddress::V4(octets);
}

// Session `slot` of one side; both sides use the slot, and keys that depend on it.
void Install(Plane* plane, Slot slot, bool first_side, std::uint16_t remote_port) {
  std::vector<std::uint8_t> mine(16, static_cast<std::uint8_t>(slot));
  std::vector<std::uint8_t> theirs(16, static_cast<std::uint8_t>(slot + 100));
  if (!first_side) std::swap(mine, theirs);
  const std::uint8_t iv[4] = {1, 2, 3, 4};
  const std::uint8_t id[8] = {static_cast<std::uint8_t>(slot >> 16), static_cast<std::uint8_t>(slot >> 8),
                              static_cast<std::uint8_t>(slot), 9, 9, 9, 9, 9};
  SessionConfig config;
  config.slot = slot;
  config.peer = kPeer;
  config.epoch = 1;
  config.write = RecordKeys{AeadAlgorithm::kAes128Gcm, mine, iv};
  config.read = RecordKeys{AeadAlgorithm::kAes128Gcm, theirs, iv};
  if (slot % 3 != 0) {
    config.our_id = id;
    config.peer_id = id;
  }
  config.path.remote = Endpoint{Loopback(), remote_port};
  config.path_mtu = 1472;
  config.packs = slot % 2 == 0;
  Expect(plane->Install(config) == Plane::Outcome::kDone);
}

void SetUp(Plane* plane, int octet) {
  plane->SetPeer(kPeer, PeerConfig{});
  Route route;
  route.address.family = 4;
  route.address.octets[0] = 10;
  route.length = 8;
  route.outbound = kPeer;
  route.inbound = {kPeer};
  plane->SetRoutes({route});
  const std::string name = plane->device_name();
  const std::string host = "10." + std::to_string(octet) + ".0.1/16";
  const std::string command = "ip addr add " + host + " dev " + name + " && ip link set " + name + " up";
  Expect(std::system(command.c_str()) == 0);  // NOLINT(cert-env33-c): fixed words
}

// Sends datagrams of mixed sizes out of `device` to an address behind the other side.
void Traffic(const std::string& device, int octet, const std::atomic<bool>* stop) {
  const Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, device.c_str(), static_cast<socklen_t>(device.size()));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  ::inet_pton(AF_INET, ("10." + std::to_string(octet) + ".0.77").c_str(), &to.sin_addr);
  Random random(static_cast<std::uint64_t>(octet));
  const auto data = random.Octets(1300);
  while (!stop->load(std::memory_order_relaxed)) {
    for (int i = 0; i < 64; ++i) {
      const std::size_t size = random.Chance(2) ? 64 : 1 + random.Below(1300);
      [[maybe_unused]] const ssize_t sent = ::sendto(fd.get(), data.data(), size, MSG_DONTWAIT,
                                                     reinterpret_cast<const sockaddr*>(&to), sizeof to);
    }
    ::poll(nullptr, 0, 1);
  }
}

void Churn(Plane* a, Plane* b, std::uint16_t port_a, std::uint16_t port_b) {
  Slot current = 1;
  Install(a, current, true, port_b);
  Install(b, current, false, port_a);
  std::size_t events = 0;
  for (Slot next = 2; next < 62; ++next) {
    Install(b, next, false, port_a);
    Install(a, next, true, port_b);
    a->Activate(kPeer, next);
    b->Activate(kPeer, next);
    const std::uint8_t message[3] = {1, 2, 3};
    a->SealAndSend(next, kApplicationData, message, std::nullopt);
    b->SealAndSend(next, kAlert, message, std::nullopt);
    PeerConfig peer;
    peer.options.ecn = next % 2 == 0;
    if (next % 5 == 0) peer.rate_limit = 1e9;
    a->SetPeer(kPeer, peer);
    a->SetPathMtu(next, 1400 + next % 64);
    b->Move(next, Path{Endpoint{Loopback(), port_a}, next % 2 == 0 ? Loopback() : IpAddress{}});
    for (Plane* plane : {a, b}) {
      Route route;
      route.address.family = 4;
      route.outbound = kPeer;
      route.inbound = {kPeer};
      plane->SetRoutes({route});
      plane->TakeEvents(1000, [&](const EventHead&, Bytes) { ++events; });
    }
    ::poll(nullptr, 0, 5);
    a->Retire(current);
    b->Retire(current);
    current = next;
  }
  Expect(events > 100, std::to_string(events));
}

void Live(std::uint32_t lanes) {
  if (::unshare(CLONE_NEWNET) != 0 || std::system("ip link set lo up") != 0) {  // NOLINT(cert-env33-c)
    std::printf("  skipped: needs root and iproute2\n");
    return;
  }
  auto a = Plane::Open(ConfigOf("live-a", lanes), [] {});
  auto b = Plane::Open(ConfigOf("live-b", lanes), [] {});
  if (!Expect(static_cast<bool>(a) && static_cast<bool>(b), "planes open")) return;
  SetUp(a.value().get(), 1);
  SetUp(b.value().get(), 2);
  std::atomic<bool> stop{false};
  std::thread one(Traffic, "live-a", 2, &stop);
  std::thread two(Traffic, "live-b", 1, &stop);
  Churn(a.value().get(), b.value().get(), a.value()->listening()[0].port, b.value()->listening()[0].port);
  stop = true;
  one.join();
  two.join();
  std::uint64_t written = 0;
  std::uint64_t read = 0;
  for (Plane* plane : {a.value().get(), b.value().get()}) {
    for (std::size_t i = 0; i < plane->thread_count(); ++i) {
      written += plane->CountersOf(i).tun_write_packets.value();
      read += plane->CountersOf(i).tun_read_packets.value();
    }
  }
  Expect(read > 1000 && written > read / 20, std::to_string(read) + " read, " + std::to_string(written) + " written");
}

const Test kLive{"two planes carry packets while sessions, routes, paths and peers change under them", [] { Live(1); }};
const Test kLanes{"two planes of three lanes each do the same", [] { Live(3); }};

}  // namespace
}  // namespace dtunnel::test
