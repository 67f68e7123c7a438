#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "base/spsc_ring.h"
#include "os/thread.h"
#include "plane/control_ring.h"
#include "plane/grace.h"
#include "plane/moderation.h"
#include "plane/routes.h"
#include "plane/sessions.h"
#include "plane/token_bucket.h"
#include "test/check.h"

namespace dtunnel::test {
namespace {

IpAddress RandomAddress(Random* random, std::uint8_t family, std::uint64_t spread) {
  IpAddress address;
  address.family = family;
  // Few distinct leading bits, so that prefixes nest and lookups hit.
  for (std::size_t i = 0; i < address.size(); ++i) {
    address.octets[i] = static_cast<std::uint8_t>(random->Below(random->Chance(3) ? 256 : spread));
  }
  return address;
}

bool Covers(const Route& route, const IpAddress& address) {
  if (route.address.family != address.family) return false;
  for (unsigned bit = 0; bit < route.length; ++bit) {
    const unsigned mask = 0x80u >> (bit % 8);
    if ((route.address.octets[bit / 8] & mask) != (address.octets[bit / 8] & mask)) return false;
  }
  return true;
}

const Test kRoutes{"the longest prefix is found, as a scan of all of them would (random tables)", [] {
  Random random(41);
  for (int round = 0; round < 60; ++round) {
    std::vector<Route> routes;
    const std::size_t count = round == 0 ? 0 : 1 + random.Below(400);
    std::map<std::pair<std::vector<std::uint8_t>, unsigned>, bool> known;
    while (routes.size() < count) {
      Route route;
      route.address = RandomAddress(&random, random.Chance(2) ? 4 : 6, 4);
      route.length = static_cast<std::uint8_t>(random.Below(route.address.family == 4 ? 33 : 129));
      for (unsigned bit = route.length; bit < route.address.size() * 8; ++bit) {
        route.address.octets[bit / 8] &= static_cast<std::uint8_t>(~(0x80u >> (bit % 8)));
      }
      std::vector<std::uint8_t> text(route.address.bytes().begin(), route.address.bytes().end());
      if (!known.insert({{text, route.length + 200u * route.address.family}, true}).second) continue;
      if (!random.Chance(5)) route.outbound = static_cast<PeerId>(random.Below(1000));
      route.inbound = {static_cast<PeerId>(routes.size())};
      routes.push_back(route);
    }
    const auto table = Routes::Build(routes);
    for (int i = 0; i < 2000; ++i) {
      IpAddress address = RandomAddress(&random, random.Chance(2) ? 4 : 6, 4);
      if (!routes.empty() && random.Chance(2)) {  // near a prefix's edge
        const Route& route = routes[random.Below(routes.size())];
        address = route.address;
        for (unsigned bit = route.length; bit < address.size() * 8; ++bit) {
          if (random.Chance(2)) address.octets[bit / 8] |= static_cast<std::uint8_t>(0x80u >> (bit % 8));
        }
        if (random.Chance(4) && route.length != 0) address.octets[(route.length - 1) / 8] ^= static_cast<std::uint8_t>(0x80u >> ((route.length - 1) % 8));
      }
      const Route* best = nullptr;
      for (const Route& route : routes) {
        if (Covers(route, address) && (best == nullptr || route.length >= best->length)) best = &route;
      }
      const Routes::Entry* found = table->Find(address.family, address.octets.data());
      if (!Expect((found == nullptr) == (best == nullptr))) return;
      if (found == nullptr) continue;
      if (!Expect(found->outbound == best->outbound && found->inbound == best->inbound)) return;
      Expect(found->Allows(best->inbound[0]) && !found->Allows(best->inbound[0] + 1));
    }
  }
}};

const Test kRing{"a ring hands over every message whole, in order, and refuses when full", [] {
  Random random(42);
  SpscRing ring(1024);
  std::vector<std::vector<std::uint8_t>> expected;
  std::size_t taken = 0;
  for (int i = 0; i < 20000; ++i) {
    if (random.Chance(2)) {
      const auto head = random.Octets(random.Below(40));
      const auto tail = random.Octets(random.Below(200));
      if (ring.Push(head, tail)) {
        expected.push_back(head);
        expected.back().insert(expected.back().end(), tail.begin(), tail.end());
      }
    } else {
      ring.Pop([&](Bytes message) {
        Expect(std::equal(message.begin(), message.end(), expected[taken].begin(), expected[taken].end()));
        ++taken;
      });
    }
  }
  Expect(taken > 1000);
  Expect(!ring.Push(std::vector<std::uint8_t>(600), {}), "half the ring at most");
}};

const Test kRingThreads{"a ring between two threads loses nothing", [] {
  SpscRing ring(4096);
  constexpr std::uint32_t kCount = 100000;
  std::thread producer([&] {
    for (std::uint32_t i = 0; i < kCount;) {
      std::uint8_t octets[4];
      Store32(octets, i);
      if (ring.Push(octets, Bytes(octets).first(i % 5))) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  std::uint32_t next = 0;
  while (next < kCount) {
    const bool got = ring.Pop([&](Bytes message) {
      Expect(Load32(message.data()) == next && message.size() == 4 + next % 5);
      ++next;
    });
    if (!got) std::this_thread::yield();
  }
  producer.join();
}};

const Test kControlRing{"events wake once until taken, and again when some are left", [] {
  int wakes = 0;
  ControlRing ring(2, [&] { ++wakes; });
  EventHead head;
  for (std::uint32_t i = 0; i < 10; ++i) {
    head.slot = i;
    Expect(ring.Post(i % 2, head, {}));
  }
  ExpectEqual(wakes, 1);
  std::vector<Slot> slots;
  const auto take = [&](const EventHead& event, Bytes) { slots.push_back(event.slot); };
  ring.Take(6, take);
  ExpectEqual(slots.size(), 6u);
  ExpectEqual(wakes, 2);
  ring.Take(100, take);
  ExpectEqual(slots.size(), 10u);
  head.kind = EventKind::kFailed;
  ring.PostRare(head, "why");
  ExpectEqual(wakes, 3);
  ring.Take(100, [&](const EventHead& event, Bytes text) {
    Expect(event.kind == EventKind::kFailed && text.size() == 3);
  });
  const std::vector<std::uint8_t> large(1 << 19);
  std::size_t pushed = 0;
  while (ring.Post(0, head, std::vector<std::uint8_t>(60000))) ++pushed;
  Expect(pushed > 5 && pushed < 20 && !ring.Post(0, head, large));
}};

struct Canary {
  explicit Canary(std::atomic<int>* count) : alive(count) { ++*alive; }
  Canary(const Canary&) = delete;
  Canary& operator=(const Canary&) = delete;
  ~Canary() { --*alive; }
  std::atomic<int>* alive;
};

const Test kGrace{"what is retired goes once every thread has passed, and blocked threads do not hold it", [] {
  std::atomic<int> alive{0};
  GracePeriods grace(2);
  Expect(!grace.Pass(0) && !grace.Pass(1));
  grace.Retire(std::make_unique<Canary>(&alive));
  grace.Reclaim();
  ExpectEqual(alive.load(), 1);
  Expect(grace.Pass(0), "the main thread waits");
  grace.Reclaim();
  ExpectEqual(alive.load(), 1);
  grace.Leave(1);
  grace.Reclaim();
  ExpectEqual(alive.load(), 0);
}};

const Test kGraceThreads{"a reader never sees what has been destroyed", [] {
  GracePeriods grace(2);
  std::atomic<int> alive{0};
  struct Shared {
    explicit Shared(std::atomic<int>* count) : canary(count) {}
    Canary canary;
    std::uint64_t magic = 0x1234567;
  };
  auto current = std::make_unique<Shared>(&alive);
  std::atomic<Shared*> published{current.get()};
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  for (std::size_t t = 0; t < 2; ++t) {
    readers.emplace_back([&, t] {
      std::uint64_t sum = 0;
      for (int i = 0; !stop.load(std::memory_order_relaxed); ++i) {
        static_cast<void>(grace.Pass(t));
        for (int k = 0; k < 20; ++k) sum += published.load(std::memory_order_seq_cst)->magic == 0x1234567 ? 0u : 1u;
        if (i % 16 == 0) {
          grace.Leave(t);
          std::this_thread::yield();
        }
      }
      ExpectEqual(sum, 0u);
      grace.Leave(t);
    });
  }
  for (int i = 0; i < 20000; ++i) {
    auto next = std::make_unique<Shared>(&alive);
    published.store(next.get(), std::memory_order_seq_cst);
    std::swap(current, next);
    grace.Retire(std::move(next));
    grace.Reclaim();
  }
  stop.store(true);
  for (auto& reader : readers) reader.join();
  grace.Reclaim();
  ExpectEqual(alive.load(), 1);
}};

const Test kModeration{"a stream is held while it brings a packet every 10 µs, and nothing else ever is", [] {
  // So many packets by themselves at every look, a look every so many microseconds: how often of 1000 looks it holds.
  const auto held = [](std::size_t packets, std::uint64_t every_us) {
    Moderation moderation;
    std::uint64_t now = 1'000'000'000'000;
    int count = 0;
    for (int i = 0; i < 1000; ++i, now += every_us * 1000) count += moderation.Holds(now, packets) ? 1 : 0;
    return count;
  };
  Expect(held(1, 11) == 0);
  Expect(held(5, 51) == 0);
  Expect(held(0, 5) == 0);
  // A millisecond passes before it counts as fast.
  Expect(held(1, 10) > 850);
  Expect(held(5, 50) > 950);

  Moderation moderation;
  std::uint64_t now = 5'000'000;
  bool holds = false;
  for (int i = 0; i < 1000; ++i, now += 5000) holds = moderation.Holds(now, 1);
  Expect(holds);
  // A packet after a pause is not a fast stream's, however fast the last one was.
  Expect(!moderation.Holds(now + 2'000'000, 1));
}};

const Test kSlack{"a data thread's sleeps of microseconds are not rounded up to save a wake-up", [] {
  std::atomic<int> slack_ns{0};
  {
    const auto thread = Thread::Start("sleeper", [&] { slack_ns.store(::prctl(PR_GET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL)); });
    Expect(static_cast<bool>(thread));
  }
  ExpectEqual(slack_ns.load(), 1);
}};

const Test kBucket{"a token bucket admits its burst at once and its rate afterwards", [] {
  TokenBucket bucket(1000, 50);
  std::uint64_t now = 1'000'000'000;
  int admitted = 0;
  for (int i = 0; i < 200; ++i) admitted += bucket.Take(now) ? 1 : 0;
  Expect(admitted >= 50 && admitted <= 51, std::to_string(admitted));
  admitted = 0;
  for (int i = 0; i < 10000; ++i) {
    now += 100'000;  // ten a millisecond offered, one admitted
    admitted += bucket.Take(now) ? 1 : 0;
  }
  Expect(admitted >= 999 && admitted <= 1001, std::to_string(admitted));
}};

const Test kIndex{"sessions are found by endpoint, newest first, through growth and removal", [] {
  Random random(43);
  GracePeriods grace(0);
  EndpointIndex index(&grace);
  std::vector<std::unique_ptr<Session>> sessions;
  std::multimap<std::uint16_t, Session*> naive;
  const auto endpoint = [](std::uint16_t port) {
    Endpoint e;
    e.address.family = port % 2 == 0 ? 4 : 6;
    e.address.octets[3] = 9;
    e.port = port;
    return e;
  };
  for (int i = 0; i < 3000; ++i) {
    if (naive.empty() || !random.Chance(3)) {
      const auto port = static_cast<std::uint16_t>(random.Below(900));
      sessions.push_back(std::make_unique<Session>());
      sessions.back()->order = sessions.size();
      index.Add(endpoint(port), sessions.back().get());
      naive.insert({port, sessions.back().get()});
    } else {
      auto victim = naive.begin();
      std::advance(victim, static_cast<std::ptrdiff_t>(random.Below(naive.size())));
      index.Remove(endpoint(victim->first), victim->second);
      naive.erase(victim);
    }
    grace.Reclaim();
  }
  for (std::uint16_t port = 0; port < 900; ++port) {
    std::vector<Session*> expected;
    for (auto [at, end] = naive.equal_range(port); at != end; ++at) expected.push_back(at->second);
    std::sort(expected.begin(), expected.end(), [](auto* a, auto* b) { return a->order > b->order; });
    if (expected.size() > kMaxTrialOpens) expected.resize(kMaxTrialOpens);
    std::array<Session*, kMaxTrialOpens> found{};
    const std::size_t count = index.Find(endpoint(port), &found);
    Expect(std::equal(expected.begin(), expected.end(), found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count)));
  }
}};

const Test kNumbers{"numbers of a session are used once, by many threads, and never beyond the epoch (H24, H25)", [] {
  Session session;
  session.epoch = 1;
  constexpr std::uint64_t kStart = kSequenceMask - 40000;
  session.next_number = (RecordNumber{1} << kSequenceBits) | kStart;
  std::vector<std::vector<RecordNumber>> taken(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < taken.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10000; ++i) {
        const std::uint64_t count = 1 + static_cast<std::uint64_t>(i % 3);
        if (const auto first = session.TakeNumbers(count)) {
          for (std::uint64_t k = 0; k < count; ++k) taken[t].push_back(*first + k);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::vector<RecordNumber> all;
  for (const auto& part : taken) all.insert(all.end(), part.begin(), part.end());
  std::sort(all.begin(), all.end());
  Expect(std::adjacent_find(all.begin(), all.end()) == all.end());
  Expect(!all.empty() && all.back() >> kSequenceBits == 1 && all.size() <= 40001 && all.size() > 39900);
  Expect(!session.TakeNumbers(1).has_value());
}};

}  // namespace
}  // namespace dtunnel::test
