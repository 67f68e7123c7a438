// LaneSockets: every UDP socket of a plane, by lane.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "os/udp.h"
#include "plane/config.h"

namespace dtunnel {

// Lane 0 sends from the ports we listen on. Every other lane has ports of its own, so that one association is several
// flows to the network, which spreads them over a receiver's queues. All lanes share the listening ports between them
// (SO_REUSEPORT): the kernel keeps each incoming flow on one of them. Main thread only; the sockets themselves are shared.
class LaneSockets {
 public:
  using Sockets = std::vector<std::shared_ptr<UdpSocket>>;

  LaneSockets(std::size_t lanes, std::optional<std::uint32_t> mark, bool gro)
      : mark_(mark), gro_(gro), current_(lanes), old_(lanes) {}

  // Binds what is not bound already; what is no longer wanted is received from until DropOld. On failure nothing changed.
  Status Bind(const std::vector<ListenSpec>& listen);
  // Closes the old sockets, but for those that a current one takes over from and that hold something yet: those get
  // nothing more and are closed by a later call. True: none is left.
  bool DropOld();
  // Takes sockets in the order of `All`, which were bound elsewhere: those of `listening` endpoints a lane, then those of
  // `overlapping` old ones.
  void Adopt(Sockets sockets, std::uint32_t listening, std::uint32_t overlapping);
  // Marks what every socket sends, and those to come (SO_MARK); none: nothing is marked. On failure nothing changed.
  Status SetMark(std::optional<std::uint32_t> mark);

  // Every socket once, the current ones first, lane by lane, in it the listening ones first.
  Sockets All() const;
  // Endpoints that each lane listens on, and old ones that it is still received from on.
  std::uint32_t listening() const { return static_cast<std::uint32_t>(current_[0].listening.size()); }
  std::uint32_t overlapping() const { return static_cast<std::uint32_t>(old_[0].listening.size()); }
  // Everything that `lane` receives from, the old ones first: what came there came before.
  Sockets ReceivingOf(std::size_t lane) const;
  // What `lane` sends datagrams along `path` from; null when there is no socket of that family.
  const UdpSocket* SendingOf(std::size_t lane, const Path& path) const;
  // Where we send from, lane 0 (where we listen) first.
  std::vector<Endpoint> endpoints() const;
  std::optional<std::uint32_t> mark() const { return mark_; }
  bool gro() const { return !current_[0].listening.empty() && current_[0].listening[0]->gro(); }

 private:
  struct Lane {
    Sockets listening;
    Sockets own;  // empty for lane 0

    const Sockets& sending() const { return own.empty() ? listening : own; }
  };

  bool IsTakenOver(const Endpoint& old) const;
  bool IsDrained(std::size_t index) const;
  Status MarkAll(std::uint32_t mark) const;
  static bool Take(const ListenSpec& spec, std::vector<Lane>* from, std::vector<Lane>* to);
  static void Append(const std::vector<Lane>& from, std::vector<Lane>* to);
  Result<std::vector<Lane>> Open(const std::vector<ListenSpec>& listen) const;
  Result<std::vector<Endpoint>> OpenAlone(const std::vector<ListenSpec>& listen, Sockets* bound) const;
  Result<Sockets> OpenAll(const std::vector<Endpoint>& endpoints, bool any_port, bool shared) const;
  Result<std::shared_ptr<UdpSocket>> OpenOne(const Endpoint& endpoint, bool shared) const;
  Result<std::shared_ptr<UdpSocket>> OpenBeside(const Endpoint& endpoint) const;
  Sockets HoldersOf(const Endpoint& endpoint) const;

  std::optional<std::uint32_t> mark_;
  bool gro_;
  std::vector<Lane> current_;
  std::vector<Lane> old_;
};

}  // namespace dtunnel
