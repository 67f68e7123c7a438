// Coalescer: joins received packets of a flow into super packets for the TUN device, by the rules of the kernel's own
// generic receive offload.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "packet/ip.h"
#include "packet/vnet_hdr.h"

namespace dtunnel {

// Takes what the Coalescer is done with.
class PacketSink {
 public:
  virtual ~PacketSink() = default;
  // `packet` has kVnetHdrSize writable octets in front of it. It stands for `count` packets of `inner_octets` together.
  virtual void WritePacket(const VnetHdr& hdr, MutableBytes packet, std::uint32_t count, std::uint64_t inner_octets,
                           const void* owner) = 0;
};

// Which flows may be joined.
struct CoalesceRules {
  bool tcp = true;
  bool udp = true;
};

// Use, per record: Land gives the place to open it to; then Abandon if it was no packet for the device, or TryAppend,
// and if that is false: look at packet(), then Add or Abandon. The landing place is directly behind the payload of the
// last super packet where that may fit, so that an appended payload is never copied: the headers come to lie over the
// tail of the payload before, which is saved and put back.
//
// Packets of one flow leave in the order they came. Single-threaded.
class Coalescer {
 public:
  explicit Coalescer(PacketSink* sink);

  void SetRules(CoalesceRules rules) { rules_ = rules; }

  // Where to open a record whose plaintext has at most `max_size` ≤ 65535 octets.
  std::uint8_t* Land(std::size_t max_size);
  // The landed record is dropped.
  void Abandon();
  // Joins the landed packet of `size` octets to the super packet it landed behind, if it belongs there. `owner`: whom
  // it came from, opaque; packets of different owners are never joined.
  bool TryAppend(std::size_t size, const void* owner);
  // The landed packet after TryAppend said no.
  std::uint8_t* packet() { return spare_.packet; }
  // Takes the landed packet: joins it to another super packet, keeps it as a new one, or writes it.
  void Add(std::size_t size, const void* owner);
  // Writes everything, oldest first: there is nothing more to wait for.
  void Flush();
  // Writes, oldest first, everything but what was joined last: when more is known to come, only that may go on with it.
  void FlushAllButLast();
  bool empty() const { return active_ == 0; }

  // Octets allocated.
  static std::size_t Footprint();

 private:
  struct Buffer {
    std::uint8_t* packet = nullptr;  // kVnetHdrSize octets in front of it are ours too
  };

  // What must agree for two packets to be joined, taken from the head.
  struct Shape {
    std::uint8_t version = 0;
    bool tcp = false;
    std::uint16_t transport_at = 0;
    std::uint16_t headers = 0;
    std::uint8_t flags = 0;  // TCP's
  };

  struct Slot {
    Buffer buffer;
    bool active = false;
    bool head_verified = false;
    const void* owner = nullptr;
    std::uint64_t age = 0;
    Shape shape;
    std::size_t size = 0;      // of the super packet so far
    std::size_t gso_size = 0;  // payload of the head
    std::uint32_t count = 0;
    std::uint32_t next_sequence = 0;
  };

  static constexpr std::size_t kSlots = 4;
  static constexpr std::size_t kMaxHeaders = 40 + 60;
  static constexpr std::uint32_t kMaxUdpSegments = 64;  // UDP_MAX_SEGMENTS of Linux before 6.9

  bool Describe(Bytes packet, Shape* out) const;
  bool Joins(const Slot& slot, const std::uint8_t* packet, std::size_t size, const void* owner) const;
  static bool SameFlow(const Slot& slot, const std::uint8_t* packet, const Shape& shape, const void* owner);
  bool VerifyHead(Slot* slot) const;
  void Extend(Slot* slot, std::uint8_t flags, std::size_t payload);
  Slot* FindSlot(const std::uint8_t* packet, const Shape& shape, const void* owner);
  Slot* TakeSlot();
  void FlushAllBut(const Slot* kept);
  void WriteSlot(Slot* slot);
  void WriteAddressPair(const std::uint8_t* packet, std::size_t size);

  PacketSink* const sink_;
  CoalesceRules rules_;
  std::unique_ptr<std::uint8_t[]> memory_;
  std::array<Slot, kSlots> slots_;
  Buffer spare_;
  Slot* last_ = nullptr;      // the slot joined last: the next record most likely belongs to it
  Slot* landed_ = nullptr;    // the slot the record landed behind; null: in the spare
  std::array<std::uint8_t, kMaxHeaders> saved_;
  std::uint64_t clock_ = 0;
  std::size_t active_ = 0;
};

}  // namespace dtunnel
