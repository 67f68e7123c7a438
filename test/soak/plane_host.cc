// One data plane as a program of its own, without Node, for builds with sanitizers: opens a plane with known keys, says
// "ready", and when its input ends prints its counters and closes. plane-host.mjs is the same on the addon.
//
//   plane-host side=a|b device=NAME remote=ADDRESS [mtu=1400] [pathMtu=1472] [disable=MASK] [aead=0] [ids=1] [packs=1] [lanes=1]
//              [churn=0]
//
// churn=1: meanwhile the main thread changes the sending session, routes, peer options and path a few hundred times a
// second and reads every counter, none of which may show in the traffic.
#include <arpa/inet.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "plane/plane.h"

namespace dtunnel {
namespace {

constexpr PeerId kPeer = 3;
constexpr std::uint16_t kPortA = 4501;
constexpr std::uint16_t kPortB = 4502;
constexpr Slot kSessions = 4;

using Arguments = std::map<std::string, std::string>;

Arguments Parse(int argc, char** argv) {
  Arguments out{{"side", "a"}, {"device", "soak0"}, {"remote", ""},   {"mtu", "1400"}, {"pathMtu", "1472"},
                {"disable", "0"}, {"aead", "0"},    {"ids", "1"},     {"packs", "1"},  {"lanes", "1"},
                {"churn", "0"}};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const std::size_t at = word.find('=');
    if (at != std::string::npos) out[word.substr(0, at)] = word.substr(at + 1);
  }
  return out;
}

unsigned Number(const Arguments& arguments, const char* name) {
  return static_cast<unsigned>(std::strtoul(arguments.at(name).c_str(), nullptr, 10));
}

IpAddress AddressOf(const std::string& text) {
  std::array<std::uint8_t, 16> octets{};
  if (::inet_pton(AF_INET, text.c_str(), octets.data()) == 1) return IpAddress::V4(octets.data());
  if (::inet_pton(AF_INET6, text.c_str(), octets.data()) == 1) return IpAddress::V6(octets.data());
  return {};
}

std::vector<Route> Routes4And6() {
  std::vector<Route> routes(2);
  routes[0].address.family = 4;
  routes[1].address.family = 6;
  for (Route& route : routes) {
    route.outbound = kPeer;
    route.inbound = {kPeer};
  }
  return routes;
}

Path PathOf(const Arguments& arguments) {
  return Path{Endpoint{AddressOf(arguments.at("remote")), arguments.at("side") == "a" ? kPortB : kPortA}, {}};
}

bool Install(Plane* plane, const Arguments& arguments, Slot slot) {
  const bool is_a = arguments.at("side") == "a";
  const auto algorithm = static_cast<AeadAlgorithm>(Number(arguments, "aead"));
  std::vector<std::uint8_t> from_a(AeadKeySize(algorithm), static_cast<std::uint8_t>(slot));
  std::vector<std::uint8_t> from_b(AeadKeySize(algorithm), static_cast<std::uint8_t>(slot + 100));
  const std::vector<std::uint8_t> iv(algorithm == AeadAlgorithm::kChaCha20Poly1305 ? 12 : 4, 9);
  const std::array<std::uint8_t, 8> id = {0, 0, static_cast<std::uint8_t>(slot), 1, 2, 3, 4, 5};
  SessionConfig config;
  config.slot = slot;
  config.peer = kPeer;
  config.epoch = 1;
  config.write = RecordKeys{algorithm, is_a ? from_a : from_b, iv};
  config.read = RecordKeys{algorithm, is_a ? from_b : from_a, iv};
  config.next_write = 1;
  config.accepted = {0};
  if (Number(arguments, "ids") != 0) {
    config.our_id = id;
    config.peer_id = id;
  }
  config.path = PathOf(arguments);
  config.path_mtu = Number(arguments, "pathMtu");
  config.packs = Number(arguments, "packs") != 0;
  return plane->Install(config) == Plane::Outcome::kDone;
}

void Churn(Plane* plane, const Arguments& arguments, unsigned turn, unsigned* disabled) {
  plane->Activate(kPeer, 1 + turn % kSessions);
  if (turn % 3 == 0) plane->SetRoutes(Routes4And6());
  if (turn % 4 == 0) {
    PeerConfig peer;
    if (turn % 8 == 0) peer.rate_limit = 1e12;
    plane->SetPeer(kPeer, peer);
  }
  if (turn % 5 == 0) plane->Move(1 + turn / 5 % kSessions, PathOf(arguments));
  for (const auto& session : plane->sessions()) static_cast<void>(plane->TotalsOf(*session));
  plane->TakeEvents(1000, [&](const EventHead& head, Bytes) {
    if (head.kind == EventKind::kOffloadDisabled) ++*disabled;
  });
}

struct Totals {
  std::map<std::string, std::uint64_t> in;
  std::map<std::string, std::uint64_t> out;
  std::uint64_t dropped_in = 0;
  std::uint64_t dropped_out = 0;

