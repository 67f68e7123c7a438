// One end of a tunnel with fixed keys and no handshake: what the data plane alone does, for comparing ciphers and for the
// floor that no cipher at all would give. Never part of the product.
//
//   plane_peer DEVICE SIDE(a|b) LOCAL-PORT REMOTE-IPV4 REMOTE-PORT CIPHER(auto|openssl|null|a back end) [LANES]
//
// Routes everything to the other end until SIGTERM, then prints its counters.
#include <arpa/inet.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "plane/plane.h"

namespace {

using namespace dtunnel;

// Copies, as every cipher must at least.
class NullKey final : public AeadKey {
 public:
  void Seal(const AeadNonce&, Bytes, const std::uint8_t* in, std::size_t size, std::uint8_t* out) override {
    std::memcpy(out, in, size);
    std::memset(out + size, 0, kAeadTagSize);
  }
  bool Open(const AeadNonce&, Bytes, const std::uint8_t* in, std::size_t size, std::uint8_t* out) override {
    std::memcpy(out, in, size);
    return true;
  }
};

class NullBackend final : public AeadBackend {
 public:
  const char* name() const override { return "null"; }
  bool Supports(AeadAlgorithm) const override { return true; }
  std::unique_ptr<AeadKey> MakeKey(AeadAlgorithm, AeadDirection, Bytes) const override {
    return std::make_unique<NullKey>();
  }
};

AeadSuite SuiteOf(const char* name) {
  static const NullBackend null;
  if (std::strcmp(name, "null") == 0) return AeadSuite::Of(null);
  if (std::strcmp(name, "auto") == 0) return *AeadSuite::Choose(AeadPreference::kAuto);
  for (const AeadBackend* backend : AllAeadBackends()) {
    if (std::strcmp(name, backend->name()) == 0) return AeadSuite::Of(*backend);
  }
  std::fprintf(stderr, "no back end %s here\n", name);
  std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) return 2;
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGTERM);
  sigaddset(&end, SIGINT);
  sigprocmask(SIG_BLOCK, &end, nullptr);

  PlaneConfig config;
  config.device_name = argv[1];
  config.device_mtu = 1435;  // 1500 less IPv4, UDP and the 37 octets of a record
  config.listen = {ListenSpec{IpAddress{}, static_cast<std::uint16_t>(std::atoi(argv[3]))}};
  config.lanes = argc > 7 ? static_cast<std::uint32_t>(std::atoi(argv[7])) : 1;
  auto opened = Plane::OpenWith(config, SuiteOf(argv[6]), [] {});
  if (!opened) {
    std::fprintf(stderr, "%s: %s\n", opened.error().syscall, std::strerror(opened.error().code));
    return 1;
  }
  Plane& plane = *opened.value();
  plane.SetPeer(1, PeerConfig{});
  Route all;
  all.address.family = 4;
  all.outbound = 1;
  all.inbound = {1};
  Route all6 = all;
  all6.address.family = 6;
  plane.SetRoutes({all, all6});

  const bool first = argv[2][0] == 'a';
  const std::uint8_t keys[2][16] = {{1, 2, 3}, {4, 5, 6}};
  const std::uint8_t iv[4] = {1, 2, 3, 4};
  const std::uint8_t id[8] = {0, 0, 7, 1, 2, 3, 4, 5};
  SessionConfig session;
  session.slot = 7;
  session.peer = 1;
  session.epoch = 1;
  session.next_write = 1;
  session.write = RecordKeys{AeadAlgorithm::kAes128Gcm, keys[first ? 0 : 1], iv};
  session.read = RecordKeys{AeadAlgorithm::kAes128Gcm, keys[first ? 1 : 0], iv};
  if (config.lanes > 1) session.our_id = session.peer_id = id;
  std::uint8_t remote[4];
  inet_pton(AF_INET, argv[4], remote);
  session.path.remote = Endpoint{IpAddress::V4(remote), static_cast<std::uint16_t>(std::atoi(argv[5]))};
  session.path_mtu = config.lanes > 1 ? 1481 : 1472;
  session.packs = true;
  plane.Install(session);
  plane.Activate(1, 7);

  int signal = 0;
  sigwait(&end, &signal);
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  ThreadCounters sum;
  for (std::size_t i = 0; i < plane.thread_count(); ++i) {
    const ThreadCounters& c = plane.CountersOf(i);
    sum.tun_read_packets.Add(c.tun_read_packets.value());
    sum.tun_read_calls.Add(c.tun_read_calls.value());
    sum.tun_write_packets.Add(c.tun_write_packets.value());
    sum.tun_write_calls.Add(c.tun_write_calls.value());
    sum.udp_transmit_calls.Add(c.udp_transmit_calls.value());
    sum.udp_receive_calls.Add(c.udp_receive_calls.value());
    sum.udp_receive_overflows.Add(c.udp_receive_overflows.value());
  }
  std::fprintf(stderr,
               "cpu user %ld.%03ld sys %ld.%03ld | tun read %lu in %lu, written %lu in %lu | udp calls out %lu in %lu, "
               "overflows %lu\n",
               usage.ru_utime.tv_sec, usage.ru_utime.tv_usec / 1000, usage.ru_stime.tv_sec,
               usage.ru_stime.tv_usec / 1000, sum.tun_read_packets.value(), sum.tun_read_calls.value(),
               sum.tun_write_packets.value(), sum.tun_write_calls.value(), sum.udp_transmit_calls.value(),
               sum.udp_receive_calls.value(), sum.udp_receive_overflows.value());
  return 0;
}
