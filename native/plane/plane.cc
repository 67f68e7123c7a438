#include "plane/plane.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "os/clock.h"
#include "packet/ip.h"

namespace dtunnel {
namespace {

constexpr OffloadSet kAllOffloads = (OffloadSet{1} << kOffloads) - 1;

// A burst of a tenth of a second, and at least one super packet.
double BurstOf(double octets_per_second) { return std::max(octets_per_second / 10, 65536.0 * 2); }

}  // namespace

Plane::Plane(const PlaneConfig& config, AeadSuite suite)
    : suite_(suite), sockets_(config.lanes, config.mark, (config.disabled & BitOf(Offload::kUdpGro)) == 0) {}

Result<std::unique_ptr<Plane>> Plane::Open(const PlaneConfig& config, std::function<void()> wake) {
  std::optional<AeadSuite> suite = AeadSuite::Choose(config.crypto);
  if (!suite) return Error{ENOTSUP, "AEAD self-test"};
  return OpenWith(config, *suite, std::move(wake));
}

Result<std::unique_ptr<Plane>> Plane::OpenWith(const PlaneConfig& config, const AeadSuite& suite,
                                               std::function<void()> wake) {
  std::unique_ptr<Plane> plane(new Plane(config, suite));
  const auto wanted = [&config](Offload offload) { return (config.disabled & BitOf(offload)) == 0; };
  Result<Tun> tun = Tun::Open(TunOptions{config.device_name, config.device_mtu, config.lanes,
                                         wanted(Offload::kTunTso), wanted(Offload::kTunUso)});
  if (!tun) return tun.error();
  OffloadSet enabled = kAllOffloads & ~config.disabled;
  if (!tun.value().tso()) enabled &= ~BitOf(Offload::kTunTso);
  // A kernel that does not know UDP super packets on reading refuses them on writing.
  if (!tun.value().uso()) enabled &= ~BitOf(Offload::kTunUso);
  if (!tun.value().uso() && wanted(Offload::kTunUso)) enabled &= ~BitOf(Offload::kTunCoalesceUdp);
  plane->shared_ = std::make_unique<Shared>(config.lanes, std::move(tun.value()), enabled, std::move(wake));
  const Status bound = plane->sockets_.Bind(config.listen);
  if (!bound) return bound.error();
  const Status started = plane->Start(config);
  if (!started) return started.error();
  return plane;
}

Status Plane::Start(const PlaneConfig& config) {
  if (!sockets_.gro()) shared_->offloads.Disable(Offload::kUdpGro);
  socket_sets_.resize(shared_->lanes);
  for (std::size_t i = 0; i < 2 * shared_->lanes; ++i) {
    Result<Wakeup> wakeup = Wakeup::Create();
    if (!wakeup) return wakeup.error();
    wakeups_.push_back(std::move(wakeup.value()));
  }
  Publish();
  return StartThreads(config.realtime);
}

Status Plane::StartThreads(bool realtime) {
  for (std::size_t lane = 0; lane < shared_->lanes; ++lane) {
    outbound_.push_back(std::make_unique<Outbound>(shared_.get(), lane, &wakeups_[SendThread(lane)]));
    inbound_.push_back(std::make_unique<Inbound>(shared_.get(), lane, &wakeups_[ReceiveThread(lane)]));
  }
  realtime_ = realtime;
  for (std::size_t lane = 0; lane < shared_->lanes; ++lane) {
    const std::string suffix = shared_->lanes == 1 ? "" : std::to_string(lane);
    for (const bool sends : {true, false}) {
      Outbound* outbound = outbound_[lane].get();
      Inbound* inbound = inbound_[lane].get();
      Result<std::unique_ptr<Thread>> thread = Thread::Start((sends ? "dtunnel-tx" : "dtunnel-rx") + suffix,
                                                             [sends, outbound, inbound] {
                                                               if (sends) {
                                                                 outbound->Run();
                                                               } else {
                                                                 inbound->Run();
                                                               }
                                                             });
      if (!thread) return thread.error();
      if (realtime && !thread.value()->MakeRealtime()) realtime_ = false;
      threads_.push_back(std::move(thread.value()));
    }
  }
  return Done{};
}

Plane::~Plane() {
  if (shared_ == nullptr) return;
  shared_->stopping.store(true, std::memory_order_relaxed);
  shared_->gate.Open();
  WakeThreads();
  threads_.clear();  // joins
}

void Plane::WakeThreads() const {
  for (const Wakeup& wakeup : wakeups_) wakeup.Signal();
}

void Plane::Publish() {
  for (std::size_t lane = 0; lane < shared_->lanes; ++lane) {
    auto set = std::make_unique<SocketSet>();
    set->sockets = sockets_.ReceivingOf(lane);
    std::swap(socket_sets_[lane], set);
    shared_->sockets[lane].store(socket_sets_[lane].get(), std::memory_order_seq_cst);
    shared_->grace.Retire(std::move(set));
  }
  WakeThreads();
  shared_->grace.Reclaim();
}

Status Plane::Rebind(const std::vector<ListenSpec>& listen) {
  const Status bound = sockets_.Bind(listen);
  if (!bound) return bound;
  Publish();
  for (const auto& session : sessions_) SetPath(session.get(), Path(session->owned_path->path));
  return Done{};
}

bool Plane::DropOldSockets() {
  const bool dropped = sockets_.DropOld();
  Publish();
  return dropped;
}

void Plane::SetPath(Session* session, const Path& path) {
  if (session->owned_path == nullptr) return SetPath(session, path, Endpoint{});
  const SessionPath& before = *session->owned_path;
  SetPath(session, path, before.path.remote == path.remote ? before.previous : before.path.remote);
}

void Plane::SetPath(Session* session, const Path& path, const Endpoint& previous) {
  auto published = std::make_unique<SessionPath>();
  published->path = path;
  published->previous = previous;
  // Only a peer that knows us by id may hear us from several ports (RFC 9146 §6).
  const bool one_port = session->peer_id.empty();
  for (std::size_t lane = 0; lane < shared_->lanes; ++lane) {
    const UdpSocket* socket = sockets_.SendingOf(one_port ? 0 : lane, path);
    // Without a socket of that family every send fails with EBADF and is counted.
    published->targets.push_back(SendTarget::Make(socket == nullptr ? -1 : socket->fd(), path));
  }
  std::unique_ptr<const SessionPath> before = std::move(session->owned_path);
  session->owned_path = std::move(published);
  session->path.store(session->owned_path.get(), std::memory_order_seq_cst);
  shared_->grace.Retire(std::move(before));
}

bool Plane::MakeCiphers(const SessionConfig& config, Session* session) const {
  const std::size_t threads = shared_->thread_count();
  session->sealers.resize(threads);
  session->openers.resize(threads);
  for (std::size_t i = 0; i < threads; ++i) {
    const bool is_main = i == shared_->main_thread();
    const bool sends = is_main || i % 2 == 0;
    if (sends) {
      session->sealers[i] = RecordCipher::Create(suite_, AeadDirection::kSeal, config.write);
      if (session->sealers[i] == nullptr) return false;
    }
    if (!is_main && !sends) {
      session->openers[i] = RecordCipher::Create(suite_, AeadDirection::kOpen, config.read);
      if (session->openers[i] == nullptr) return false;
    }
  }
  return true;
}

Plane::Outcome Plane::Install(const SessionConfig& config) {
  if (shared_->sessions.Find(config.slot) != nullptr) return Outcome::kSlotTaken;
  Peer* peer = shared_->peers.Find(config.peer);
  if (peer == nullptr) return Outcome::kNoPeer;
  auto session = std::make_unique<Session>();
  session->slot = config.slot;
  session->peer = peer;
  session->epoch = config.epoch;
  session->has_our_id = !config.our_id.empty();
  if (session->has_our_id) std::memcpy(session->our_id.data(), config.our_id.data(), kOurConnectionIdSize);
  session->peer_id.assign(config.peer_id.begin(), config.peer_id.end());
  session->write_overhead = RecordOverhead(config.write.algorithm, config.peer_id.size());
  session->packs = config.packs;
  session->order = ++installed_;
  session->thread_count = shared_->thread_count();
  session->counters = std::make_unique<SessionCounters[]>(session->thread_count);
  if (!MakeCiphers(config, session.get())) return Outcome::kBadKeys;
  session->secrets = std::make_unique<SessionSecrets>();
  session->secrets->read.Keep(config.read);
  session->secrets->write.Keep(config.write);
  session->next_number.store(static_cast<RecordNumber>(config.epoch) << kSequenceBits | config.next_write,
                             std::memory_order_relaxed);
  for (const std::uint64_t sequence : config.accepted) session->window.Preset(sequence);
  SetPath(session.get(), config.path);
  Session* published = session.get();
  sessions_.push_back(std::move(session));
  published->position = sessions_.size() - 1;
  published->SetPathMtu(config.path_mtu);
  shared_->sessions.Set(config.slot, published);
  slots_end_ = std::max(slots_end_, config.slot + 1);
  shared_->endpoints.Add(config.path.remote, published);
  shared_->grace.Reclaim();
  return Outcome::kDone;
}

Plane::Outcome Plane::Activate(PeerId peer_id, std::optional<Slot> slot) {
  Peer* peer = shared_->peers.Find(peer_id);
  if (peer == nullptr) return Outcome::kNoPeer;
  Session* session = nullptr;
  if (slot) {
    session = shared_->sessions.Find(*slot);
    if (session == nullptr || session->peer != peer) return Outcome::kNoSession;
  }
  peer->active.store(session, std::memory_order_seq_cst);
  return Outcome::kDone;
}

Plane::Outcome Plane::Move(Slot slot, const Path& path) {
  Session* session = shared_->sessions.Find(slot);
  if (session == nullptr) return Outcome::kNoSession;
  const Endpoint before = session->owned_path->path.remote;
  SetPath(session, path);
  if (before != path.remote) {
    shared_->endpoints.Add(path.remote, session);
    shared_->endpoints.Remove(before, session);
  }
  shared_->grace.Reclaim();
  return Outcome::kDone;
}

Plane::Outcome Plane::SetPathMtu(Slot slot, std::uint32_t path_mtu) {
  Session* session = shared_->sessions.Find(slot);
  if (session == nullptr) return Outcome::kNoSession;
  session->SetPathMtu(path_mtu);
  return Outcome::kDone;
}

Plane::Outcome Plane::Retire(Slot slot) {
  Session* session = shared_->sessions.Find(slot);
  if (session == nullptr) return Outcome::kNoSession;
  Session* expected = session;
  session->peer->active.compare_exchange_strong(expected, nullptr, std::memory_order_seq_cst);
  shared_->sessions.Set(slot, nullptr);
  shared_->endpoints.Remove(session->owned_path->path.remote, session);
  const std::size_t position = session->position;
  std::unique_ptr<Session> retired = std::move(sessions_[position]);
  if (position + 1 != sessions_.size()) {
    sessions_[position] = std::move(sessions_.back());
    sessions_[position]->position = position;
  }
  sessions_.pop_back();
  shared_->grace.Retire(std::move(retired));
  shared_->grace.Reclaim();
  return Outcome::kDone;
}

void Plane::SetRoutes(const std::vector<Route>& routes) {
  std::unique_ptr<const Routes> built = Routes::Build(routes);
  shared_->routes.store(built.get(), std::memory_order_seq_cst);
  std::swap(routes_, built);
  shared_->grace.Retire(std::move(built));
  shared_->grace.Reclaim();
}

void Plane::SetPeer(PeerId id, const PeerConfig& config) {
  if (peers_.size() <= id) peers_.resize(std::size_t{id} + 1);
  const bool fresh = peers_[id] == nullptr;
  if (fresh) peers_[id] = std::make_unique<Peer>(id, shared_->thread_count());
  Peer* peer = peers_[id].get();
  peer->options.store(config.options, std::memory_order_relaxed);
  std::unique_ptr<RateLimit> limit;
  if (config.rate_limit) {
    const double octets = *config.rate_limit / 8;
    limit = std::make_unique<RateLimit>(octets, BurstOf(octets));
  }
  peer->limit.store(limit.get(), std::memory_order_seq_cst);
  std::swap(peer->owned_limit, limit);
  shared_->grace.Retire(std::move(limit));
  if (fresh) shared_->peers.Set(id, peer);
  shared_->grace.Reclaim();
}

Plane::Outcome Plane::RemovePeer(PeerId id) {
  Peer* peer = shared_->peers.Find(id);
  if (peer == nullptr) return Outcome::kNoPeer;
  for (const auto& session : sessions_) {
    if (session->peer == peer) return Outcome::kStillInUse;
  }
  shared_->peers.Set(id, nullptr);
  shared_->grace.Retire(std::move(peers_[id]));
  shared_->grace.Reclaim();
  return Outcome::kDone;
}

void Plane::SendDatagram(const Path& path, Bytes datagram) {
  // Best effort, as the network is.
  static_cast<void>(Transmit(path, datagram));
}

Status Plane::Transmit(const Path& path, Bytes datagram) {
  const UdpSocket* socket = sockets_.SendingOf(0, path);
  if (socket == nullptr) return Done{};
  ThreadCounters& counters = shared_->counters[shared_->main_thread()];
  counters.udp_transmit_calls.Add();
  const Status sent = dtunnel::SendDatagram(SendTarget::Make(socket->fd(), path), datagram, 0);
  if (!sent) return sent;
  counters.udp_transmit_datagrams.Add();
  counters.udp_transmit_bytes.Add(datagram.size());
  return sent;
}

Plane::Outcome Plane::SealAndSend(Slot slot, std::uint8_t type, Bytes fragment, const std::optional<Path>& path) {
  // A number taken now would be taken again by whoever goes on from the state.
  Check(!frozen_, "nothing is sealed by a frozen plane");
  Session* session = shared_->sessions.Find(slot);
  if (session == nullptr) return Outcome::kNoSession;
  PeerCounters& peer = session->peer->counters[shared_->main_thread()];
  const std::optional<RecordNumber> number = session->TakeNumbers(1);
  if (!number) {
    peer.drops_out.Add(Drop::kNoKey);
    return Outcome::kDone;
  }
  std::vector<std::uint8_t> content(fragment.begin(), fragment.end());
  content.push_back(0);  // sealing borrows the octet behind the content
  std::vector<std::uint8_t> record(fragment.size() + session->write_overhead);
  const std::size_t size = session->sealers[shared_->main_thread()]->Seal(type, *number, session->peer_id,
                                                                          content.data(), fragment.size(),
                                                                          record.data());
  SessionCounters& counters = session->counters[shared_->main_thread()];
  counters.sealed_records.Add();
  counters.sealed_bytes.Add(fragment.size());
  const Status sent = Transmit(path ? *path : session->owned_path->path, Bytes(record.data(), size));
  // Our sockets take no path MTU from ICMP (udp.cc), so nobody but this machine's own routes and devices says so.
  return !sent && sent.error().code == EMSGSIZE ? Outcome::kTooLarge : Outcome::kDone;
}

Plane::Outcome Plane::Inject(PeerId id, Bytes packet) {
  Peer* peer = shared_->peers.Find(id);
  if (peer == nullptr) return Outcome::kNoPeer;
  PeerCounters& counters = peer->counters[shared_->main_thread()];
  ThreadCounters& thread = shared_->counters[shared_->main_thread()];
  thread.extra_records.Add();
  const std::optional<IpPacket> ip = ParseIp(packet, false);
  if (!ip) {
    counters.drops_in.Add(Drop::kMalformed);
    return Outcome::kDone;
  }
  const Routes::Entry* entry = routes_ == nullptr ? nullptr : routes_->Find(ip->version, ip->source);
  if (entry == nullptr || !entry->Allows(id)) {
    counters.drops_in.Add(Drop::kNotAllowed);
    return Outcome::kDone;
  }
  std::vector<std::uint8_t> framed(kVnetHdrSize + packet.size());
  EncodeVnetHdr(VnetHdr{}, framed.data());
  std::memcpy(framed.data() + kVnetHdrSize, packet.data(), packet.size());
  thread.tun_write_calls.Add();
  if (::write(shared_->tun.writer(0), framed.data(), framed.size()) < 0) {
    counters.drops_in.Add(Drop::kSendError);
    return Outcome::kDone;
  }
  thread.tun_write_packets.Add();
  counters.receive_packets.Add();
  counters.receive_bytes.Add(packet.size());
  return Outcome::kDone;
}

void Plane::TakeEvents(std::size_t limit, const std::function<void(const EventHead&, Bytes)>& deliver) {
  shared_->grace.Reclaim();
  shared_->ring.Take(limit, deliver);
}

SessionTotals Plane::TotalsOf(const Session& session) const {
  SessionTotals totals;
  for (std::size_t i = 0; i < session.thread_count; ++i) {
    const SessionCounters& c = session.counters[i];
    totals.sealed_records += c.sealed_records.value();
    totals.sealed_bytes += c.sealed_bytes.value();
    totals.opened_records += c.opened_records.value();
    totals.opened_bytes += c.opened_bytes.value();
    totals.failed_opens += c.failed_opens.value();
    totals.last_receive_ns = std::max(totals.last_receive_ns, c.last_receive_ns.value());
    totals.sealed_large += c.sealed_large.value();
  }
  return totals;
}

std::optional<SessionTotals> Plane::SessionOf(Slot slot) const {
  const Session* session = shared_->sessions.Find(slot);
  if (session == nullptr) return std::nullopt;
  return TotalsOf(*session);
}

std::vector<Slot> Plane::ChangedSessions(Slot part, Slot parts) {
  std::vector<Slot> changed;
  for (Slot slot = part; slot < slots_end_; slot += parts) {
    Session* session = shared_->sessions.Find(slot);
    if (session == nullptr) continue;
    std::uint64_t records = 0;
    for (std::size_t i = 0; i < session->thread_count; ++i) {
      records += session->counters[i].sealed_records.value() + session->counters[i].opened_records.value();
    }
    if (records == session->records_seen) continue;
    session->records_seen = records;
    changed.push_back(slot);
  }
  return changed;
}

std::size_t Plane::buffer_octets() const {
  return shared_->lanes * (Outbound::Footprint() + Inbound::Footprint());
}

std::size_t Plane::session_octets() const {
  const std::size_t each =
      sizeof(Session) + shared_->thread_count() * (sizeof(SessionCounters) + sizeof(RecordCipher)) + sizeof(SessionPath);
  return sessions_.size() * each + SecretOctets();
}

}  // namespace dtunnel
