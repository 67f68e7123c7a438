// Outbound: from the TUN device to the network. One per lane, run by its TX thread.
//
//   1. Drain     reads packets and super packets until there are none
//   2. Packet    route → peer → session; what cannot go is counted under one reason
//   3. Admit     loop, rate limit, MSS, path MTU
//   4. Segments  each is completed in place and sealed into the batch
//   5. the batch is sent when it is full, and when the device has nothing more
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/bytes.h"
#include "os/wakeup.h"
#include "packet/ip.h"
#include "packet/split.h"
#include "packet/vnet_hdr.h"
#include "plane/moderation.h"
#include "plane/pause.h"
#include "plane/send_batch.h"
#include "plane/shared.h"

namespace dtunnel {

class Outbound {
 public:
  Outbound(Shared* shared, std::size_t lane, const Wakeup* wakeup);

  // The thread's body: returns once the plane stops.
  void Run();

  static std::size_t Footprint();

 private:
  // A packet on its way: what Packet found out about it.
  struct Job {
    MutableBytes packet;
    VnetHdr hdr;
    IpPacket ip;
    Peer* peer = nullptr;
    Session* session = nullptr;
    const SessionPath* path = nullptr;
    PeerCounters* counters = nullptr;
    std::uint8_t traffic_class = 0;  // of the outer packet
    std::size_t max_packet = 0;
    std::size_t segments = 1;
    std::size_t largest = 0;  // octets of the largest segment
  };

  std::size_t Drain(bool paused);
  void Packet(MutableBytes packet, const VnetHdr& hdr);
  bool FindSession(Job* job);
  bool Admit(Job* job, PeerOptions options, RateLimit* limit);
  bool IsOwnDatagram(const Job& job) const;
  void Send(Job* job, Splitter* splitter);
  void SendWhole(Job* job);
  void SendSegments(Job* job, Splitter* splitter);
  void SendFragments(Job* job, Bytes packet);
  void TooBig(const Job& job);
  void Seal(const Job& job, std::uint8_t* packet, std::size_t size, RecordNumber number);
  bool Wait();
  void Hold();

  static constexpr std::size_t kBudget = 64;  // packets between two batch boundaries
  static constexpr std::size_t kFront = 64;
  static constexpr std::size_t kReadSize = kFront + kMaxPacketSize + 64;

  Shared* const shared_;
  const std::size_t lane_;
  const std::size_t thread_;
  const int tun_;
  const Wakeup* const wakeup_;
  ThreadCounters* const counters_;
  SendBatch batch_;
  std::unique_ptr<std::uint8_t[]> memory_;
  std::uint8_t* read_at_ = nullptr;  // vnet header; the packet behind it is 16-aligned
  std::unique_ptr<std::uint8_t[]> scratch_;
  Pause pause_;
  Moderation moderation_;
  std::size_t packets_ = 0;   // read by this drain; of super packets, their segments
  std::size_t singles_ = 0;   // of them, those that came by themselves
  bool emptied_ = false;      // whether this drain left nothing in the device
  std::uint64_t now_ns_ = 0;  // of this drain; read when first needed
};

}  // namespace dtunnel
