#include "plane/lane_sockets.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

namespace dtunnel {
namespace {

bool IsWildcard(const IpAddress& address) {
  return std::all_of(address.octets.begin(), address.octets.end(), [](std::uint8_t o) { return o == 0; });
}

IpAddress Wildcard(std::uint8_t family) {
  IpAddress address;
  address.family = family;
  return address;
}

}  // namespace

Status LaneSockets::Bind(const std::vector<ListenSpec>& listen) {
  // What stays the same stays open, and what was given up a moment ago comes back: a second socket on its port would
  // be refused.
  std::vector<Lane> current = current_;
  std::vector<Lane> old = old_;
  std::vector<Lane> next(current.size());
  std::vector<ListenSpec> wanted;
  for (const ListenSpec& spec : listen) {
    if (!Take(spec, &current, &next) && !Take(spec, &old, &next)) wanted.push_back(spec);
  }
  Result<std::vector<Lane>> fresh = Open(wanted);
  if (!fresh) return fresh.error();
  Append(fresh.value(), &next);
  Append(current, &old);
  current_ = std::move(next);
  old_ = std::move(old);
  return Done{};
}

// Moves the sockets that `spec` asks for from one set of lanes to another. False: there are none.
bool LaneSockets::Take(const ListenSpec& spec, std::vector<Lane>* from, std::vector<Lane>* to) {
  bool found = false;
  Sockets& listening = (*from)[0].listening;
  for (std::size_t i = listening.size(); i-- > 0;) {
    const Endpoint& local = listening[i]->local();
    const bool same_address = spec.address.family == 0 ? IsWildcard(local.address) : local.address == spec.address;
    if (spec.port == 0 || !same_address || local.port != spec.port || listening[i]->deaf()) continue;
    found = true;
    for (std::size_t lane = 0; lane < from->size(); ++lane) {
      const auto move = [i](Sockets* source, Sockets* target) {
        target->insert(target->begin(), (*source)[i]);
        source->erase(source->begin() + static_cast<std::ptrdiff_t>(i));
      };
      move(&(*from)[lane].listening, &(*to)[lane].listening);
      if (lane != 0) move(&(*from)[lane].own, &(*to)[lane].own);
    }
  }
  return found;
}

void LaneSockets::Append(const std::vector<Lane>& from, std::vector<Lane>* to) {
  for (std::size_t lane = 0; lane < from.size(); ++lane) {
    Lane& target = (*to)[lane];
    target.listening.insert(target.listening.end(), from[lane].listening.begin(), from[lane].listening.end());
    target.own.insert(target.own.end(), from[lane].own.begin(), from[lane].own.end());
  }
}

bool LaneSockets::DropOld() {
  for (std::size_t i = overlapping(); i-- > 0;) {
    if (IsTakenOver(old_[0].listening[i]->local()) && !IsDrained(i)) continue;
    const auto at = static_cast<std::ptrdiff_t>(i);
    for (Lane& lane : old_) {
      lane.listening.erase(lane.listening.begin() + at);
      if (!lane.own.empty()) lane.own.erase(lane.own.begin() + at);
    }
  }
  return overlapping() == 0;
}

// Whether a current socket gets what is sent to `old` once nothing better matches. An old wildcard has no such: what it
// got beyond the one address that is listened on now, nobody gets any more.
bool LaneSockets::IsTakenOver(const Endpoint& old) const {
  return std::any_of(current_[0].listening.begin(), current_[0].listening.end(), [&old](const auto& socket) {
    const Endpoint& local = socket->local();
    if (local.port != old.port || local.address.family != old.address.family) return false;
    return local.address == old.address || IsWildcard(local.address);
  });
}

// Whether nothing is in the old sockets of listening endpoint `index`, and nothing can come. They match better than the
// wildcard that takes over from them until they are deaf, so whatever arrives between reading and closing would be lost.
// A socket that was made deaf just now is looked at again: something may be on its way into it.
bool LaneSockets::IsDrained(std::size_t index) const {
  bool drained = true;
  for (const Lane& lane : old_) {
    const UdpSocket& socket = *lane.listening[index];
    // When it cannot be made deaf its address is gone, and nothing arrives there.
    const bool may_hold = socket.deaf() ? socket.HasInput() : static_cast<bool>(socket.Deafen());
    if (may_hold) drained = false;
  }
  return drained;
}

void LaneSockets::Adopt(Sockets sockets, std::uint32_t listening, std::uint32_t overlapping) {
  auto next = std::make_move_iterator(sockets.begin());
  const auto take = [&next](std::uint32_t count) {
    Sockets taken(next, next + count);
    next += count;
    return taken;
  };
  for (const auto& [set, count] : {std::pair{&current_, listening}, std::pair{&old_, overlapping}}) {
    for (std::size_t lane = 0; lane < set->size(); ++lane) {
      (*set)[lane].listening = take(count);
      if (lane != 0) (*set)[lane].own = take(count);
    }
  }
}

LaneSockets::Sockets LaneSockets::All() const {
  Sockets all;
  for (const std::vector<Lane>* set : {&current_, &old_}) {
    for (const Lane& lane : *set) {
      all.insert(all.end(), lane.listening.begin(), lane.listening.end());
      all.insert(all.end(), lane.own.begin(), lane.own.end());
    }
  }
  return all;
}

Status LaneSockets::SetMark(std::optional<std::uint32_t> mark) {
  const Status marked = MarkAll(mark.value_or(0));
  if (!marked) {
    // The kernel refuses all sockets or none (CAP_NET_ADMIN); what it took back a moment ago it takes again.
    static_cast<void>(MarkAll(mark_.value_or(0)));
    return marked;
  }
  mark_ = mark;
  return Done{};
}

Status LaneSockets::MarkAll(std::uint32_t mark) const {
  for (std::size_t lane = 0; lane < current_.size(); ++lane) {
    for (const auto& socket : ReceivingOf(lane)) {
      const Status marked = socket->SetMark(mark);
      if (!marked) return marked;
    }
  }
  return Done{};
}

LaneSockets::Sockets LaneSockets::ReceivingOf(std::size_t lane) const {
  Sockets all;
  for (const Lane* set : {&old_[lane], &current_[lane]}) {
    all.insert(all.end(), set->listening.begin(), set->listening.end());
    all.insert(all.end(), set->own.begin(), set->own.end());
  }
  return all;
}

// The socket bound to the path's local address, else a wildcard of the remote's family, else any of that family.
const UdpSocket* LaneSockets::SendingOf(std::size_t lane, const Path& path) const {
  const UdpSocket* best = nullptr;
  int best_rank = 0;
  for (const auto& socket : current_[lane].sending()) {
    const IpAddress& bound = socket->local().address;
    if (bound.family != path.remote.address.family) continue;
    const int rank = bound == path.local ? 3 : IsWildcard(bound) ? 2 : 1;
    if (rank > best_rank) {
      best = socket.get();
      best_rank = rank;
    }
  }
  return best;
}

std::vector<Endpoint> LaneSockets::endpoints() const {
  std::vector<Endpoint> endpoints;
  for (const Lane& lane : current_) {
    for (const auto& socket : lane.sending()) endpoints.push_back(socket->local());
  }
  return endpoints;
}

Result<std::vector<LaneSockets::Lane>> LaneSockets::Open(const std::vector<ListenSpec>& listen) const {
  std::vector<Lane> lanes(current_.size());
  Sockets alone;
  Result<std::vector<Endpoint>> endpoints = OpenAlone(listen, &alone);
  if (!endpoints) return endpoints.error();
  if (current_.size() == 1) {
    lanes[0].listening = std::move(alone);
    return lanes;
  }
  alone.clear();  // gives the ports to those that share them
  for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
    Result<Sockets> listening = OpenAll(endpoints.value(), false, true);
    if (!listening) return listening.error();
    lanes[lane].listening = std::move(listening.value());
    if (lane == 0) continue;
    Result<Sockets> own = OpenAll(endpoints.value(), true, false);
    if (!own) return own.error();
    lanes[lane].own = std::move(own.value());
  }
  return lanes;
}

