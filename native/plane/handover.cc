#include "plane/handover.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <unordered_map>

#include "base/bytes.h"
#include "crypto/digest.h"

namespace dtunnel {
namespace {

constexpr std::array<std::uint8_t, 4> kMagic = {'d', 't', 'u', 'n'};
constexpr std::uint16_t kVersion = 2;
constexpr std::size_t kHeadSize = 11;
constexpr std::size_t kDigestSize = std::tuple_size_v<Sha256Digest>;
constexpr std::size_t kMaxDeviceName = 15;
constexpr const char* kWhat = "handover state";

// The least that one of them takes: bounds what a count may claim before anything is allocated.
constexpr std::size_t kLeastPeer = 4 + 4 + 1 + 1 + 8 * kPeerCounterWords;
constexpr std::size_t kLeastSession = 3 + 4 + 2 + 1 + 1 + 2 * (1 + 16 + 4) + 8 +
                                      (8 + 8 + 4 * std::tuple_size_v<decltype(ReplayWindow::Saved::blocks)>) +
                                      (7 + 1 + 3) + 2 + 3 + 16 + 8 * kSessionCounterWords;
constexpr std::size_t kLeastRoute = 5 + 1 + 1 + 4;

// Appends to `out`, or only counts where there is none.
class Writer {
 public:
  explicit Writer(std::uint8_t* out) : out_(out) {}

  void Uint(std::uint64_t value, std::size_t octets) {
    for (std::size_t i = octets; i-- > 0;) Put(static_cast<std::uint8_t>(value >> (8 * i)));
  }
  void Flag(bool value) { Put(value ? 1 : 0); }
  void Octets(Bytes octets) {
    if (out_ != nullptr && !octets.empty()) std::memcpy(out_ + size_, octets.data(), octets.size());
    size_ += octets.size();
  }
  void Short(Bytes octets) {  // at most 255
    Uint(octets.size(), 1);
    Octets(octets);
  }
  void Address(const IpAddress& address) {
    Uint(address.family, 1);
    Octets(address.bytes());
  }
  void Remote(const Endpoint& endpoint) {
    Address(endpoint.address);
    Uint(endpoint.port, 2);
  }
  void Keys(const RecordKeys& keys) {
    Uint(static_cast<std::uint64_t>(keys.algorithm), 1);
    Octets(keys.key);
    Octets(keys.iv);
  }
  template <typename Words>
  void Words64(const Words& words) {
    for (const std::uint64_t word : words) Uint(word, 8);
  }
  std::size_t size() const { return size_; }

 private:
  void Put(std::uint8_t octet) {
    if (out_ != nullptr) out_[size_] = octet;
    ++size_;
  }

  std::uint8_t* const out_;
  std::size_t size_ = 0;
};

// Yields zeros once something did not fit, and is then not ok() for good.
class Reader {
 public:
  explicit Reader(Bytes in) : rest_(in) {}

  bool ok() const { return ok_; }
  std::size_t left() const { return rest_.size(); }
  void Refuse() { ok_ = false; }