  void Add(const DropCounters& drops, bool inward) {
    static constexpr std::array<const char*, kDropReasons> kNames = {
        "replay",     "bad_mac",      "not_allowed", "no_route", "too_big",    "malformed",
        "queue_full", "rate_limited", "peer_down",   "no_key",   "send_error", "loop"};
    for (std::size_t i = 0; i < kDropReasons; ++i) {
      const std::uint64_t n = drops[i].value();
      (inward ? dropped_in : dropped_out) += n;
      if (n != 0) (inward ? in : out)[kNames[i]] += n;
    }
  }
};

void PrintDrops(const char* name, const std::map<std::string, std::uint64_t>& drops) {
  std::printf(",\"%s\":{", name);
  const char* comma = "";
  for (const auto& [reason, count] : drops) {
    std::printf("%s\"%s\":%llu", comma, reason.c_str(), static_cast<unsigned long long>(count));
    comma = ",";
  }
  std::printf("}");
}

void Report(const Plane& plane, unsigned disabled) {
  Totals drops;
  std::array<std::uint64_t, 12> n{};
  std::uint64_t accounted_in = 0;
  for (std::size_t i = 0; i < plane.thread_count(); ++i) {
    const ThreadCounters& c = plane.CountersOf(i);
    n[0] += c.udp_receive_datagrams.value() + c.extra_records.value();
    accounted_in += c.handed_up.value() + c.control.value();
    for (const Counter& reason : c.unattributed) n[1] += reason.value();
    n[2] += c.udp_receive_overflows.value();
    n[3] += c.tun_read_packets.value();
    n[4] += c.tun_read_calls.value();
    n[5] += c.tun_write_packets.value();
    n[6] += c.tun_write_calls.value();
    drops.Add(c.drops_in, true);
    drops.Add(c.drops_out, false);
  }
  for (const auto& peer : plane.peers()) {
    if (peer == nullptr) continue;
    for (std::size_t i = 0; i < peer->thread_count; ++i) {
      const PeerCounters& c = peer->counters[i];
      n[7] += c.receive_packets.value();
      n[8] += c.transmit_packets.value();
      n[9] += c.gaps.value();
      n[10] += c.reordered.value();
      n[11] += c.duplicates.value();
      drops.Add(c.drops_in, true);
      drops.Add(c.drops_out, false);
    }
  }
  const auto balance = [](std::uint64_t all, std::uint64_t accounted) { return static_cast<long long>(all - accounted); };
  std::printf("{\"balanceIn\":%lld,\"balanceOut\":%lld,\"unattributed\":%llu,\"overflows\":%llu",
              balance(n[0], accounted_in + n[1] + drops.dropped_in + n[7]), balance(n[3], drops.dropped_out + n[8]),
              static_cast<unsigned long long>(n[1]), static_cast<unsigned long long>(n[2]));
  static constexpr std::array<const char*, 9> kNames = {"readPackets", "readCalls",       "writePackets",
                                                        "writeCalls",  "receivePackets",  "transmitPackets",
                                                        "gaps",        "reordered",       "duplicates"};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    std::printf(",\"%s\":%llu", kNames[i], static_cast<unsigned long long>(n[3 + i]));
  }
  PrintDrops("dropsIn", drops.in);
  PrintDrops("dropsOut", drops.out);
  std::printf(",\"offloads\":%u,\"disabled\":%u}\n", plane.offloads(), disabled);
}

int Main(int argc, char** argv) {
  const Arguments arguments = Parse(argc, argv);
  PlaneConfig config;
  config.device_name = arguments.at("device");
  config.device_mtu = Number(arguments, "mtu");
  config.listen = {ListenSpec{{}, arguments.at("side") == "a" ? kPortA : kPortB}};
  config.lanes = Number(arguments, "lanes");
  config.disabled = Number(arguments, "disable");
  auto opened = Plane::Open(config, [] {});
  if (!opened) {
    std::fprintf(stderr, "plane-host: %s: %s\n", opened.error().syscall, std::strerror(opened.error().code));
    return 1;
  }
  Plane* plane = opened.value().get();
  plane->SetPeer(kPeer, PeerConfig{});
  plane->SetRoutes(Routes4And6());
  for (Slot slot = 1; slot <= kSessions; ++slot) {
    if (!Install(plane, arguments, slot)) return 1;
  }
  plane->Activate(kPeer, 1);
  std::printf("ready\n");
  std::fflush(stdout);
  unsigned disabled = 0;
  const bool churn = Number(arguments, "churn") != 0;
  for (unsigned turn = 0;; ++turn) {
    pollfd wait{STDIN_FILENO, POLLIN, 0};
    if (::poll(&wait, 1, churn ? 3 : 200) > 0) {
      char ignored[64];
      if (::read(STDIN_FILENO, ignored, sizeof ignored) <= 0) break;
    }
    if (churn) {
      Churn(plane, arguments, turn, &disabled);
    } else {
      plane->TakeEvents(1000, [&](const EventHead& head, Bytes) {
        if (head.kind == EventKind::kOffloadDisabled) ++disabled;
      });
    }
  }
  Report(*plane, disabled);
  return 0;
}

}  // namespace
}  // namespace dtunnel

int main(int argc, char** argv) { return dtunnel::Main(argc, argv); }