// Binds every spec alone first: that says what ports the kernel chose, and whether another program has one of them,
// which sockets that share ports would not notice.
Result<std::vector<Endpoint>> LaneSockets::OpenAlone(const std::vector<ListenSpec>& listen, Sockets* bound) const {
  const auto open = [&](const IpAddress& address, std::uint16_t port) -> Status {
    Result<std::shared_ptr<UdpSocket>> socket = OpenOne(Endpoint{address, port}, false);
    if (!socket && socket.error().code == EADDRINUSE) socket = OpenBeside(Endpoint{address, port});
    if (!socket) return socket.error();
    bound->push_back(std::move(socket.value()));
    return Done{};
  };
  for (const ListenSpec& spec : listen) {
    if (spec.address.family != 0) {
      const Status opened = open(spec.address, spec.port);
      if (!opened) return opened.error();
      continue;
    }
    // One port for both families. A port the kernel chose for IPv4 may be taken for IPv6: then another is chosen.
    constexpr int kAttempts = 16;
    for (int attempt = 1;; ++attempt) {
      const Status v4 = open(Wildcard(4), spec.port);
      if (!v4) return v4.error();
      const Status v6 = open(Wildcard(6), bound->back()->local().port);
      if (v6 || v6.error().code == EAFNOSUPPORT || v6.error().code == EADDRNOTAVAIL) break;  // no IPv6 on this host
      if (v6.error().code != EADDRINUSE || spec.port != 0 || attempt == kAttempts) return v6.error();
      bound->pop_back();
    }
  }
  std::vector<Endpoint> endpoints;
  for (const auto& socket : *bound) endpoints.push_back(socket->local());
  return endpoints;
}

