// SendBatch: records waiting to be sent. Small ones share a datagram where the far end takes that; datagrams of equal size
// share a message (UDP_SEGMENT, udp(7)).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>

#include "os/udp.h"
#include "plane/config.h"
#include "plane/offloads.h"
#include "plane/stats.h"

namespace dtunnel {

// Records are sealed straight into the batch. Single-threaded; targets and counters stay valid until Flush.
class SendBatch {
 public:
  // `on_disabled` is told when UDP_SEGMENT was found not to work.
  SendBatch(ThreadCounters* counters, Offloads* offloads, std::function<void(Offload, int)> on_disabled);

  struct Record {
    const SendTarget& target;
    PeerCounters* peer;
    std::uint8_t traffic_class;
    std::size_t size;          // exactly
    std::size_t inner;         // octets of the packet in it
    std::size_t max_datagram;  // with others in its datagram (RFC 6347 §4.1.1), this many octets together; 0: never
  };
  struct Place {
    std::uint8_t* at;
    std::size_t datagram;  // octets of the record's datagram, the record included
  };
  // Where to write a record. May send what is finished first, so that no finished message waits behind more than
  // kFlushSize octets.
  Place Reserve(const Record& record);
  // Sends everything.
  void Flush();

  static std::size_t Footprint() { return kCapacity + 4096; }

 private:
  // Datagrams of `segment` octets and `packets_each` packets; the last may be shorter, and have any number.
  struct Message {
    const SendTarget* target;
    PeerCounters* peer;
    std::uint32_t offset;
    std::uint32_t size;
    std::uint64_t inner;
    std::uint32_t packets;
    std::uint16_t datagrams;
    std::uint16_t segment;
    std::uint16_t packets_each;
    std::uint16_t last_size;
    std::uint16_t last_packets;
    std::uint8_t traffic_class;
  };

  // UDP_MAX_SEGMENTS of kernels before 6.9, and the largest UDP payload over IPv4.
  static constexpr std::size_t kMaxSegments = 64;
  static constexpr std::size_t kFlushSize = 48 * 1024;
  static constexpr std::size_t kMaxMessages = 256;
  static constexpr std::size_t kCapacity = kFlushSize + 2 * 65536;

  static bool Continues(const Message& m, const Record& record);
  static bool FitsDatagram(const Message& m, const Record& record);
  bool FitsMessage(const Message& m, const Record& record) const;
  std::size_t SendFrom(std::size_t first);
  void GiveUp(const Message& m, int error);
  void SendSingly(const Message& m);
  void CountSent(const Message& m);

  ThreadCounters* const counters_;
  Offloads* const offloads_;
  const std::function<void(Offload, int)> on_disabled_;
  std::unique_ptr<std::uint8_t[]> memory_;
  std::uint8_t* data_ = nullptr;
  std::size_t used_ = 0;
  std::size_t count_ = 0;
  std::array<Message, kMaxMessages> messages_;
  std::array<mmsghdr, kMaxMessages> headers_;
  std::array<iovec, kMaxMessages> vectors_;
  std::array<std::array<std::uint8_t, kSendControlSize>, kMaxMessages> controls_;
};

}  // namespace dtunnel
