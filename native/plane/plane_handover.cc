// Plane, the part that hands over to another process and goes on from what one handed over.
//
//   old process   Pause → TakeEvents until empty → Freeze → WriteHandover; the new one has the descriptors → destroyed,
//                 or Thaw, if the new one does not come up
//   new process   Adopt: takes the descriptors → reads the state → looks at every descriptor → restores → starts its
//                 threads at a closed gate; Thaw
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <iterator>

#include "base/check.h"
#include "os/clock.h"
#include "plane/plane.h"

namespace dtunnel {
namespace {

// A thread reaches a batch boundary within milliseconds, unless every message of its batch waits for a full socket.
constexpr std::chrono::milliseconds kPauseLimit{1000};

template <typename Counters, std::size_t kWords>
void AddTo(std::array<std::uint64_t, kWords>* words, const Counters& counters) {
  std::size_t at = 0;
  EachCounter(counters, [&](const Counter& counter) { (*words)[at++] += counter.value(); });
}

template <typename Counters, std::size_t kWords>
void SetFrom(const std::array<std::uint64_t, kWords>& words, Counters* counters) {
  std::size_t at = 0;
  EachCounter(*counters, [&](Counter& counter) { counter.Set(words[at++]); });
}

HandoverSession StateOf(const Session& session, const SessionTotals& totals) {
  HandoverSession out;
  out.slot = session.slot;
  out.peer = session.peer->id;
  out.epoch = session.epoch;
  if (session.has_our_id) out.our_id = session.our_id;
  out.peer_id = session.peer_id;
  out.read = session.secrets->read.keys();
  out.write = session.secrets->write.keys();
  out.next_number = session.next_number.load(std::memory_order_relaxed);
  out.window = session.window.Save();
  out.path = session.owned_path->path;
  out.previous = session.owned_path->previous;
  out.max_packet = session.max_packet.load(std::memory_order_relaxed);
  out.confirmed = session.confirmed.load(std::memory_order_relaxed);
  out.packs = session.packs;
  out.many_ports = session.many_ports.load(std::memory_order_relaxed);
  out.moved_ns = session.moved_ns.load(std::memory_order_relaxed);
  out.own_path_ns = session.own_path_ns.load(std::memory_order_relaxed);
  out.counters = {totals.sealed_records, totals.sealed_bytes, totals.opened_records,
                  totals.opened_bytes,   totals.failed_opens, totals.last_receive_ns};
  return out;
}

HandoverPeer StateOf(const Peer& peer) {
  HandoverPeer out;
  out.id = peer.id;
  out.options = peer.options.load(std::memory_order_relaxed);
  if (peer.owned_limit != nullptr) {
    const RateLimit& limit = *peer.owned_limit;
    out.limit = HandoverLimit{static_cast<std::uint64_t>(std::llround(limit.bits_per_second)), limit.out.due(),
                              limit.in.due()};
  }
  const Session* active = peer.active.load(std::memory_order_relaxed);
  if (active != nullptr) out.active = active->slot;
  for (std::size_t i = 0; i < peer.thread_count; ++i) AddTo(&out.counters, peer.counters[i]);
  return out;
}

}  // namespace

std::vector<int> Plane::descriptors() const {
  std::vector<int> all = shared_->tun.descriptors();
  for (const auto& socket : sockets_.All()) all.push_back(socket->fd());
  return all;
}

Status Plane::Pause() {
  if (paused_) return Done{};
  if (!shared_->gate.Close(kPauseLimit, [this] { WakeThreads(); })) return Error{ETIMEDOUT, "freeze"};
  paused_ = true;
  return Done{};
}

void Plane::Thaw() {
  frozen_ = false;
  if (!paused_) return;
  paused_ = false;
  shared_->gate.Open();
}

Handover Plane::Freeze() {
  Check(paused_, "only a paused plane has a state");
  frozen_ = true;
  Handover out;
  out.device_name = shared_->tun.name();
  out.tso = shared_->tun.tso();
  out.uso = shared_->tun.uso();
  out.offloads = shared_->offloads.all();
  out.mark = sockets_.mark();
  out.lanes = static_cast<std::uint32_t>(shared_->lanes);
  out.listening = sockets_.listening();
  out.overlapping = sockets_.overlapping();
  for (const auto& socket : sockets_.All()) out.sockets.push_back(HandoverSocket{socket->local(), socket->overflows()});
  for (std::size_t i = 0; i < shared_->thread_count(); ++i) AddTo(&out.counters, shared_->counters[i]);
  out.buckets = {shared_->icmp_errors.due(), shared_->handshakes.due(), shared_->unknown_records.due()};
  for (const auto& peer : peers_) {
    if (peer != nullptr) out.peers.push_back(StateOf(*peer));
  }
  std::vector<const Session*> sessions;
  for (const auto& session : sessions_) sessions.push_back(session.get());
  std::sort(sessions.begin(), sessions.end(), [](const Session* a, const Session* b) { return a->order < b->order; });
  out.sessions.reserve(sessions.size());
  for (const Session* session : sessions) out.sessions.push_back(StateOf(*session, TotalsOf(*session)));
  if (routes_ != nullptr) out.routes = routes_->All();
  return out;
}

Result<std::unique_ptr<Plane>> Plane::Adopt(const PlaneConfig& config, std::vector<Fd> descriptors, Bytes state,
                                            std::function<void()> wake) {
  for (const Fd& fd : descriptors) {
    const Status ours = TakeInherited(fd);
    if (!ours) return ours.error();
  }
  Result<Handover> read = ReadHandover(state);
  if (!read) return read.error();
  const Handover& handover = read.value();
  if (descriptors.size() != handover.descriptors()) return Error{EINVAL, kInheritedDescriptor};
  const std::optional<AeadSuite> suite = AeadSuite::Choose(config.crypto);
  if (!suite) return Error{ENOTSUP, "AEAD self-test"};

  const std::size_t queue_count = Tun::DescriptorsOf(handover.lanes);
  const auto first_socket = descriptors.begin() + static_cast<std::ptrdiff_t>(queue_count);
  std::vector<Fd> queues(std::make_move_iterator(descriptors.begin()), std::make_move_iterator(first_socket));
  Result<Tun> tun = Tun::Adopt(handover.device_name, std::move(queues), handover.tso, handover.uso);
  if (!tun) return tun.error();
  LaneSockets::Sockets sockets;
  for (std::size_t i = 0; i < handover.sockets.size(); ++i) {
    const HandoverSocket& from = handover.sockets[i];
    Result<UdpSocket> socket = UdpSocket::Adopt(std::move(descriptors[queue_count + i]), from.local, from.overflows);
    if (!socket) return socket.error();
    sockets.push_back(std::make_shared<UdpSocket>(std::move(socket.value())));
  }

  PlaneConfig resumed = config;
  resumed.lanes = handover.lanes;
  resumed.mark = handover.mark;
  resumed.disabled = ~handover.offloads;
  std::unique_ptr<Plane> plane(new Plane(resumed, *suite));
  plane->shared_ = std::make_unique<Shared>(handover.lanes, std::move(tun.value()), handover.offloads, std::move(wake));
  plane->sockets_.Adopt(std::move(sockets), handover.listening, handover.overlapping);
  const Status restored = plane->Restore(handover);
  if (!restored) return restored.error();
  // Not one thread may take a number before all of them run and the caller says so: until then the other plane may thaw.
  plane->paused_ = plane->frozen_ = true;
  plane->shared_->gate.Shut();
  const Status started = plane->Start(resumed);
  if (!started) return started.error();
  return plane;
}

// No thread runs yet: every word has one writer still, and what all threads counted is the main thread's from now on.
Status Plane::Restore(const Handover& handover) {
  const std::size_t main = shared_->main_thread();
  const std::uint64_t now = NowNs();
  SetFrom(handover.counters, &shared_->counters[main]);
  shared_->icmp_errors.Restore(handover.buckets[0], now);
  shared_->handshakes.Restore(handover.buckets[1], now);
  shared_->unknown_records.Restore(handover.buckets[2], now);
  for (const HandoverPeer& from : handover.peers) {
    PeerConfig config;
    config.options = from.options;
    if (from.limit) config.rate_limit = static_cast<double>(from.limit->bits_per_second);
    SetPeer(from.id, config);
    Peer* peer = peers_[from.id].get();
    SetFrom(from.counters, &peer->counters[main]);
    if (!from.limit) continue;
    peer->owned_limit->out.Restore(from.limit->out, now);
    peer->owned_limit->in.Restore(from.limit->in, now);
  }
  for (const HandoverSession& from : handover.sessions) {
    if (!RestoreSession(from)) return Error{EBADMSG, "handover state"};
  }
  for (const HandoverPeer& from : handover.peers) {
    if (from.active) Activate(from.id, from.active);
  }
  SetRoutes(handover.routes);
  return Done{};
}

bool Plane::RestoreSession(const HandoverSession& from) {
  SessionConfig config;
  config.slot = from.slot;
  config.peer = from.peer;
  config.epoch = from.epoch;
  config.read = from.read;
  config.write = from.write;
  config.our_id = from.our_id;
  config.peer_id = from.peer_id;
  config.path = from.path;
  config.packs = from.packs;
  if (Install(config) != Outcome::kDone) return false;
  Session* session = shared_->sessions.Find(from.slot);
  session->next_number.store(from.next_number, std::memory_order_relaxed);
  if (!session->window.Restore(from.window)) return false;
  SetPath(session, from.path, from.previous);
  session->max_packet.store(from.max_packet, std::memory_order_relaxed);
  session->confirmed.store(from.confirmed, std::memory_order_relaxed);
  session->many_ports.store(from.many_ports, std::memory_order_relaxed);
  session->moved_ns.store(from.moved_ns, std::memory_order_relaxed);
  session->own_path_ns.store(from.own_path_ns, std::memory_order_relaxed);
  SessionCounters& counters = session->counters[shared_->main_thread()];
  std::size_t at = 0;
  for (Counter* counter : {&counters.sealed_records, &counters.sealed_bytes, &counters.opened_records,
                           &counters.opened_bytes, &counters.failed_opens, &counters.last_receive_ns}) {
    counter->Set(from.counters[at++]);
  }
  return true;
}

}  // namespace dtunnel
