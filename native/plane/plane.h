// Plane: the data plane as a whole. Every method belongs to one thread, the "main" thread that opened it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "crypto/aead.h"
#include "os/fd.h"
#include "os/thread.h"
#include "plane/config.h"
#include "plane/handover.h"
#include "plane/inbound.h"
#include "plane/lane_sockets.h"
#include "plane/outbound.h"
#include "plane/record_protection.h"
#include "plane/shared.h"

namespace dtunnel {

// Keys and addresses of a session to install. Views are copied during the call.
struct SessionConfig {
  Slot slot = 0;
  PeerId peer = 0;
  std::uint16_t epoch = 0;
  RecordKeys read;
  RecordKeys write;
  std::uint64_t next_write = 0;
  std::vector<std::uint64_t> accepted;
  Bytes our_id;
  Bytes peer_id;
  Path path;
  std::uint32_t path_mtu = 0;
  bool packs = false;  // the peer takes several records in a datagram
};

struct PeerConfig {
  PeerOptions options;
  std::optional<double> rate_limit;  // bits per second, each direction
};

// Sums over threads.
struct SessionTotals {
  std::uint64_t sealed_records = 0;
  std::uint64_t sealed_bytes = 0;
  std::uint64_t opened_records = 0;
  std::uint64_t opened_bytes = 0;
  std::uint64_t failed_opens = 0;
  std::uint64_t last_receive_ns = 0;
  std::uint64_t sealed_large = 0;
};

class Plane {
 public:
  // What a method refuses; anything but kDone is a mistake of the caller's, never of the network's.
  enum class Outcome { kDone, kNoPeer, kNoSession, kSlotTaken, kBadKeys, kStillInUse, kTooLarge };

  // `wake` is called from any thread when TakeEvents has something.
  static Result<std::unique_ptr<Plane>> Open(const PlaneConfig& config, std::function<void()> wake);
  // With ciphers of the caller's choice, for benches.
  static Result<std::unique_ptr<Plane>> OpenWith(const PlaneConfig& config, const AeadSuite& suite,
                                                 std::function<void()> wake);
  // Goes on where a frozen plane of another process stopped: `state` is the document of what its Freeze gave,
  // `descriptors` what its descriptors() named, as inherited. They are closed when this fails, and nothing was read from
  // them then: the calls named are "handover state" (EPROTONOSUPPORT: of another version; EBADMSG) and "inherited
  // descriptor" (EINVAL: not what the state says). Of `config`, crypto and realtime count; everything else is in the state.
  // The plane is frozen until Thaw: no thread has read or sealed anything, and if it is destroyed instead the other one
  // may still thaw.
  static Result<std::unique_ptr<Plane>> Adopt(const PlaneConfig& config, std::vector<Fd> descriptors, Bytes state,
                                              std::function<void()> wake);
  ~Plane();
  Plane(const Plane&) = delete;
  Plane& operator=(const Plane&) = delete;

  const std::string& device_name() const { return shared_->tun.name(); }
  std::vector<Endpoint> listening() const { return sockets_.endpoints(); }
  OffloadSet offloads() const { return shared_->offloads.all(); }
  const AeadSuite& aead() const { return suite_; }
  bool realtime() const { return realtime_; }

  Outcome Install(const SessionConfig& config);
  Outcome Activate(PeerId peer, std::optional<Slot> slot);
  Outcome Move(Slot slot, const Path& path);
  Outcome SetPathMtu(Slot slot, std::uint32_t path_mtu);
  Outcome Retire(Slot slot);

  void SetRoutes(const std::vector<Route>& routes);
  void SetPeer(PeerId peer, const PeerConfig& config);
  Outcome RemovePeer(PeerId peer);

  void SendDatagram(const Path& path, Bytes datagram);
  // kTooLarge: the record is sealed, but the device it would leave by takes none of that size.
  Outcome SealAndSend(Slot slot, std::uint8_t type, Bytes fragment, const std::optional<Path>& path);
  Outcome Inject(PeerId peer, Bytes packet);

  // The old sockets are still received from until DropOldSockets has returned true; before that it is to be called again
  // soon, when what they hold has been read.
  Status Rebind(const std::vector<ListenSpec>& listen);
  bool DropOldSockets();
  Status SetMark(std::optional<std::uint32_t> mark) { return sockets_.SetMark(mark); }

  // The data threads stop between two batches; what arrives waits in the kernel. Everything else goes on as always: now
  // TakeEvents, until there are none, delivers all that was ever read from the wire.
  // ETIMEDOUT of "freeze" when a thread does not come to a boundary in time: all of them go on.
  Status Pause();
  // Of a paused plane; from then on nothing but Thaw, SessionOf and the getters may be called, since another plane may go
  // on from the state. Its views end with Thaw.
  Handover Freeze();
  void Thaw();
  bool paused() const { return paused_; }
  bool frozen() const { return frozen_; }
  // The TUN device's (os/tun.h), then UDP sockets: in the order of the state. They stay the plane's.
  std::vector<int> descriptors() const;
  // Sockets that only DropOldSockets ends.
  bool overlapping() const { return sockets_.overlapping() != 0; }

  void TakeEvents(std::size_t limit, const std::function<void(const EventHead&, Bytes)>& deliver);

  std::optional<SessionTotals> SessionOf(Slot slot) const;
  // The sessions whose slot divided by `parts` leaves `part` and that have sealed or opened records since they were last
  // asked for.
  std::vector<Slot> ChangedSessions(Slot part, Slot parts);
  const ThreadCounters& CountersOf(std::size_t thread) const { return shared_->counters[thread]; }
  std::size_t thread_count() const { return shared_->thread_count(); }
  const std::vector<std::unique_ptr<Thread>>& threads() const { return threads_; }
  const std::vector<std::unique_ptr<Peer>>& peers() const { return peers_; }
  const std::vector<std::unique_ptr<Session>>& sessions() const { return sessions_; }
  SessionTotals TotalsOf(const Session& session) const;
  std::size_t buffer_octets() const;
  std::size_t session_octets() const;

 private:
  Status Transmit(const Path& path, Bytes datagram);
  Plane(const PlaneConfig& config, AeadSuite suite);
  // Of the sockets that are bound: publishes them and starts the threads.
  Status Start(const PlaneConfig& config);
  Status StartThreads(bool realtime);
  void Publish();
  void WakeThreads() const;
  void SetPath(Session* session, const Path& path);
  void SetPath(Session* session, const Path& path, const Endpoint& previous);
  Status Restore(const Handover& handover);
  bool RestoreSession(const HandoverSession& from);
  bool MakeCiphers(const SessionConfig& config, Session* session) const;

  const AeadSuite suite_;
  bool realtime_ = false;
  bool paused_ = false;
  bool frozen_ = false;
  std::uint64_t installed_ = 0;
  Slot slots_end_ = 0;  // beyond every slot that was ever used
  std::vector<Wakeup> wakeups_;  // by thread
  std::unique_ptr<Shared> shared_;
  LaneSockets sockets_;
  std::vector<std::unique_ptr<SocketSet>> socket_sets_;  // published, by lane
  std::unique_ptr<const Routes> routes_;
  std::vector<std::unique_ptr<Peer>> peers_;        // by id; null where there is none
  std::vector<std::unique_ptr<Session>> sessions_;  // by position; found by slot in the table
  std::vector<std::unique_ptr<Outbound>> outbound_;
  std::vector<std::unique_ptr<Inbound>> inbound_;
  std::vector<std::unique_ptr<Thread>> threads_;  // last: joined before anything they use goes
};

}  // namespace dtunnel
