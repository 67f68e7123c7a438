// Nanoseconds of what the data plane does per packet besides the cipher: route lookup by table size, replay window,
// checksum, splitting and coalescing.
//   make -C native/test bench && native/test/build/bench/dataplane_bench
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "os/clock.h"
#include "packet/checksum.h"
#include "packet/coalesce.h"
#include "packet/replay_window.h"
#include "packet/split.h"
#include "plane/routes.h"
#include "test/check.h"
#include "test/packets.h"

namespace {

using namespace dtunnel;
using test::Random;

// The best of several runs, per operation: what the code costs when nothing else has the processor.
template <typename Body>
double BestNs(std::size_t operations, Body&& body) {
  double best = 1e18;
  for (int run = 0; run < 12; ++run) {
    const std::uint64_t start = NowNs();
    body();
    best = std::min(best, static_cast<double>(NowNs() - start) / static_cast<double>(operations));
  }
  return best;
}

volatile std::uint64_t sink = 0;

void RouteLookup(std::uint8_t family, std::size_t count) {
  Random random(count);
  std::vector<Route> routes;
  for (std::size_t i = 0; i < count; ++i) {
    Route route;
    route.address.family = family;
    const auto octets = random.Octets(16);
    std::copy_n(octets.begin(), route.address.size(), route.address.octets.begin());
    // What site-to-site tables hold: mostly /24 and /48, some shorter, some hosts.
    const std::uint64_t kind = random.Below(10);
    if (family == 4) {
      route.length = kind == 0 ? 32 : static_cast<std::uint8_t>(kind < 8 ? 24 : 16 + random.Below(8));
    } else {
      route.length = kind == 0 ? 128 : static_cast<std::uint8_t>(kind < 8 ? 48 : 32 + random.Below(32));
    }
    route.outbound = static_cast<PeerId>(i % 1000);
    routes.push_back(route);
  }
  const std::uint64_t start = NowNs();
  const auto table = Routes::Build(routes);
  const double build_ms = static_cast<double>(NowNs() - start) / 1e6;
  // Every lookup another destination, half of them inside some prefix: nothing is predictable.
  std::vector<IpAddress> targets(65536);
  for (auto& target : targets) {
    target = routes[random.Below(routes.size())].address;
    const auto octets = random.Octets(16);
    if (random.Chance(2)) std::copy_n(octets.begin(), target.size(), target.octets.begin());
    target.octets[target.size() - 1] = octets[0];
  }
  const double ns = BestNs(targets.size(), [&] {
    std::uint64_t found = 0;
    for (const IpAddress& target : targets) found += table->Find(family, target.octets.data()) != nullptr ? 1 : 0;
    sink = found;
  });
  std::printf("route lookup, IPv%d, %6zu prefixes     %7.1f   (%zu KiB, built in %.1f ms)\n", family, count, ns,
              table->Footprint() / 1024, build_ms);
}

class Discard : public PacketSink {
 public:
  void WritePacket(const VnetHdr&, MutableBytes packet, std::uint32_t, std::uint64_t, const void*) override {
    sink = packet.size();
  }
};

void Packets(const char* name, bool tcp, std::size_t size, std::size_t count) {
  test::Flow flow;
  flow.tcp = tcp;
  std::vector<test::Packet> packets;
  std::vector<std::uint8_t> payload(size, 7);
  for (std::size_t i = 0; i < count; ++i) {
    packets.push_back(test::MakePacket(flow, payload));
    flow.sequence += static_cast<std::uint32_t>(size);
    ++flow.id;
  }
  Discard discard;
  Coalescer coalescer(&discard);
  const double joined = BestNs(count * 200, [&] {
    for (int round = 0; round < 200; ++round) {
      for (const auto& packet : packets) {
        std::uint8_t* at = coalescer.Land(packet.size() + 17);
        std::memcpy(at, packet.data(), packet.size());
        if (!coalescer.TryAppend(packet.size(), nullptr)) coalescer.Add(packet.size(), nullptr);
      }
      coalescer.Flush();
    }
  });
  flow = test::Flow{};
  flow.tcp = tcp;
  VnetHdr hdr;
  test::Packet super = test::MakeSuperPacket(flow, std::vector<std::uint8_t>(size * count, 7), size, &hdr);
  const double split = BestNs(count * 200, [&] {
    for (int round = 0; round < 200; ++round) {
      auto splitter = Splitter::Create(super, hdr);
      for (MutableBytes s = splitter->Next(); !s.empty(); s = splitter->Next()) sink = s.size();
    }
  });
  std::printf("%-36s %7.1f\n", (std::string("split, ") + name).c_str(), split);
  std::printf("%-36s %7.1f\n", (std::string("coalesce with copy, ") + name).c_str(), joined);
}

}  // namespace

int main() {
  std::printf("%-36s %7s\n", "", "ns");
  for (const std::size_t count : {1u, 100u, 10'000u, 100'000u}) RouteLookup(4, count);
  for (const std::size_t count : {1u, 100u, 10'000u, 100'000u}) RouteLookup(6, count);

  constexpr std::uint64_t kNumbers = 1 << 16;
  ReplayWindow window;
  std::uint64_t base = 0;
  std::printf("%-36s %7.1f\n", "replay check and commit, in order", BestNs(kNumbers, [&] {
                for (std::uint64_t i = 0; i < kNumbers; ++i) {
                  sink = window.Check(base + i) ? 1 : 0;
                  sink = window.Commit(base + i).lost;
                }
                base += kNumbers;
              }));
  for (const std::size_t size : {64u, 1400u}) {
    const std::vector<std::uint8_t> data(size, 3);
    char name[40];
    std::snprintf(name, sizeof name, "checksum, %zu octets", size);
    std::printf("%-36s %7.1f\n", name, BestNs(10'000, [&] {
                  for (int i = 0; i < 10'000; ++i) sink = AddChecksum(data.data(), data.size(), sink);
                }));
  }
  Packets("TCP, 45 of 1395", true, 1395, 45);
  Packets("UDP, 64 of 64", false, 64, 64);
}
