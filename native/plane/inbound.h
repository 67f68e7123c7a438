// Inbound: from the network to the TUN device. One per lane, run by its RX thread.
//
//   1. Receive    batches from every socket of the lane
//   2. Datagram   record by record: whose is it? What nobody claims goes to the engine or is counted
//   3. Claimed    replay check, opening, replay commit, path
//   4. Content    IP packets: ECN, source check, rate, MSS, joined to super packets; the rest goes to the engine
//   5. WritePacket  when a super packet closes, when the sockets are empty, or after kBurstsPerFlush batches
#pragma once

#include <poll.h>

#include <array>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "os/udp.h"
#include "os/wakeup.h"
#include "packet/coalesce.h"
#include "packet/record.h"
#include "plane/pause.h"
#include "plane/shared.h"

namespace dtunnel {

class Inbound : private PacketSink {
 public:
  Inbound(Shared* shared, std::size_t lane, const Wakeup* wakeup);

  // The thread's body: returns once the plane stops.
  void Run();

  static std::size_t Footprint() { return UdpReceiver::Footprint() + Coalescer::Footprint(); }

 private:
  // Where the message under way came from.
  struct Origin {
    Path path;
    std::uint8_t ecn = 0;
    std::uint64_t at_ns = 0;
  };

  void Boundary();
  std::size_t Receive(std::size_t index, std::size_t most);
  std::size_t ReceiveAll(std::size_t most);
  bool Wait();
  void LookWhereReady();
  void Hold();

  void Datagram(Bytes datagram);
  // How many octets of `rest`, which begins with a record, were dealt with.
  std::size_t Record(Bytes rest, const RecordHeader& record);
  std::size_t EpochZero(Bytes rest);
  std::size_t ByConnectionId(Bytes rest, const RecordHeader& record);
  std::size_t ByEndpoint(Bytes rest, const RecordHeader& record);
  void HandUp(Bytes datagram, bool handshake);
  void Unclaimed(Unattributed reason);

  enum class Opening : std::uint8_t { kDone, kWrongKey };
  Opening Claimed(Session* session, const RecordHeader& record);
  void Content(Session* session, std::uint8_t type, std::size_t size, std::uint8_t* at, bool newest);
  void Packet(Session* session, std::size_t size, std::uint8_t* at);
  void ToEngine(Session* session, std::uint8_t type, Bytes fragment, bool newest);
  void NoticePath(Session* session);
  bool IsOtherLane(Session* session, const SessionPath& path) const;

  void WritePacket(const VnetHdr& hdr, MutableBytes packet, std::uint32_t count, std::uint64_t inner_octets,
                   const void* owner) override;
  void WriteSegments(const VnetHdr& hdr, MutableBytes packet, PeerCounters* peer);
  void UpdateRules();

  static constexpr std::size_t kBurstsPerFlush = 16;

  Shared* const shared_;
  const std::size_t lane_;
  const std::size_t thread_;
  const int tun_;
  const Wakeup* const wakeup_;
  ThreadCounters* const counters_;
  UdpReceiver receiver_;
  Coalescer coalescer_;
  const SocketSet* sockets_ = nullptr;
  Origin origin_;
  std::vector<pollfd> waits_;     // the wakeup, then `sockets_`
  std::size_t active_ = 0;        // index of the socket that was busy last
  bool look_everywhere_ = true;
  Pause pause_;
  std::size_t bursts_ = 0;        // since the last flush
};

}  // namespace dtunnel