  Bytes Octets(std::size_t size) {
    if (!ok_ || size > rest_.size()) {
      ok_ = false;
      return {};
    }
    const Bytes taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  std::uint64_t Uint(std::size_t octets) {
    std::uint64_t value = 0;
    for (const std::uint8_t octet : Octets(octets)) value = value << 8 | octet;
    return value;
  }
  // At most `max`.
  template <typename T>
  T Bounded(std::size_t octets, std::uint64_t max) {
    const std::uint64_t value = Uint(octets);
    if (value > max) ok_ = false;
    return ok_ ? static_cast<T>(value) : T{};
  }
  bool Flag() { return Bounded<std::uint8_t>(1, 1) != 0; }
  Bytes Short() { return Octets(Uint(1)); }
  // A count of things that take at least `least` octets each.
  std::size_t Count(std::size_t least) {
    const std::uint64_t count = Uint(4);
    if (count > rest_.size() / least) ok_ = false;
    return ok_ ? static_cast<std::size_t>(count) : 0;
  }
  IpAddress Address(bool optional) {
    const std::uint64_t family = Uint(1);
    const Bytes octets = Octets(family == 4 ? 4 : family == 6 ? 16 : 0);
    if (family != 4 && family != 6 && (family != 0 || !optional)) ok_ = false;
    if (!ok_ || family == 0) return {};
    return family == 4 ? IpAddress::V4(octets.data()) : IpAddress::V6(octets.data());
  }
  Endpoint Remote(bool optional) {
    Endpoint endpoint;
    endpoint.address = Address(optional);
    endpoint.port = static_cast<std::uint16_t>(Uint(2));
    return endpoint;
  }
  RecordKeys Keys() {
    RecordKeys keys;
    keys.algorithm = static_cast<AeadAlgorithm>(Bounded<std::uint8_t>(1, kAeadAlgorithms - 1));
    keys.key = Octets(AeadKeySize(keys.algorithm));
    keys.iv = Octets(ImplicitIvSize(keys.algorithm));
    return keys;
  }
  template <typename Words>
  void Words64(Words* words) {
    for (std::uint64_t& word : *words) word = Uint(8);
  }

 private:
  Bytes rest_;
  bool ok_ = true;
};

std::array<std::uint8_t, kHeadSize> Head() {
  std::array<std::uint8_t, kHeadSize> head{};
  Writer out(head.data());
  out.Octets(kMagic);
  out.Uint(kVersion, 2);
  out.Uint(kDropReasons, 1);
  out.Uint(kUnattributedReasons, 1);
  out.Uint(kOffloads, 1);
  out.Uint(ReplayWindow::Saved{}.blocks.size(), 2);
  return head;
}

Bytes TextOctets(const std::string& text) {
  return Bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

void WritePlane(const Handover& h, Writer* out) {
  out->Short(TextOctets(h.device_name));
  out->Flag(h.tso);
  out->Flag(h.uso);
  out->Uint(h.offloads, 4);
  out->Flag(h.mark.has_value());
  out->Uint(h.mark.value_or(0), 4);
  out->Uint(h.lanes, 1);
  out->Uint(h.listening, 1);
  out->Uint(h.overlapping, 1);
  for (const HandoverSocket& socket : h.sockets) {
    out->Remote(socket.local);
    out->Uint(socket.overflows, 4);
  }
  out->Words64(h.counters);
  out->Words64(h.buckets);
}

void ReadPlane(Reader* in, Handover* h) {
  const Bytes name = in->Short();
  h->device_name.assign(reinterpret_cast<const char*>(name.data()), name.size());
  if (name.empty() || name.size() > kMaxDeviceName || h->device_name.find('\0') != std::string::npos) in->Refuse();
  h->tso = in->Flag();
  h->uso = in->Flag();
  h->offloads = in->Bounded<OffloadSet>(4, (OffloadSet{1} << kOffloads) - 1);
  const bool marked = in->Flag();
  const auto mark = static_cast<std::uint32_t>(in->Uint(4));
  if (marked) h->mark = mark;
  if (!marked && mark != 0) in->Refuse();
  h->lanes = in->Bounded<std::uint32_t>(1, kMaxLanes);
  if (h->lanes == 0) in->Refuse();
  h->listening = in->Bounded<std::uint32_t>(1, 255);
  h->overlapping = in->Bounded<std::uint32_t>(1, 255);
  if (!in->ok()) return;
  const std::size_t sockets = SocketsOf(h->lanes, h->listening) + SocketsOf(h->lanes, h->overlapping);
  for (std::size_t i = 0; i < sockets && in->ok(); ++i) {
    HandoverSocket socket;
    socket.local = in->Remote(false);
    socket.overflows = static_cast<std::uint32_t>(in->Uint(4));
    h->sockets.push_back(socket);
  }
  in->Words64(&h->counters);
  in->Words64(&h->buckets);
}

void WritePeer(const HandoverPeer& peer, Writer* out) {
  out->Uint(peer.id, 4);
  out->Uint(static_cast<std::uint64_t>(peer.options.dscp), 1);
  out->Uint(peer.options.fixed_dscp, 1);
  out->Flag(peer.options.ecn);
  out->Flag(peer.options.clamp_mss);
  out->Flag(peer.limit.has_value());
  if (peer.limit) out->Words64(std::array{peer.limit->bits_per_second, peer.limit->out, peer.limit->in});
  out->Flag(peer.active.has_value());
  if (peer.active) out->Uint(*peer.active, 3);
  out->Words64(peer.counters);
}

HandoverPeer ReadPeer(Reader* in) {
  HandoverPeer peer;
  peer.id = in->Bounded<PeerId>(4, kMaxPeers - 1);
  peer.options.dscp = static_cast<PeerOptions::Dscp>(in->Bounded<std::uint8_t>(1, 1));
  peer.options.fixed_dscp = in->Bounded<std::uint8_t>(1, 63);
  peer.options.ecn = in->Flag();
  peer.options.clamp_mss = in->Flag();
  if (in->Flag()) {
    std::array<std::uint64_t, 3> words{};
    in->Words64(&words);
    if (words[0] < kMinRateLimit || words[0] > kMaxRateLimit) in->Refuse();
    peer.limit = HandoverLimit{words[0], words[1], words[2]};
  }
  if (in->Flag()) peer.active = static_cast<Slot>(in->Uint(3));
  in->Words64(&peer.counters);
  return peer;
}

void WriteSession(const HandoverSession& session, Writer* out) {
  out->Uint(session.slot, 3);
  out->Uint(session.peer, 4);
  out->Uint(session.epoch, 2);
  out->Flag(!session.our_id.empty());
  out->Octets(session.our_id);
  out->Short(session.peer_id);
  out->Keys(session.read);
  out->Keys(session.write);
  out->Uint(session.next_number, 8);
  out->Uint(session.window.edge, 8);
  out->Uint(session.window.first, 8);
  for (const std::uint32_t block : session.window.blocks) out->Uint(block, 4);
  out->Remote(session.path.remote);
  out->Address(session.path.local);
  out->Remote(session.previous);
  out->Uint(session.max_packet, 2);
  out->Flag(session.packs);
  out->Flag(session.confirmed);
  out->Flag(session.many_ports);
  out->Uint(session.moved_ns, 8);
  out->Uint(session.own_path_ns, 8);
  out->Words64(session.counters);
}

HandoverSession ReadSession(Reader* in) {
  HandoverSession session;
  session.slot = static_cast<Slot>(in->Uint(3));
  session.peer = in->Bounded<PeerId>(4, kMaxPeers - 1);
  session.epoch = static_cast<std::uint16_t>(in->Uint(2));
  if (in->Flag()) {
    session.our_id = in->Octets(kOurConnectionIdSize);
    if (in->ok() && Load32(session.our_id.data()) >> 8 != session.slot) in->Refuse();
  }
  session.peer_id = in->Short();
  session.read = in->Keys();
  session.write = in->Keys();
  session.next_number = in->Uint(8);
  // Beyond the epoch's end is where a spent counter stays; before its begin lie numbers that were used.
  if (session.next_number >> kSequenceBits < session.epoch) in->Refuse();
  session.window.edge = in->Uint(8);
  session.window.first = in->Uint(8);
  for (std::uint32_t& block : session.window.blocks) block = static_cast<std::uint32_t>(in->Uint(4));
  if (!ReplayWindow::Valid(session.window)) in->Refuse();
  session.path.remote = in->Remote(false);
  session.path.local = in->Address(true);
  const std::uint8_t local = session.path.local.family;
  if (local != 0 && local != session.path.remote.address.family) in->Refuse();
  session.previous = in->Remote(true);
  session.max_packet = static_cast<std::uint32_t>(in->Uint(2));
  session.packs = in->Flag();
  session.confirmed = in->Flag();
  session.many_ports = in->Flag();
  session.moved_ns = in->Uint(8);
  session.own_path_ns = in->Uint(8);
  in->Words64(&session.counters);
  return session;
}

void WriteRoute(const Route& route, Writer* out) {
  out->Address(route.address);
  out->Uint(route.length, 1);
  out->Flag(route.outbound.has_value());
  if (route.outbound) out->Uint(*route.outbound, 4);
  out->Uint(route.inbound.size(), 4);
  for (const PeerId peer : route.inbound) out->Uint(peer, 4);
}

Route ReadRoute(Reader* in) {
  Route route;
  route.address = in->Address(false);
  route.length = in->Bounded<std::uint8_t>(1, route.address.size() * 8);
  if (in->Flag()) route.outbound = in->Bounded<PeerId>(4, kMaxPeers - 1);
  const std::size_t inbound = in->Count(4);
  route.inbound.reserve(inbound);
  for (std::size_t i = 0; i < inbound; ++i) route.inbound.push_back(in->Bounded<PeerId>(4, kMaxPeers - 1));
  return route;
}

// What holds between the parts: ids and slots are there once, and every session has its peer, every active slot its session.
bool FitsTogether(const Handover& h) {
  for (std::size_t i = 1; i < h.peers.size(); ++i) {
    if (h.peers[i - 1].id >= h.peers[i].id) return false;
  }
  const auto known = [&h](PeerId id) {
    return std::binary_search(h.peers.begin(), h.peers.end(), HandoverPeer{.id = id, .options = {}, .limit = {}, .active = {}},
                              [](const HandoverPeer& a, const HandoverPeer& b) { return a.id < b.id; });
  };
  std::unordered_map<Slot, PeerId> owners;
  for (const HandoverSession& session : h.sessions) {
    if (!known(session.peer) || !owners.insert({session.slot, session.peer}).second) return false;
  }
  return std::all_of(h.peers.begin(), h.peers.end(), [&owners](const HandoverPeer& peer) {
    if (!peer.active) return true;
    const auto owner = owners.find(*peer.active);
    return owner != owners.end() && owner->second == peer.id;
  });
}

Result<Handover> ReadBody(Bytes body) {
  Handover handover;
  Reader in(body);
  ReadPlane(&in, &handover);
  std::size_t count = in.Count(kLeastPeer);
  handover.peers.reserve(count);
  for (std::size_t i = 0; i < count && in.ok(); ++i) handover.peers.push_back(ReadPeer(&in));
  count = in.Count(kLeastSession);
  handover.sessions.reserve(count);
  for (std::size_t i = 0; i < count && in.ok(); ++i) handover.sessions.push_back(ReadSession(&in));
  count = in.Count(kLeastRoute);
  handover.routes.reserve(count);
  for (std::size_t i = 0; i < count && in.ok(); ++i) handover.routes.push_back(ReadRoute(&in));
  if (!in.ok() || in.left() != 0 || !FitsTogether(handover)) return Error{EBADMSG, kWhat};
  return handover;
}

void WriteBody(const Handover& handover, Writer* out) {
  WritePlane(handover, out);
  out->Uint(handover.peers.size(), 4);
  for (const HandoverPeer& peer : handover.peers) WritePeer(peer, out);
  out->Uint(handover.sessions.size(), 4);
  for (const HandoverSession& session : handover.sessions) WriteSession(session, out);
  out->Uint(handover.routes.size(), 4);
  for (const Route& route : handover.routes) WriteRoute(route, out);
}

}  // namespace

std::size_t HandoverSize(const Handover& handover) {
  Writer counting(nullptr);
  WriteBody(handover, &counting);
  return kHeadSize + counting.size() + kDigestSize;
}

bool WriteHandover(const Handover& handover, MutableBytes out) {
  Writer writer(out.data());
  writer.Octets(Head());
  WriteBody(handover, &writer);
  Sha256Digest digest;
  if (!Sha256(out.first(writer.size()), &digest)) return false;
  writer.Octets(digest);
  return true;
}

Result<Handover> ReadHandover(Bytes document) {
  const Result<Handover> read = ReadHandoverUnchecked(document);
  if (!read) return read.error();
  const Bytes written = document.first(document.size() - kDigestSize);
  Sha256Digest digest;
  if (!Sha256(written, &digest) || !std::equal(digest.begin(), digest.end(), document.last(kDigestSize).begin())) {
    return Error{EBADMSG, kWhat};
  }
  return read;
}

Result<Handover> ReadHandoverUnchecked(Bytes document) {
  const auto head = Head();
  if (document.size() < kHeadSize + kDigestSize || !std::equal(kMagic.begin(), kMagic.end(), document.begin())) {
    return Error{EBADMSG, kWhat};
  }
  if (!std::equal(head.begin(), head.end(), document.begin())) return Error{EPROTONOSUPPORT, kWhat};
  return ReadBody(document.first(document.size() - kDigestSize).subspan(kHeadSize));
}

}  // namespace dtunnel
