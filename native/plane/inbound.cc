#include "plane/inbound.h"

#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "os/clock.h"
#include "packet/ip.h"
#include "packet/split.h"

namespace dtunnel {
namespace {

// How often `moved` may be repeated for a session: often enough for an address that changes twice within a second, or
// whose challenge was lost, and seldom enough that a path that flaps with every record costs nothing.
constexpr std::uint64_t kMovedEveryNs = 200'000'000;
// A peer with lanes has moved when the port it is known by has been silent this long while others speak.
constexpr std::uint64_t kLaneSilenceNs = 2'000'000'000;
// Application data below this first octet is a control message: no IP version begins so.
constexpr std::uint8_t kFirstControlLimit = 0x10;

}  // namespace

Inbound::Inbound(Shared* shared, std::size_t lane, const Wakeup* wakeup)
    : shared_(shared),
      lane_(lane),
      thread_(ReceiveThread(lane)),
      tun_(shared->tun.writer(lane)),
      wakeup_(wakeup),
      counters_(&shared->counters[thread_]),
      coalescer_(this) {
  UpdateRules();
}

void Inbound::Run() {
  Boundary();
  bool paused = false;
  while (!shared_->stopping.load(std::memory_order_relaxed)) {
    if (shared_->gate.closed()) {
      Hold();
      continue;  // the gate may have been opened to end the thread: the device is another process's then
    }
    const std::size_t datagrams = ReceiveAll(paused ? 1 : UdpReceiver::kMessages);
    if (datagrams == 1 && paused) {
      // Alone after a pause: most likely there is nothing behind it, and if there is, the wait ends at once.
      Boundary();
      paused = Wait();
      continue;
    }
    paused = false;
    if (datagrams != 0) {
      // A packet that stands alone would wait behind the flow that keeps the socket busy.
      coalescer_.FlushAllButLast();
      if (++bursts_ >= kBurstsPerFlush) Boundary();
      continue;
    }
    // The sockets are empty: what was held back waits for nothing any more.
    Boundary();
    ::sched_yield();
    if (ReceiveAll(UdpReceiver::kMessages) != 0) continue;
    ::sched_yield();
    if (ReceiveAll(UdpReceiver::kMessages) != 0) continue;
    paused = Wait();
  }
  coalescer_.Flush();
  shared_->grace.Leave(thread_);
  shared_->gate.Leave();
}

// What was received has been written or counted, or waits in a ring for the main thread.
void Inbound::Hold() {
  coalescer_.Flush();
  shared_->grace.Leave(thread_);
  shared_->gate.Wait();
  Boundary();
}

void Inbound::Boundary() {
  coalescer_.Flush();
  bursts_ = 0;
  if (shared_->grace.Pass(thread_)) shared_->ring.Wake();
  const SocketSet* sockets = shared_->sockets[lane_].load(std::memory_order_seq_cst);
  if (sockets != sockets_) {
    sockets_ = sockets;
    active_ = 0;
    waits_.assign(1, pollfd{wakeup_->fd(), POLLIN, 0});
    for (const auto& socket : sockets->sockets) waits_.push_back(pollfd{socket->fd(), POLLIN, 0});
  }
  look_everywhere_ = true;
}

// Whether this was a pause.
bool Inbound::Wait() {
  shared_->grace.Leave(thread_);
  ::poll(waits_.data(), waits_.size(), -1);
  if (waits_[0].revents != 0) wakeup_->Clear();
  Boundary();
  if (!pause_.Woken()) return false;
  LookWhereReady();
  return true;
}

// If only one socket has something, the others need no look.
void Inbound::LookWhereReady() {
  std::size_t ready = 0;
  for (std::size_t i = 0; i < sockets_->sockets.size(); ++i) {
    if (waits_[1 + i].revents == 0) continue;
    active_ = i;
    ++ready;
  }
  look_everywhere_ = ready != 1;
}

// Datagrams received, from the socket that was busy last; when that is empty and after every boundary from all of them, in
// order. `most` messages from each.
std::size_t Inbound::ReceiveAll(std::size_t most) {
  std::size_t got = look_everywhere_ ? 0 : Receive(active_, most);
  if (got != 0) return got;
  const std::size_t known_empty = look_everywhere_ ? sockets_->sockets.size() : active_;
  look_everywhere_ = false;
  for (std::size_t i = 0; i < sockets_->sockets.size(); ++i) {
    if (i == known_empty) continue;
    const std::size_t more = Receive(i, most);
    if (more != 0) active_ = i;
    got += more;
  }
  return got;
}

std::size_t Inbound::Receive(std::size_t index, std::size_t most) {
  UdpSocket& socket = *sockets_->sockets[index];
  Result<std::size_t> received = receiver_.Receive(socket, most);
  // A pending error of the socket (an ICMP message of old) was taken by this very call.
  if (!received || received.value() == 0) return 0;
  counters_->udp_receive_calls.Add();
  origin_.at_ns = NowNs();
  std::size_t datagrams = 0;
  for (std::size_t i = 0; i < received.value(); ++i) {
    const ReceivedMessage message = receiver_.Message(i);
    counters_->udp_receive_overflows.Add(socket.CountOverflows(message.overflows));
    counters_->udp_receive_datagrams.Add(message.count());
    datagrams += message.count();
    counters_->udp_receive_bytes.Add(message.data.size());
    origin_.path.remote = message.remote;
    origin_.path.local = message.local;
    origin_.ecn = message.ecn;
    Bytes rest = message.data;
    if (rest.empty()) Unclaimed(Unattributed::kShort);
    while (!rest.empty()) {
      const std::size_t size = rest.size() < message.stride ? rest.size() : message.stride;
      Datagram(rest.first(size));
      rest = rest.subspan(size);
    }
  }
  return datagrams;
}

void Inbound::Datagram(Bytes datagram) {
  bool first = true;
  while (!datagram.empty()) {
    if (!first) counters_->extra_records.Add();
    first = false;
    RecordHeader record;
    switch (ParseRecordHeader(datagram, &record)) {
      case RecordFault::kNone:
        break;
      case RecordFault::kShort:
        return Unclaimed(Unattributed::kShort);
      case RecordFault::kBadVersion:
        return Unclaimed(Unattributed::kBadVersion);
      case RecordFault::kNotDtls:
        return Unclaimed(Unattributed::kNotDtls);
    }
    datagram = datagram.subspan(Record(datagram, record));
  }
}

std::size_t Inbound::Record(Bytes rest, const RecordHeader& record) {
  if (record.type == kConnectionId) return ByConnectionId(rest, record);
  if (record.epoch() == 0) return EpochZero(rest);
  return ByEndpoint(rest, record);
}

// A run of plaintext records goes to the engine as one datagram. What follows it and may be a session's does not go
// with it: an old peer repeats its ChangeCipherSpec and Finished in one datagram, and only we can open the second.
std::size_t Inbound::EpochZero(Bytes rest) {
  std::size_t run = 0;
  RecordHeader record;
  while (run < rest.size() && ParseRecordHeader(rest.subspan(run), &record) == RecordFault::kNone &&
         record.epoch() == 0 && record.type != kConnectionId) {
    run += record.size;
  }
  std::array<Session*, kMaxTrialOpens> candidates;
  if (run < rest.size() && shared_->endpoints.Find(origin_.path.remote, &candidates) == 0) run = rest.size();
  HandUp(rest.first(run), true);
  return run;
}

std::size_t Inbound::ByConnectionId(Bytes rest, const RecordHeader& record) {
  const std::uint8_t* id = record.connection_id.data();
  const Slot slot = static_cast<Slot>(id[0]) << 16 | static_cast<Slot>(id[1]) << 8 | id[2];
  Session* session = shared_->sessions.Find(slot);
  if (session == nullptr || !session->has_our_id ||
      std::memcmp(session->our_id.data(), id, kOurConnectionIdSize) != 0) {
    // RFC 9146 §3: ids exist in protected epochs only.
    if (record.epoch() == 0) {
      Unclaimed(Unattributed::kUnknownSession);
    } else {
      HandUp(rest.first(record.size), false);
    }
    return record.size;
  }
  if (record.epoch() != session->epoch) {
    session->peer->counters[thread_].drops_in.Add(Drop::kNoKey);
    return record.size;
  }
  if (Claimed(session, record) == Opening::kWrongKey) {
    session->peer->counters[thread_].drops_in.Add(Drop::kBadMac);
  }
  return record.size;
}

std::size_t Inbound::ByEndpoint(Bytes rest, const RecordHeader& record) {
  std::array<Session*, kMaxTrialOpens> candidates;
  const std::size_t count = shared_->endpoints.Find(origin_.path.remote, &candidates);
  Session* tried = nullptr;
  Session* seen = nullptr;
  bool with_id = false;
  for (std::size_t i = 0; i < count; ++i) {
    Session* session = candidates[i];
    // RFC 9146 §3: once we gave the peer an id, its protected records carry it; others are forged.
    if (session->has_our_id) {
      with_id = true;
      continue;
    }
    if (session->epoch != record.epoch()) continue;
    // Numbers start again with every handshake: what one session has seen may be new to another, or its Finished.
    if (!session->window.Check(record.number & kSequenceMask)) {
      seen = session;
      continue;
    }
    if (Claimed(session, record) == Opening::kDone) return record.size;
    if (tried == nullptr) tried = session;
  }
  // A new handshake from the address of a live session ends with a Finished under keys that only the engine has.
  if (record.type != kApplicationData || (tried == nullptr && seen == nullptr && !with_id)) {
    HandUp(rest.first(record.size), false);
  } else if (seen != nullptr) {
    PeerCounters& peer = seen->peer->counters[thread_];
    peer.drops_in.Add(Drop::kReplay);
    peer.duplicates.Add();
  } else if (tried != nullptr) {
    tried->peer->counters[thread_].drops_in.Add(Drop::kBadMac);
  } else {
    candidates[0]->peer->counters[thread_].drops_in.Add(Drop::kNoKey);
  }
  return record.size;
}

void Inbound::Unclaimed(Unattributed reason) {
  counters_->unattributed[static_cast<std::size_t>(reason)].Add();
}

void Inbound::HandUp(Bytes datagram, bool handshake) {
  TokenBucket& bucket = handshake ? shared_->handshakes : shared_->unknown_records;
  if (bucket.Take(origin_.at_ns)) {
    EventHead head;
    head.kind = EventKind::kDatagram;
    head.path = origin_.path;
    head.at_ns = origin_.at_ns;
    if (shared_->ring.Post(thread_, head, datagram)) {
      counters_->handed_up.Add();
      return;
    }
  }
  Unclaimed(handshake ? Unattributed::kFlood : Unattributed::kUnknownSession);
}

// Handles a record that belongs to `session` if its tag says so; kWrongKey leaves the drop to the caller to count.
Inbound::Opening Inbound::Claimed(Session* session, const RecordHeader& record) {
  PeerCounters& peer = session->peer->counters[thread_];
  SessionCounters& counters = session->counters[thread_];
  const std::uint64_t sequence = record.number & kSequenceMask;
  // RFC 6347 §4.1.2.6: before the work of opening.
  if (!session->window.Check(sequence)) {
    peer.drops_in.Add(Drop::kReplay);
    peer.duplicates.Add();
    return Opening::kDone;
  }
  std::uint8_t* at = coalescer_.Land(RecordCipher::PlaintextBound(record));
  RecordCipher::Opened opened{};
  const RecordCipher::Failure failure = session->openers[thread_]->Open(record, at, &opened);
  if (failure == RecordCipher::Failure::kShort) {
    coalescer_.Abandon();
    peer.drops_in.Add(Drop::kMalformed);
    return Opening::kDone;
  }
  if (failure == RecordCipher::Failure::kTag) {
    coalescer_.Abandon();
    counters.failed_opens.Add();
    return Opening::kWrongKey;
  }
  const ReplayWindow::Judgement judgement = session->window.Commit(sequence);
  if (judgement.outcome == ReplayWindow::Outcome::kDuplicate ||
      judgement.outcome == ReplayWindow::Outcome::kTooOld) {
    coalescer_.Abandon();
    peer.drops_in.Add(Drop::kReplay);
    peer.duplicates.Add();
    return Opening::kDone;
  }
  const bool newest = judgement.outcome == ReplayWindow::Outcome::kNewest;
  if (judgement.lost != 0) peer.gaps.Add(judgement.lost);
  if (!newest) peer.reordered.Add();
  counters.opened_records.Add();
  counters.opened_bytes.Add(opened.size);
  counters.last_receive_ns.Set(origin_.at_ns);
  if (!session->confirmed.load(std::memory_order_relaxed) &&
      !session->confirmed.exchange(true, std::memory_order_relaxed)) {
    EventHead head;
    head.kind = EventKind::kConfirmed;
    head.slot = session->slot;
    head.at_ns = origin_.at_ns;
    // A full ring forgets it: the next record says so again.
    if (!shared_->ring.Post(thread_, head, {})) session->confirmed.store(false, std::memory_order_relaxed);
  }
  if (newest) NoticePath(session);
  if (failure == RecordCipher::Failure::kNoType) {
    coalescer_.Abandon();
    peer.drops_in.Add(Drop::kMalformed);
    return Opening::kDone;
  }
  Content(session, opened.type, opened.size, at, newest);
  return Opening::kDone;
}

// RFC 9146 §6: a newest authenticated record from elsewhere. Whether to follow it is the engine's to decide.
void Inbound::NoticePath(Session* session) {
  const SessionPath& published = *session->path.load(std::memory_order_seq_cst);
  const Path& path = published.path;
  const bool same = origin_.path.remote == path.remote &&
                    (path.local.family == 0 || path.local == origin_.path.local);
  if (same) [[likely]] {
    if (session->many_ports.load(std::memory_order_relaxed)) {
      session->own_path_ns.store(origin_.at_ns, std::memory_order_relaxed);
    }
    return;
  }
  if (origin_.path.remote.address == published.path.remote.address && IsOtherLane(session, published)) return;
  std::uint64_t last = session->moved_ns.load(std::memory_order_relaxed);
  if (last != 0 && origin_.at_ns - last < kMovedEveryNs) return;
  if (!session->moved_ns.compare_exchange_strong(last, origin_.at_ns, std::memory_order_relaxed)) return;
  EventHead head;
  head.kind = EventKind::kMoved;
  head.slot = session->slot;
  head.path = origin_.path;
  head.at_ns = origin_.at_ns;
  if (!shared_->ring.Post(thread_, head, {})) session->moved_ns.store(last, std::memory_order_relaxed);
}

// Whether a record from another port of the peer's address comes from one of its lanes rather than from a new mapping of a
// NAT on the way. Only a peer with lanes is heard from the port before a move again after it, with newest records.
bool Inbound::IsOtherLane(Session* session, const SessionPath& path) const {
  if (!session->has_our_id) return false;
  if (!session->many_ports.load(std::memory_order_relaxed)) {
    if (path.previous != origin_.path.remote) return false;
    session->own_path_ns.store(origin_.at_ns, std::memory_order_relaxed);
    session->many_ports.store(true, std::memory_order_relaxed);
    return true;
  }
  return origin_.at_ns - session->own_path_ns.load(std::memory_order_relaxed) < kLaneSilenceNs;
}

void Inbound::Content(Session* session, std::uint8_t type, std::size_t size, std::uint8_t* at, bool newest) {
  if (type == kApplicationData && size != 0 && at[0] >= kFirstControlLimit) return Packet(session, size, at);
  const bool control = type == kApplicationData ? size != 0 : type >= kChangeCipherSpec && type <= kHandshake;
  if (control) {
    ToEngine(session, type, Bytes(at, size), newest);
  } else {
    // An empty record, a heartbeat (RFC 6520, never negotiated), a type that does not exist.
    session->peer->counters[thread_].drops_in.Add(Drop::kMalformed);
  }
  coalescer_.Abandon();
}

void Inbound::ToEngine(Session* session, std::uint8_t type, Bytes fragment, bool newest) {
  EventHead head;
  head.kind = EventKind::kRecord;
  head.content_type = type;
  head.newest = newest;
  head.slot = session->slot;
  head.path = origin_.path;
  head.at_ns = origin_.at_ns;
  if (shared_->ring.Post(thread_, head, fragment)) {
    counters_->control.Add();
  } else {
    session->peer->counters[thread_].drops_in.Add(Drop::kQueueFull);
  }
}

void Inbound::Packet(Session* session, std::size_t size, std::uint8_t* at) {
  Peer* peer = session->peer;
  PeerCounters* counters = &peer->counters[thread_];
  const PeerOptions options = peer->options.load(std::memory_order_relaxed);
  RateLimit* limit = peer->limit.load(std::memory_order_seq_cst);
  Drop drop = Drop::kMalformed;
  const std::optional<IpPacket> ip = ParseIp(Bytes(at, size), false);
  if (ip && limit != nullptr && !limit->in.Take(origin_.at_ns, size)) {
    drop = Drop::kRateLimited;
  } else if (ip && (origin_.ecn == kEcnNone || !options.ecn || DecapsulateEcn(at, origin_.ecn))) {
    // A packet that continues a flow has its head's source, which has been checked.
    if (coalescer_.TryAppend(size, counters)) return;
    const Routes* routes = shared_->routes.load(std::memory_order_seq_cst);
    std::uint8_t* packet = coalescer_.packet();
    const std::size_t source = ip->version == 4 ? 12 : 8;
    const Routes::Entry* entry = routes == nullptr ? nullptr : routes->Find(ip->version, packet + source);
    if (entry != nullptr && entry->Allows(peer->id)) {
      if (options.clamp_mss && ip->protocol == kProtocolTcp &&
          ClampMss(MutableBytes(packet, size), *ip, session->max_packet.load(std::memory_order_relaxed), false)) {
        (ip->version == 4 ? counters_->mss_clamped_v4 : counters_->mss_clamped_v6).Add();
      }
      return coalescer_.Add(size, counters);
    }
    drop = Drop::kNotAllowed;
  }
  coalescer_.Abandon();
  counters->drops_in.Add(drop);
}

void Inbound::UpdateRules() {
  coalescer_.SetRules(CoalesceRules{shared_->offloads.Has(Offload::kTunCoalesceTcp),
                                    shared_->offloads.Has(Offload::kTunCoalesceUdp)});
}

void Inbound::WritePacket(const VnetHdr& hdr, MutableBytes packet, std::uint32_t count, std::uint64_t inner_octets,
                          const void* owner) {
  // Ours: TryAppend and Add were given the counters of this thread for the peer.
  auto* peer = static_cast<PeerCounters*>(const_cast<void*>(owner));
  std::uint8_t* start = packet.data() - kVnetHdrSize;
  EncodeVnetHdr(hdr, start);
  counters_->tun_write_calls.Add();
  if (::write(tun_, start, packet.size() + kVnetHdrSize) >= 0) {
    counters_->tun_write_packets.Add(count);
    peer->receive_packets.Add(count);
    peer->receive_bytes.Add(inner_octets);
    return;
  }
  const int error = errno;
  if (count > 1 && (error == EINVAL || error == EIO || error == EMSGSIZE)) {
    // Some kernels refuse super packets they should take. EIO also means that the device is down, which the single
    // packets will find out.
    const Offload offload = hdr.gso_type == kGsoUdp ? Offload::kTunCoalesceUdp : Offload::kTunCoalesceTcp;
    if (error != EIO && shared_->offloads.Disable(offload)) shared_->ReportDisabled(offload, error);
    UpdateRules();
    WriteSegments(hdr, packet, peer);
    return;
  }
  peer->drops_in.Add(error == EAGAIN || error == ENOBUFS ? Drop::kQueueFull : Drop::kSendError, count);
}

void Inbound::WriteSegments(const VnetHdr& hdr, MutableBytes packet, PeerCounters* peer) {
  VnetHdr decoded = hdr;
  decoded.gso_type &= static_cast<std::uint8_t>(~kGsoEcnBit);
  std::optional<Splitter> splitter = Splitter::Create(packet, decoded);
  if (!splitter) return;
  for (MutableBytes segment = splitter->Next(); !segment.empty(); segment = splitter->Next()) {
    std::uint8_t* start = segment.data() - kVnetHdrSize;
    EncodeVnetHdr(VnetHdr{}, start);
    counters_->tun_write_calls.Add();
    if (::write(tun_, start, segment.size() + kVnetHdrSize) >= 0) {
      counters_->tun_write_packets.Add();
      peer->receive_packets.Add();
      peer->receive_bytes.Add(segment.size());
    } else {
      peer->drops_in.Add(Drop::kSendError);
    }
  }
}

}  // namespace dtunnel
