#include "plane/outbound.h"

#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "os/clock.h"
#include "packet/fragment.h"
#include "packet/icmp_error.h"

namespace dtunnel {
namespace {

// RFC 2983 §3.1 (DSCP) and RFC 6040 §4.1 (ECN, normal mode).
std::uint8_t OuterTrafficClass(std::uint8_t inner, PeerOptions options) {
  const auto dscp = options.dscp == PeerOptions::Dscp::kCopy ? static_cast<std::uint8_t>(inner & ~kEcnMask)
                                                             : static_cast<std::uint8_t>(options.fixed_dscp << 2);
  return options.ecn ? static_cast<std::uint8_t>(dscp | (inner & kEcnMask)) : dscp;
}

}  // namespace

Outbound::Outbound(Shared* shared, std::size_t lane, const Wakeup* wakeup)
    : shared_(shared),
      lane_(lane),
      thread_(SendThread(lane)),
      tun_(shared->tun.reader(lane)),
      wakeup_(wakeup),
      counters_(&shared->counters[thread_]),
      batch_(counters_, &shared->offloads, [shared](Offload o, int error) { shared->ReportDisabled(o, error); }),
      memory_(std::make_unique_for_overwrite<std::uint8_t[]>(kReadSize + 4096)),
      scratch_(std::make_unique_for_overwrite<std::uint8_t[]>(kMaxPacketSize + 64)) {
  const auto base = reinterpret_cast<std::uintptr_t>(memory_.get());
  read_at_ = memory_.get() + ((4096 - base % 4096) % 4096) + kFront - kVnetHdrSize;
}

std::size_t Outbound::Footprint() { return SendBatch::Footprint() + kReadSize + 4096 + kMaxPacketSize + 64; }

void Outbound::Run() {
  bool paused = false;
  while (!shared_->stopping.load(std::memory_order_relaxed)) {
    if (shared_->gate.closed()) {
      Hold();
      continue;  // the gate may have been opened to end the thread: the device is another process's then
    }
    if (shared_->grace.Pass(thread_)) shared_->ring.Wake();
    const std::size_t packets = Drain(paused);
    if (packets == 1 && paused) {
      // Alone after a pause: there is nothing behind it.
      paused = Wait();
      continue;
    }
    paused = false;
    if (packets != 0) {
      if (moderation_.Holds(NowNs(), singles_) && emptied_) SleepNs(Moderation::kHoldNs);
      continue;
    }
    // The sender of the next packet may be waiting for this processor: give it away before paying for a wake-up.
    ::sched_yield();
    if (Drain(false) != 0) continue;
    ::sched_yield();
    if (Drain(false) != 0) continue;
    paused = Wait();
  }
  shared_->grace.Leave(thread_);
  shared_->gate.Leave();
}

// Between two drains nothing is held: what was read has been sent or counted.
void Outbound::Hold() {
  shared_->grace.Leave(thread_);
  shared_->gate.Wait();
}

// Whether this was a pause.
bool Outbound::Wait() {
  shared_->grace.Leave(thread_);
  pollfd waits[2] = {{tun_, POLLIN, 0}, {wakeup_->fd(), POLLIN, 0}};
  ::poll(waits, 2, -1);
  if (waits[1].revents != 0) wakeup_->Clear();
  if ((waits[0].revents & POLLERR) != 0) {
    // The device is gone (deleted from outside, its namespace ended); no packet will come again.
    if (!shared_->stopping.exchange(true, std::memory_order_relaxed)) shared_->ReportFailure("TUN device", ENODEV);
  }
  return pause_.Woken();
}

// Packets read; of super packets, their segments. `paused`: the first comes after a pause, and does not wait for a look at
// whether there are more.
std::size_t Outbound::Drain(bool paused) {
  now_ns_ = 0;
  packets_ = 0;
  singles_ = 0;
  std::size_t count = 0;
  while (count < kBudget) {
    const ssize_t size = ::read(tun_, read_at_, kVnetHdrSize + kMaxPacketSize);
    if (size < 0) {
      if (errno == EINTR) continue;
      break;
    }
    counters_->tun_read_calls.Add();
    ++count;
    if (size <= static_cast<ssize_t>(kVnetHdrSize)) continue;
    Packet(MutableBytes(read_at_ + kVnetHdrSize, static_cast<std::size_t>(size) - kVnetHdrSize),
           DecodeVnetHdr(read_at_));
    if (paused && count == 1) batch_.Flush();
  }
  // Nothing waits for company: what came is sent before anything else happens.
  batch_.Flush();
  emptied_ = count < kBudget;
  return packets_;
}

void Outbound::Packet(MutableBytes packet, const VnetHdr& hdr) {
  Job job;
  job.packet = packet;
  job.hdr = hdr;
  const bool super = hdr.gso_type != kGsoNone;
  std::optional<Splitter> splitter;
  if (super) splitter = Splitter::Create(packet, hdr);
  const std::optional<IpPacket> ip = ParseIp(packet, super);
  if (!ip || (super && !splitter)) {
    counters_->tun_read_packets.Add();
    counters_->drops_out.Add(Drop::kMalformed);
    ++packets_;
    return;
  }
  job.ip = *ip;
  job.segments = splitter ? splitter->count() : 1;
  job.largest = splitter ? std::min(splitter->segment_size(), packet.size()) : packet.size();
  counters_->tun_read_packets.Add(job.segments);
  packets_ += job.segments;
  if (!super) ++singles_;
  if (!FindSession(&job)) return;
  const PeerOptions options = job.peer->options.load(std::memory_order_relaxed);
  if (!Admit(&job, options, job.peer->limit.load(std::memory_order_seq_cst))) return;
  job.traffic_class = OuterTrafficClass(job.ip.traffic_class, options);
  Splitter* segments = splitter ? &*splitter : nullptr;
  if (shared_->lanes == 1 || !job.session->peer_id.empty()) return Send(&job, segments);
  // A peer without connection ids has one path, and perhaps a window of 64 numbers (RFC 6347 §4.1.2.6): what several
  // lanes send it leaves in order.
  while (job.session->sending.test_and_set(std::memory_order_acquire)) ::sched_yield();
  Send(&job, segments);
  batch_.Flush();
  job.session->sending.clear(std::memory_order_release);
}

void Outbound::Send(Job* job, Splitter* splitter) {
  if (splitter != nullptr) {
    SendSegments(job, splitter);
  } else {
    SendWhole(job);
  }
}

bool Outbound::FindSession(Job* job) {
  const Routes* routes = shared_->routes.load(std::memory_order_seq_cst);
  const Routes::Entry* entry = routes == nullptr ? nullptr : routes->Find(job->ip.version, job->ip.destination);
  if (entry == nullptr) {
    counters_->drops_out.Add(Drop::kNoRoute, job->segments);
    return false;
  }
  job->peer = entry->outbound ? shared_->peers.Find(*entry->outbound) : nullptr;
  if (job->peer == nullptr) {
    counters_->drops_out.Add(Drop::kPeerDown, job->segments);
    return false;
  }
  job->counters = &job->peer->counters[thread_];
  job->session = job->peer->active.load(std::memory_order_seq_cst);
  if (job->session == nullptr) {
    job->counters->drops_out.Add(Drop::kPeerDown, job->segments);
    return false;
  }
  job->path = job->session->path.load(std::memory_order_seq_cst);
  job->max_packet = job->session->max_packet.load(std::memory_order_relaxed);
  return true;
}

bool Outbound::Admit(Job* job, PeerOptions options, RateLimit* limit) {
  if (job->ip.protocol == kProtocolUdp && IsOwnDatagram(*job)) {
    job->counters->drops_out.Add(Drop::kLoop, job->segments);
    return false;
  }
  if (options.clamp_mss && job->ip.protocol == kProtocolTcp && job->segments == 1) {
    const bool partial = (job->hdr.flags & kVnetNeedsChecksum) != 0;
    if (ClampMss(job->packet, job->ip, job->max_packet, partial)) {
      (job->ip.version == 4 ? counters_->mss_clamped_v4 : counters_->mss_clamped_v6).Add();
    }
  }
  // A packet that may be fragmented is not too big, be it one or a train of them.
  if (job->largest > job->max_packet && job->ip.dont_fragment) {
    TooBig(*job);
    job->counters->drops_out.Add(Drop::kTooBig, job->segments);
    return false;
  }
  if (limit != nullptr) {
    if (now_ns_ == 0) now_ns_ = NowNs();
    if (!limit->out.Take(now_ns_, job->packet.size())) {
      job->counters->drops_out.Add(Drop::kRateLimited, job->segments);
      return false;
    }
  }
  return true;
}

// Whether the inner packet is what we sent to this very peer: the route to the peer leads into the tunnel itself, and
// every turn would wrap it once more.
bool Outbound::IsOwnDatagram(const Job& job) const {
  const std::optional<Transport> udp = ParseTransport(job.packet, job.ip);
  if (!udp) return false;
  const Endpoint& remote = job.path->path.remote;
  const std::uint8_t* header = &job.packet[udp->at];
  if (Load16(header + 2) != remote.port || job.ip.version != remote.address.family) return false;
  if (std::memcmp(job.ip.destination, remote.address.octets.data(), job.ip.address_size()) != 0) return false;
  const std::uint16_t source_port = Load16(header);
  for (const auto& lane : shared_->sockets) {
    for (const auto& socket : lane.load(std::memory_order_seq_cst)->sockets) {
      if (socket->local().port == source_port) return true;
    }
  }
  return false;
}

void Outbound::SendWhole(Job* job) {
  if ((job->hdr.flags & kVnetNeedsChecksum) != 0 && !CompleteChecksum(job->packet, job->hdr)) {
    job->counters->drops_out.Add(Drop::kMalformed);
    return;
  }
  if (job->packet.size() > job->max_packet) return SendFragments(job, job->packet);
  const std::optional<RecordNumber> number = job->session->TakeNumbers(1);
  if (!number) {
    job->counters->drops_out.Add(Drop::kNoKey);
    return;
  }
  Seal(*job, job->packet.data(), job->packet.size(), *number);
}

void Outbound::SendSegments(Job* job, Splitter* splitter) {
  if (job->largest > job->max_packet) {
    for (MutableBytes segment = splitter->Next(); !segment.empty(); segment = splitter->Next()) {
      SendFragments(job, segment);
    }
    return;
  }
  const std::optional<RecordNumber> first = job->session->TakeNumbers(job->segments);
  if (!first) {
    job->counters->drops_out.Add(Drop::kNoKey, job->segments);
    return;
  }
  RecordNumber number = *first;
  for (MutableBytes segment = splitter->Next(); !segment.empty(); segment = splitter->Next()) {
    Seal(*job, segment.data(), segment.size(), number++);
  }
}

// `packet` is one IPv4 packet without DF that does not fit (RFC 791 §3.2).
void Outbound::SendFragments(Job* job, Bytes packet) {
  std::optional<Ipv4Fragmenter> fragments =
      Ipv4Fragmenter::Create(packet, job->max_packet, MutableBytes(scratch_.get(), kMaxPacketSize));
  if (!fragments) {
    job->counters->drops_out.Add(Drop::kTooBig);
    return;
  }
  const std::optional<RecordNumber> first = job->session->TakeNumbers(fragments->count());
  if (!first) {
    job->counters->drops_out.Add(Drop::kNoKey);
    return;
  }
  // One packet was read and several leave.
  counters_->tun_read_packets.Add(fragments->count() - 1);
  RecordNumber number = *first;
  for (MutableBytes fragment = fragments->Next(); !fragment.empty(); fragment = fragments->Next()) {
    Seal(*job, fragment.data(), fragment.size(), number++);
  }
}

void Outbound::Seal(const Job& job, std::uint8_t* packet, std::size_t size, RecordNumber number) {
  Session& session = *job.session;
  const std::size_t carried = job.max_packet + session.write_overhead;
  const SendBatch::Place place = batch_.Reserve({.target = job.path->targets[lane_],
                                                 .peer = job.counters,
                                                 .traffic_class = job.traffic_class,
                                                 .size = size + session.write_overhead,
                                                 .inner = size,
                                                 .max_datagram = session.packs ? std::min(carried, kMaxPacked) : 0});
  session.sealers[thread_]->Seal(kApplicationData, number, session.peer_id, packet, size, place.at);
  SessionCounters& counters = session.counters[thread_];
  counters.sealed_records.Add();
  counters.sealed_bytes.Add(size);
  if (place.datagram > kCarriedEverywhere) counters.sealed_large.Add();
}

void Outbound::TooBig(const Job& job) {
  if (!shared_->icmp_errors.Take(NowNs())) return;
  std::array<std::uint8_t, kVnetHdrSize + kMaxIcmpError> message;
  std::array<std::uint8_t, kMaxIcmpError> body;
  const std::size_t size = WritePacketTooBig(job.packet, job.ip, job.max_packet, &body);
  if (size == 0) return;
  EncodeVnetHdr(VnetHdr{}, message.data());
  std::memcpy(message.data() + kVnetHdrSize, body.data(), size);
  if (::write(shared_->tun.writer(lane_), message.data(), kVnetHdrSize + size) < 0) return;
  (job.ip.version == 4 ? counters_->too_big_v4 : counters_->too_big_v6).Add();
}

}  // namespace dtunnel