Result<LaneSockets::Sockets> LaneSockets::OpenAll(const std::vector<Endpoint>& endpoints, bool any_port, bool shared) const {
  Sockets sockets;
  for (const Endpoint& endpoint : endpoints) {
    Result<std::shared_ptr<UdpSocket>> socket =
        OpenOne(Endpoint{endpoint.address, any_port ? std::uint16_t{0} : endpoint.port}, shared);
    if (!socket) return socket.error();
    sockets.push_back(std::move(socket.value()));
  }
  return sockets;
}

// Another socket on a port of ours: one address of it, or all, while the one before is still read. For that moment both
// say that they share; a socket of another program does not, and is found to hold the port as before.
Result<std::shared_ptr<UdpSocket>> LaneSockets::OpenBeside(const Endpoint& endpoint) const {
  const Sockets holders = HoldersOf(endpoint);
  if (holders.empty()) return Error{EADDRINUSE, "bind"};
  for (const auto& holder : holders) static_cast<void>(holder->ShareAddress(true));
  UdpOptions options;
  options.bind = endpoint;
  options.mark = mark_;
  options.gro = gro_;
  options.share_address = true;
  Result<UdpSocket> socket = UdpSocket::Open(options);
  for (const auto& holder : holders) static_cast<void>(holder->ShareAddress(false));
  if (!socket) return socket.error();
  static_cast<void>(socket.value().ShareAddress(false));
  return std::make_shared<UdpSocket>(std::move(socket.value()));
}

// Our sockets on the port of `endpoint`, of its family.
LaneSockets::Sockets LaneSockets::HoldersOf(const Endpoint& endpoint) const {
  Sockets holders;
  for (std::size_t lane = 0; lane < current_.size(); ++lane) {
    for (const auto& socket : ReceivingOf(lane)) {
      const Endpoint& local = socket->local();
      if (local.port == endpoint.port && local.address.family == endpoint.address.family) holders.push_back(socket);
    }
  }
  return holders;
}

Result<std::shared_ptr<UdpSocket>> LaneSockets::OpenOne(const Endpoint& endpoint, bool shared) const {
  UdpOptions options;
  options.bind = endpoint;
  options.mark = mark_;
  options.gro = gro_;
  options.share_port = shared;
  Result<UdpSocket> socket = UdpSocket::Open(options);
  if (!socket) return socket.error();
  return std::make_shared<UdpSocket>(std::move(socket.value()));
}

}  // namespace dtunnel
