// Handing over: the document, and whole planes that go on from one, in a network namespace of their own (needs root).
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>

#include "os/socket_address.h"
#include "plane/handover.h"
#include "plane/plane.h"
#include "test/check.h"
#include "test/handovers.h"
#include "test/namespace.h"

namespace dtunnel::test {
namespace {

constexpr PeerId kPeer = 3;

std::vector<std::uint8_t> Written(const Handover& handover) {
  std::vector<std::uint8_t> document(HandoverSize(handover));
  Expect(WriteHandover(handover, document));
  return document;
}

const Test kWindow{"a replay window that was saved and restored accepts and refuses the same numbers (random histories)", [] {
  Random random(61);
  for (int round = 0; round < 40; ++round) {
    ReplayWindow before;
    std::uint64_t base = random.Chance(3) ? 0 : random.Below((std::uint64_t{1} << 48) - 40000);
    if (random.Chance(2)) before.Preset(base);
    for (std::uint64_t n = random.Below(4000); n != 0; --n) {
      before.Commit(base + random.Below(300));
      base += random.Below(4);
    }
    const ReplayWindow::Saved saved = before.Save();
    ReplayWindow after;
    Expect(after.Restore(saved) && after.Save() == saved && after.edge() == before.edge());
    for (std::uint64_t d = 0; d < 9000 && d < before.edge(); ++d) {
      const std::uint64_t number = before.edge() - 1 - d;
      if (before.Check(number) != after.Check(number)) {
        Expect(false, "number " + std::to_string(d) + " behind the edge");
        break;
      }
    }
    for (int i = 0; i < 500; ++i) {
      const std::uint64_t number = before.edge() + random.Below(40) - std::min<std::uint64_t>(before.edge(), random.Below(2000));
      const auto a = before.Commit(number);
      const auto b = after.Commit(number);
      if (!Expect(a.outcome == b.outcome && a.lost == b.lost)) break;
    }
  }
}};

const Test kRound{"a handover document is read as what was written", [] {
  Random random(62);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::vector<std::uint8_t>> memory;
    memory.reserve(1000);
    const auto document = Written(RandomHandover(&random, 5, &memory));
    auto read = ReadHandover(document);
    if (!Expect(static_cast<bool>(read), "round " + std::to_string(round))) return;
    Expect(Written(read.value()) == document);
  }
}};

const Test kLeast{"so is the smallest one of each part, with nothing behind it", [] {
  const std::vector<std::uint8_t> key(16, 1);
  Handover h;
  h.device_name = "d";
  for (int parts = 0; parts < 4; ++parts) {
    if (parts == 1) h.peers.push_back(HandoverPeer{.id = 0, .options = {}, .limit = {}, .active = {}});
    if (parts == 2) {
      HandoverSession session;
      session.read.key = session.write.key = key;
      session.read.iv = session.write.iv = Bytes(key).first(4);
      session.path.remote.address.family = 4;
      h.sessions.push_back(session);
    }
    if (parts == 3) {
      Route route;
      route.address.family = 4;
      h.routes.push_back(route);
    }
    const auto document = Written(h);
    auto read = ReadHandover(document);
    if (Expect(static_cast<bool>(read), std::to_string(parts) + " parts")) Expect(Written(read.value()) == document);
  }
}};

const Test kDamaged{"a handover document that is cut, longer or has any bit changed is refused", [] {
  Random random(63);
  std::vector<std::vector<std::uint8_t>> memory;
  memory.reserve(1000);
  const auto document = Written(RandomHandover(&random, 5, &memory));
  for (std::size_t size = 0; size < document.size(); ++size) {
    if (!Expect(!ReadHandover(Bytes(document).first(size)), "cut to " + std::to_string(size))) return;
  }
  auto longer = document;
  longer.push_back(0);
  Expect(!ReadHandover(longer));
  for (int i = 0; i < 4000; ++i) {
    auto flipped = document;
    flipped[random.Below(flipped.size())] ^= static_cast<std::uint8_t>(1u << random.Below(8));
    if (!Expect(!ReadHandover(flipped))) return;
  }
  // Without the digest in the way: the parser's own rules, whose answer may be yes but never harm.
  for (int i = 0; i < 4000; ++i) {
    auto flipped = document;
    for (std::uint64_t n = 1 + random.Below(4); n != 0; --n) {
      flipped[random.Below(flipped.size())] = static_cast<std::uint8_t>(random.Chance(2) ? 0xff : random.Next());
    }
    auto read = ReadHandoverUnchecked(flipped);
    if (read) {
      auto again = Written(read.value());
      Expect(std::equal(again.begin(), again.end() - 32, flipped.begin(), flipped.end() - 32), "what is read is all there is");
    }
  }
}};

const Test kForeign{"a handover document of another version says so, and what contradicts itself is refused", [] {
  Random random(64);
  std::vector<std::vector<std::uint8_t>> memory;
  memory.reserve(1000);
  const Handover good = RandomHandover(&random, 5, &memory);
  auto document = Written(good);
  Expect(static_cast<bool>(ReadHandover(document)));
  for (std::size_t at = 4; at < 11; ++at) {  // version and layout
    auto other = document;
    other[at] ^= 1;
    const auto read = ReadHandover(other);
    Expect(!read && read.error().code == EPROTONOSUPPORT);
  }
  const std::vector<std::function<void(Handover*)>> lies = {
      [](Handover* h) { h->sessions[1].slot = h->sessions[0].slot; },
      [](Handover* h) { h->sessions[0].peer = 999; },
      [](Handover* h) { std::swap(h->peers[0], h->peers[1]); },
      [](Handover* h) { h->peers[0].active = 77; },
      [](Handover* h) { h->peers[h->sessions[0].peer == h->peers[0].id ? 1 : 0].active = h->sessions[0].slot; },
      [](Handover* h) { h->sessions[0].next_number = 0; },
      [](Handover* h) { h->sessions[0].window.edge = (std::uint64_t{1} << 48) + 1; },
      [](Handover* h) { h->sessions[0].window.blocks[0] = 0xffffffff; h->sessions[0].window.edge &= ~31ull; h->sessions[0].window.edge |= 1; },
      [](Handover* h) { h->sessions[0].window.first = h->sessions[0].window.edge + 1; },
      [](Handover* h) { h->sessions[0].path.remote.address = IpAddress{}; },
      [](Handover* h) { h->routes[0].length = 129; },
      [](Handover* h) { h->device_name = "a-name-of-16-oct"; },
      [](Handover* h) { h->device_name.clear(); },
      [](Handover* h) { h->lanes = 0; },
      [](Handover* h) { h->sockets.pop_back(); },
      [](Handover* h) { h->peers[0].limit = HandoverLimit{1, 0, 0}; },
  };
  for (std::size_t i = 0; i < lies.size(); ++i) {
    Handover lie = good;
    lies[i](&lie);
    const auto read = ReadHandover(Written(lie));
    Expect(!read && read.error().code == EBADMSG, "lie " + std::to_string(i));
  }
}};

const Test kGate{"a gate that a thread does not come to in time opens again, and nobody is held by it", [] {
  Gate gate(2);
  std::atomic<bool> stop{false};
  std::atomic<bool> late{true};
  const auto body = [&](bool stubborn) {
    while (!stop.load()) {
      if (gate.closed() && !(stubborn && late.load())) gate.Wait();
      ::poll(nullptr, 0, 1);
    }
    gate.Leave();
  };
  std::thread one(body, false);
  std::thread two(body, true);
  Expect(!gate.Close(std::chrono::milliseconds(50), [] {}));
  Expect(!gate.closed());
  late = false;
  Expect(gate.Close(std::chrono::milliseconds(10'000), [] {}));
  gate.Open();
  stop = true;
  one.join();
  two.join();
  Expect(gate.Close(std::chrono::milliseconds(10'000), [] {}), "threads that ended hold nobody up");
}};

const Test kBucket{"a token bucket goes on from its level, and never from a debt that it could not have", [] {
  TokenBucket before(1000, 10);
  const std::uint64_t now = 1'000'000'000;
  for (int i = 0; i < 6; ++i) Expect(before.Take(now));
  TokenBucket after(1000, 10);
  after.Restore(before.due(), now);
  for (int i = 0; i < 20; ++i) Expect(before.Take(now) == after.Take(now));
  TokenBucket hostile(1000, 10);
  hostile.Restore(~std::uint64_t{0}, now);
  Expect(!hostile.Take(now) && hostile.Take(now + 20'000'000));
}};

// One side of a tunnel over loopback, in two or more incarnations; the other side is a plain socket or a plane.
struct Side {
  std::unique_ptr<Plane> plane;
  std::vector<std::uint8_t> state;

  // What the next process would have: its own descriptors for the same open files.
  std::vector<Fd> Descriptors() const {
    std::vector<Fd> copies;
    for (const int fd : plane->descriptors()) copies.emplace_back(::dup(fd));
    return copies;
  }
  void Freeze() {
    Expect(static_cast<bool>(plane->Pause()));
    plane->TakeEvents(1000, [](const EventHead&, Bytes) {});
    state = Written(plane->Freeze());
  }
  bool HandOver() {
    Freeze();
    auto next = Plane::Adopt(PlaneConfig{}, Descriptors(), state, [] {});
    if (!Expect(static_cast<bool>(next), next ? "" : next.error().syscall)) return false;
    plane = std::move(next.value());  // the frozen one ends without touching anything
    plane->Thaw();
    return true;
  }
};

IpAddress Loopback(std::uint8_t family) {
  IpAddress address;
  address.family = family;
  if (family == 4) address.octets = {127, 0, 0, 1};
  if (family == 6) address.octets[15] = 1;
  return address;
}

Side OpenSide(const char* name, std::uint32_t lanes, std::uint8_t family) {
  PlaneConfig config;
  config.device_name = name;
  config.device_mtu = 1400;
  config.listen = {ListenSpec{Loopback(family), 0}};
  config.lanes = lanes;
  auto opened = Plane::Open(config, [] {});
  Side side;
  if (Expect(static_cast<bool>(opened), "plane opens")) side.plane = std::move(opened.value());
  return side;
}

// Keys depend on the slot only: both sides use the same ones in both directions of the mirror.
void InstallOn(Plane* plane, Slot slot, bool first, const Endpoint& remote, bool ids) {
  std::vector<std::uint8_t> mine(16, static_cast<std::uint8_t>(slot));
  std::vector<std::uint8_t> theirs(16, static_cast<std::uint8_t>(slot + 100));
  if (!first) std::swap(mine, theirs);
  const std::uint8_t iv[4] = {1, 2, 3, 4};
  const std::uint8_t id[8] = {0, 0, static_cast<std::uint8_t>(slot), 9, 9, 9, 9, 9};
  SessionConfig config;
  config.slot = slot;
  config.peer = kPeer;
  config.epoch = 1;
  config.write = RecordKeys{AeadAlgorithm::kAes128Gcm, mine, iv};
  config.read = RecordKeys{AeadAlgorithm::kAes128Gcm, theirs, iv};
  if (ids) config.our_id = config.peer_id = id;
  config.path.remote = remote;
  config.path_mtu = 1472;
  Expect(plane->Install(config) == Plane::Outcome::kDone);
}

void RouteOn(Plane* plane, int octet) {
  plane->SetPeer(kPeer, PeerConfig{});
  Route route;
  route.address.family = 4;
  route.address.octets[0] = 10;
  route.length = 8;
  route.outbound = kPeer;
  route.inbound = {kPeer};
  plane->SetRoutes({route});
  const std::string command = "ip addr add 10." + std::to_string(octet) + ".0.1/16 dev " + plane->device_name() +
                              " && ip link set " + plane->device_name() + " up";
  Expect(std::system(command.c_str()) == 0);  // NOLINT(cert-env33-c): fixed words
}

std::array<std::uint64_t, kThreadCounterWords> TotalsOf(const Plane& plane) {
  std::array<std::uint64_t, kThreadCounterWords> words{};
  for (std::size_t i = 0; i < plane.thread_count(); ++i) {
    std::size_t at = 0;
    EachCounter(plane.CountersOf(i), [&](const Counter& counter) { words[at++] += counter.value(); });
  }
  return words;
}

// A peer without a plane: seals and opens with a cipher of its own, so that every number is under control.
class Wire {
 public:
  explicit Wire(std::uint8_t family) : fd_(::socket(family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_storage address{};
    socklen_t size = EncodeSocketAddress(Endpoint{Loopback(family), 0}, &address);
    Expect(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    size = sizeof address;
    Expect(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    local_ = DecodeSocketAddress(address);
    const auto suite = *AeadSuite::Choose(AeadPreference::kAuto);
    const std::vector<std::uint8_t> mine(16, 101);
    const std::vector<std::uint8_t> theirs(16, 1);
    const std::uint8_t iv[4] = {1, 2, 3, 4};
    seal_ = RecordCipher::Create(suite, AeadDirection::kSeal, RecordKeys{AeadAlgorithm::kAes128Gcm, mine, iv});
    open_ = RecordCipher::Create(suite, AeadDirection::kOpen, RecordKeys{AeadAlgorithm::kAes128Gcm, theirs, iv});
  }

  const Endpoint& local() const { return local_; }

  // A control message with the number `sequence` of slot 1.
  void Send(const Endpoint& to, std::uint64_t sequence) {
    std::vector<std::uint8_t> content{1, 2, 3, 0};
    std::vector<std::uint8_t> record(200);
    const RecordNumber number = RecordNumber{1} << kSequenceBits | sequence;
    record.resize(seal_->Seal(kApplicationData, number, {}, content.data(), 3, record.data()));
    sockaddr_storage address{};
    const socklen_t size = EncodeSocketAddress(to, &address);
    Expect(::sendto(fd_.get(), record.data(), record.size(), 0, reinterpret_cast<sockaddr*>(&address), size) > 0);
  }

  // The number of the next record that arrives and opens.
  std::optional<std::uint64_t> Receive() {
    pollfd wait{fd_.get(), POLLIN, 0};
    if (::poll(&wait, 1, 5000) <= 0) return std::nullopt;
    std::vector<std::uint8_t> record(2000);
    const ssize_t size = ::recv(fd_.get(), record.data(), record.size(), 0);
    RecordHeader header;
    if (size < 0 || ParseRecordHeader(Bytes(record).first(static_cast<std::size_t>(size)), &header) != RecordFault::kNone) {
      return std::nullopt;
    }
    std::vector<std::uint8_t> out(RecordCipher::PlaintextBound(header));
    RecordCipher::Opened opened{};
    if (open_->Open(header, out.data(), &opened) != RecordCipher::Failure::kNone) return std::nullopt;
    return header.number & kSequenceMask;
  }

 private:
  Fd fd_;
  Endpoint local_;
  std::unique_ptr<RecordCipher> seal_;
  std::unique_ptr<RecordCipher> open_;
};

// Waits for `wanted` records handed up in all, and says how many were.
std::uint64_t ControlOf(const Plane& plane, std::uint64_t wanted) {
  constexpr std::size_t kControl = 9;  // in the order of EachCounter
  for (int i = 0; i < 500 && TotalsOf(plane)[kControl] < wanted; ++i) ::poll(nullptr, 0, 10);
  return TotalsOf(plane)[kControl];
}

std::uint64_t Replays(const Plane& plane, std::uint64_t wanted) {
  const auto count = [&plane] {
    std::uint64_t sum = 0;
    const Peer& peer = *plane.peers()[kPeer];
    for (std::size_t i = 0; i < peer.thread_count; ++i) {
      sum += peer.counters[i].drops_in[static_cast<std::size_t>(Drop::kReplay)].value();
    }
    return sum;
  };
  for (int i = 0; i < 500 && count() < wanted; ++i) ::poll(nullptr, 0, 10);
  return count();
}

void Numbers(std::uint8_t family, std::uint32_t lanes) {
  if (!Namespace()) return;
  Side side = OpenSide("hand-n", lanes, family);
  if (side.plane == nullptr) return;
  Wire wire(family);
  side.plane->SetPeer(kPeer, PeerConfig{});
  InstallOn(side.plane.get(), 1, true, wire.local(), false);
  const Endpoint to = side.plane->listening()[0];
  for (std::uint64_t n = 0; n < 300; n += 2) wire.Send(to, n);
  ExpectEqual(ControlOf(*side.plane, 150), 150u);
  const std::uint8_t message[3] = {1, 2, 3};
  std::uint64_t next = 0;
  const auto seal = [&] {
    Expect(side.plane->SealAndSend(1, kApplicationData, message, std::nullopt) == Plane::Outcome::kDone);
    ExpectEqual(wire.Receive().value_or(~0ull), next++);
  };
  for (int i = 0; i < 5; ++i) seal();
  for (int round = 0; round < 3; ++round) {
    const auto before = TotalsOf(*side.plane);
    // Waits in the kernel: neither lost nor read by the old one.
    Expect(static_cast<bool>(side.plane->Pause()));
    const auto hole = static_cast<std::uint64_t>(1 + 2 * round);
    wire.Send(to, hole);
    if (!side.HandOver()) return;
    Expect(side.plane->listening()[0] == to);
    const auto after = TotalsOf(*side.plane);
    for (std::size_t i = 0; i < after.size(); ++i) Expect(after[i] >= before[i], "counter " + std::to_string(i));
    seal();
    ExpectEqual(ControlOf(*side.plane, static_cast<std::uint64_t>(151 + round)), static_cast<std::uint64_t>(151 + round));
    for (std::uint64_t n = 0; n < 300; n += 2) wire.Send(to, n);  // all accepted before
    wire.Send(to, hole);
    ExpectEqual(Replays(*side.plane, static_cast<std::uint64_t>(151 * (round + 1))),
                static_cast<std::uint64_t>(151 * (round + 1)));
  }
  const auto totals = side.plane->SessionOf(1);
  Expect(totals && totals->opened_records == 153 && totals->sealed_records == next);
}

const Test kNumbers{"handed over, old numbers are refused, holes are accepted, and the next number is the next (planes)",
                    [] { Numbers(4, 1); }};
const Test kNumbers6{"the same over IPv6 with two lanes (planes)", [] { Numbers(6, 2); }};

const Test kRefuse{"a plane that cannot go on says why, closes what it was given and leaves the frozen one alone (planes)", [] {
  if (!Namespace()) return;
  Side side = OpenSide("hand-r", 2, 4);
  if (side.plane == nullptr) return;
  Wire wire(4);
  side.plane->SetPeer(kPeer, PeerConfig{});
  InstallOn(side.plane.get(), 1, true, wire.local(), false);
  const Endpoint to = side.plane->listening()[0];
  wire.Send(to, 1);
  ExpectEqual(ControlOf(*side.plane, 1), 1u);
  side.Freeze();
  const auto refused = [&](std::vector<Fd> descriptors, Bytes state, const char* what) {
    std::vector<int> numbers;
    for (const Fd& fd : descriptors) numbers.push_back(fd.get());
    const auto next = Plane::Adopt(PlaneConfig{}, std::move(descriptors), state, [] {});
    Expect(!next && std::strcmp(next.error().syscall, what) == 0, what);
    for (const int number : numbers) Expect(::fcntl(number, F_GETFD) == -1, "closed");
  };
  auto damaged = side.state;
  damaged[damaged.size() / 2] ^= 4;
  refused(side.Descriptors(), damaged, "handover state");
  auto other = side.state;
  other[5] += 1;
  refused(side.Descriptors(), other, "handover state");
  const auto with = [&](const std::function<void(std::vector<Fd>*)>& change) {
    std::vector<Fd> descriptors = side.Descriptors();
    change(&descriptors);
    refused(std::move(descriptors), side.state, kInheritedDescriptor);
  };
  with([](std::vector<Fd>* fds) { fds->pop_back(); });
  with([](std::vector<Fd>* fds) { fds->emplace_back(::dup(0)); });
  with([](std::vector<Fd>* fds) { std::swap((*fds)[0], (*fds)[4]); });                       // a socket for a queue
  with([](std::vector<Fd>* fds) { (*fds)[1] = Fd(::open("/dev/null", O_RDWR | O_CLOEXEC)); });  // another device
  with([](std::vector<Fd>* fds) { (*fds)[4] = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); });
  with([](std::vector<Fd>* fds) { (*fds)[4] = Fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)); });  // not bound there
  with([](std::vector<Fd>* fds) { std::swap((*fds)[4], fds->back()); });                     // another port
  with([](std::vector<Fd>* fds) { std::swap((*fds)[0], (*fds)[2]); });                       // a writer for a reader
  // One that was never thawed has read nothing and taken no number, so that the other may go on.
  {
    auto adopted = Plane::Adopt(PlaneConfig{}, side.Descriptors(), side.state, [] {});
    if (Expect(static_cast<bool>(adopted))) {
      wire.Send(to, 3);
      ::poll(nullptr, 0, 50);
      Expect(adopted.value()->frozen() && TotalsOf(*adopted.value()) == TotalsOf(*side.plane));
    }
  }
  // What came meanwhile is there after a thaw, and everything goes on.
  wire.Send(to, 2);
  side.plane->Thaw();
  ExpectEqual(ControlOf(*side.plane, 3), 3u);
  const std::uint8_t message[1] = {1};
  side.plane->SealAndSend(1, kApplicationData, message, std::nullopt);
  ExpectEqual(wire.Receive().value_or(~0ull), 0u);
}};

// Sends datagrams out of the device of side `from` to an address behind the other, at a pace that no queue fills at.
void Traffic(const std::string& device, int to_octet, const std::atomic<bool>* stop) {
  const Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, device.c_str(), static_cast<socklen_t>(device.size()));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  ::inet_pton(AF_INET, ("10." + std::to_string(to_octet) + ".0.77").c_str(), &to.sin_addr);
  const std::array<std::uint8_t, 200> data{};
  while (!stop->load(std::memory_order_relaxed)) {
    for (int i = 0; i < 4; ++i) {
      [[maybe_unused]] const ssize_t sent =
          ::sendto(fd.get(), data.data(), data.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    }
    ::poll(nullptr, 0, 2);
  }
}

void Loaded(std::uint32_t lanes) {
  if (!Namespace()) return;
  Side a = OpenSide("hand-a", lanes, 4);
  Side b = OpenSide("hand-b", lanes, 4);
  if (a.plane == nullptr || b.plane == nullptr) return;
  RouteOn(a.plane.get(), 1);
  RouteOn(b.plane.get(), 2);
  const Endpoint at_a = a.plane->listening()[0];
  const Endpoint at_b = b.plane->listening()[0];
  InstallOn(a.plane.get(), 1, true, at_b, true);
  InstallOn(b.plane.get(), 1, false, at_a, true);
  a.plane->Activate(kPeer, 1);
  b.plane->Activate(kPeer, 1);
  std::atomic<bool> stop{false};
  std::thread one(Traffic, "hand-a", 2, &stop);
  std::thread two(Traffic, "hand-b", 1, &stop);
  for (int round = 0; round < 20; ++round) {
    ::poll(nullptr, 0, 20);
    Side& side = round % 2 == 0 ? a : b;
    if (round % 5 == 4) {
      side.Freeze();
      side.plane->Thaw();
    } else if (!side.HandOver()) {
      break;
    }
  }
  stop = true;
  one.join();
  two.join();
  const auto settled = [&] {
    const auto from_a = a.plane->SessionOf(1);
    const auto from_b = b.plane->SessionOf(1);
    return from_a->sealed_records == from_b->opened_records && from_b->sealed_records == from_a->opened_records;
  };
  for (int i = 0; i < 500 && !settled(); ++i) ::poll(nullptr, 0, 10);
  const auto from_a = a.plane->SessionOf(1);
  ExpectEqual(from_a->sealed_records, b.plane->SessionOf(1)->opened_records);
  ExpectEqual(b.plane->SessionOf(1)->sealed_records, from_a->opened_records);
  Expect(from_a->sealed_records > 500, std::to_string(from_a->sealed_records));
  ExpectEqual(Replays(*a.plane, 0), 0u);
  ExpectEqual(Replays(*b.plane, 0), 0u);
}

const Test kLoaded{"under traffic both ways nothing is lost or taken twice, whichever side is handed over (planes)",
                   [] { Loaded(1); }};
const Test kLoadedLanes{"with three lanes neither (planes)", [] { Loaded(3); }};

}  // namespace
}  // namespace dtunnel::test
