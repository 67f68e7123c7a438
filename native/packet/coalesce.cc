#include "packet/coalesce.h"

#include <cstring>
#include <utility>

#include "packet/checksum.h"

namespace dtunnel {
namespace {

constexpr std::size_t kMaxPacket = 65535;
// A record may land at the end of a full super packet; nothing here depends on where a page ends.
constexpr std::size_t kFront = 64;
constexpr std::size_t kBufferSize = 132 * 1024;
static_assert(kFront + 2 * kMaxPacket + 64 < kBufferSize);

constexpr std::uint8_t kJoinableFlags = kTcpAck | kTcpPsh | kTcpFin | kTcpEce | kTcpCwr;
constexpr std::uint8_t kClosingFlags = kTcpPsh | kTcpFin;

bool ChecksumsHold(const std::uint8_t* p, std::size_t size, bool v6, bool tcp, std::size_t transport_at) {
  if (!v6 && FoldChecksum(AddChecksum(p, transport_at, 0)) != 0xffff) return false;
  const std::size_t length = size - transport_at;
  const std::uint64_t pseudo =
      PseudoHeaderSum(p, tcp ? kProtocolTcp : kProtocolUdp, static_cast<std::uint32_t>(length));
  return FoldChecksum(AddChecksum(p + transport_at, length, pseudo)) == 0xffff;
}

bool SameAddresses(const std::uint8_t* a, const std::uint8_t* b) {
  return a[0] >> 4 == 6 ? std::memcmp(a + 8, b + 8, 32) == 0 : std::memcmp(a + 12, b + 12, 8) == 0;
}

}  // namespace

Coalescer::Coalescer(PacketSink* sink)
    : sink_(sink), memory_(std::make_unique_for_overwrite<std::uint8_t[]>(Footprint())) {
  auto base = reinterpret_cast<std::uintptr_t>(memory_.get());
  std::uint8_t* at = memory_.get() + ((4096 - base % 4096) % 4096);
  for (Slot& slot : slots_) {
    slot.buffer.packet = at + kFront;
    at += kBufferSize;
  }
  spare_.packet = at + kFront;
}

std::size_t Coalescer::Footprint() { return (kSlots + 1) * kBufferSize + 4096; }

std::uint8_t* Coalescer::Land(std::size_t max_size) {
  landed_ = nullptr;
  Slot* slot = last_;
  if (slot == nullptr || !slot->active || max_size <= slot->shape.headers) return spare_.packet;
  if (slot->size + max_size - slot->shape.headers > kMaxPacket) return spare_.packet;
  // With less payload than headers the landed record would cover the head's own headers.
  if (slot->size < std::size_t{2} * slot->shape.headers) return spare_.packet;
  // The head's own checksum is verified before its tail is overwritten, and only once something may follow it.
  if (!VerifyHead(slot)) return spare_.packet;
  landed_ = slot;
  std::uint8_t* at = slot->buffer.packet + slot->size - slot->shape.headers;
  std::memcpy(saved_.data(), at, slot->shape.headers);
  return at;
}

void Coalescer::Abandon() {
  if (landed_ == nullptr) return;
  std::memcpy(landed_->buffer.packet + landed_->size - landed_->shape.headers, saved_.data(),
              landed_->shape.headers);
  landed_ = nullptr;
}

bool Coalescer::TryAppend(std::size_t size, const void* owner) {
  Slot* slot = landed_;
  if (slot == nullptr) return false;
  std::uint8_t* at = slot->buffer.packet + slot->size - slot->shape.headers;
  if (!Joins(*slot, at, size, owner)) {
    std::memcpy(spare_.packet, at, size);
    Abandon();
    return false;
  }
  const std::uint8_t flags = slot->shape.tcp ? at[slot->shape.transport_at + 13u] : std::uint8_t{0};
  Abandon();  // puts the saved octets back; the payload behind them stays
  Extend(slot, flags, size - slot->shape.headers);
  return true;
}

void Coalescer::Add(std::size_t size, const void* owner) {
  std::uint8_t* packet = spare_.packet;
  Shape shape;
  if (!Describe(Bytes(packet, size), &shape)) {
    WriteAddressPair(packet, size);
    sink_->WritePacket(VnetHdr{}, MutableBytes(packet, size), 1, size, owner);
    return;
  }
  Slot* slot = FindSlot(packet, shape, owner);
  if (slot != nullptr) {
    if (slot->size + size - shape.headers <= kMaxPacket && VerifyHead(slot) && Joins(*slot, packet, size, owner)) {
      std::memcpy(slot->buffer.packet + slot->size, packet + shape.headers, size - shape.headers);
      last_ = slot;
      Extend(slot, shape.flags, size - shape.headers);
      return;
    }
    WriteSlot(slot);
  }
  slot = TakeSlot();
  std::swap(slot->buffer, spare_);
  slot->active = true;
  slot->head_verified = false;
  slot->owner = owner;
  slot->age = ++clock_;
  slot->shape = shape;
  slot->size = size;
  slot->gso_size = size - shape.headers;
  slot->count = 1;
  slot->next_sequence =
      shape.tcp ? Load32(slot->buffer.packet + shape.transport_at + 4) + static_cast<std::uint32_t>(slot->gso_size) : 0;
  ++active_;
  last_ = slot;
  if ((shape.flags & kClosingFlags) != 0) WriteSlot(slot);
}

void Coalescer::Flush() { FlushAllBut(nullptr); }

void Coalescer::FlushAllButLast() { FlushAllBut(last_); }

void Coalescer::FlushAllBut(const Slot* kept) {
  while (active_ != 0) {
    Slot* oldest = nullptr;
    for (Slot& slot : slots_) {
      if (slot.active && &slot != kept && (oldest == nullptr || slot.age < oldest->age)) oldest = &slot;
    }
    if (oldest == nullptr) return;
    WriteSlot(oldest);
  }
}

// Whether `packet` is of a kind that is joined at all: unfragmented, no IP options, TCP with data and nothing but
// ordinary flags, or UDP with data and a checksum (RFC 768: zero means none, and none must not be invented).
bool Coalescer::Describe(Bytes packet, Shape* out) const {
  const std::optional<IpPacket> ip = ParseIp(packet, false);
  if (!ip || ip->fragment || (ip->version == 4 && ip->header_size != 20)) return false;
  const std::optional<Transport> transport = ParseTransport(packet, *ip);
  if (!transport) return false;
  out->version = ip->version;
  out->tcp = transport->protocol == kProtocolTcp;
  out->transport_at = transport->at;
  out->headers = static_cast<std::uint16_t>(transport->at + transport->size);
  out->flags = 0;
  if (packet.size() <= out->headers) return false;
  if (out->tcp) {
    out->flags = packet[out->transport_at + 13u];
    return rules_.tcp && (out->flags & ~kJoinableFlags) == 0;
  }
  const std::uint8_t* udp = &packet[out->transport_at];
  return rules_.udp && Load16(udp + 4) == packet.size() - out->transport_at && Load16(udp + 6) != 0;
}

// Whether the packet continues the super packet exactly: the kernel will cut it apart again, and every octet of every
// header must then be what it was.
bool Coalescer::Joins(const Slot& slot, const std::uint8_t* q, std::size_t size, const void* owner) const {
  const Shape& shape = slot.shape;
  const std::uint8_t* p = slot.buffer.packet;
  if (owner != slot.owner || size <= shape.headers) return false;
  const std::size_t payload = size - shape.headers;
  if (payload > slot.gso_size) return false;
  if (shape.version == 6) {
    // Version, traffic class and flow label; next header, hop limit and addresses.
    if (std::memcmp(p, q, 4) != 0 || std::memcmp(p + 6, q + 6, 34) != 0) return false;
    if (Load16(q + 4) + std::size_t{40} != size) return false;
  } else {
    if (p[0] != q[0] || p[1] != q[1] || Load16(q + 2) != size) return false;
    // Flags agree and there is no offset; time to live, protocol and addresses agree.
    if (p[6] != q[6] || q[7] != 0 || std::memcmp(p + 8, q + 8, 2) != 0 || std::memcmp(p + 12, q + 12, 8) != 0) {
      return false;
    }
    // RFC 6864 §4.1: the identification of an atomic packet means nothing; others must count on.
    const bool atomic = (p[6] & 0x40) != 0;
    if (!atomic && Load16(q + 4) != static_cast<std::uint16_t>(Load16(p + 4) + slot.count)) return false;
  }
  const std::uint8_t* pt = p + shape.transport_at;
  const std::uint8_t* qt = q + shape.transport_at;
  if (std::memcmp(pt, qt, 4) != 0) return false;
  if (shape.tcp) {
    if (Load32(qt + 4) != slot.next_sequence || std::memcmp(pt + 8, qt + 8, 5) != 0) return false;
    const std::uint8_t flags = qt[13];
    if ((flags & ~(kTcpAck | kTcpPsh | kTcpFin | kTcpEce)) != 0) return false;  // CWR on the head only
    if (((pt[13] ^ flags) & ~(kTcpPsh | kTcpFin | kTcpCwr)) != 0) return false;
    if (std::memcmp(pt + 14, qt + 14, 2) != 0) return false;
    const std::size_t options = shape.headers - shape.transport_at - 20u;
    if (options != 0 && std::memcmp(pt + 20, qt + 20, options) != 0) return false;
  } else if (Load16(qt + 4) != size - shape.transport_at || Load16(qt + 6) == 0 || slot.count == kMaxUdpSegments) {
    return false;
  }
  // The kernel computes checksums of what it cuts: an inner packet that came damaged must not leave repaired.
  return ChecksumsHold(q, size, shape.version == 6, shape.tcp, shape.transport_at);
}

bool Coalescer::SameFlow(const Slot& slot, const std::uint8_t* packet, const Shape& shape, const void* owner) {
  const std::uint8_t* p = slot.buffer.packet;
  return slot.owner == owner && slot.shape.version == shape.version && slot.shape.tcp == shape.tcp &&
         std::memcmp(p + slot.shape.transport_at, packet + shape.transport_at, 4) == 0 && SameAddresses(p, packet);
}

bool Coalescer::VerifyHead(Slot* slot) const {
  if (slot->head_verified) return true;
  if (!ChecksumsHold(slot->buffer.packet, slot->size, slot->shape.version == 6, slot->shape.tcp,
                     slot->shape.transport_at)) {
    return false;
  }
  slot->head_verified = true;
  return true;
}

void Coalescer::Extend(Slot* slot, std::uint8_t flags, std::size_t payload) {
  slot->size += payload;
  slot->count += 1;
  slot->next_sequence += static_cast<std::uint32_t>(payload);
  bool closed = payload < slot->gso_size;
  if ((flags & kClosingFlags) != 0) {
    slot->buffer.packet[slot->shape.transport_at + 13u] |= flags & kClosingFlags;
    closed = true;
  }
  if (closed) WriteSlot(slot);
}

Coalescer::Slot* Coalescer::FindSlot(const std::uint8_t* packet, const Shape& shape, const void* owner) {
  for (Slot& slot : slots_) {
    if (slot.active && SameFlow(slot, packet, shape, owner)) return &slot;
  }
  return nullptr;
}

// A slot that is not in use, after writing the oldest if need be.
Coalescer::Slot* Coalescer::TakeSlot() {
  Slot* oldest = nullptr;
  for (Slot& slot : slots_) {
    if (!slot.active) return &slot;
    if (oldest == nullptr || slot.age < oldest->age) oldest = &slot;
  }
  WriteSlot(oldest);
  return oldest;
}

void Coalescer::WriteSlot(Slot* slot) {
  slot->active = false;
  --active_;
  std::uint8_t* p = slot->buffer.packet;
  VnetHdr hdr;
  if (slot->count > 1) {
    const Shape& shape = slot->shape;
    const std::size_t transport = slot->size - shape.transport_at;
    hdr.flags = kVnetNeedsChecksum;
    hdr.gso_type = !shape.tcp ? kGsoUdp : shape.version == 6 ? kGsoTcp6 : kGsoTcp4;
    if (shape.tcp && (p[shape.transport_at + 13u] & kTcpCwr) != 0) hdr.gso_type |= kGsoEcnBit;
    hdr.header_size = shape.headers;
    hdr.gso_size = static_cast<std::uint16_t>(slot->gso_size);
    hdr.checksum_start = shape.transport_at;
    hdr.checksum_offset = shape.tcp ? 16 : 6;
    if (shape.version == 6) {
      Store16(p + 4, static_cast<std::uint16_t>(slot->size - 40));
    } else {
      Store16(p + 2, static_cast<std::uint16_t>(slot->size));
      RefreshIpv4Checksum(p);
    }
    if (!shape.tcp) Store16(p + shape.transport_at + 4, static_cast<std::uint16_t>(transport));
    const std::uint64_t pseudo =
        PseudoHeaderSum(p, shape.tcp ? kProtocolTcp : kProtocolUdp, static_cast<std::uint32_t>(transport));
    const std::uint16_t partial = FoldChecksum(pseudo);
    std::memcpy(p + shape.transport_at + hdr.checksum_offset, &partial, 2);
  }
  const std::uint64_t inner_octets = slot->size + std::uint64_t{slot->count - 1} * slot->shape.headers;
  sink_->WritePacket(hdr, MutableBytes(p, slot->size), slot->count, inner_octets, slot->owner);
}

// Something that is not joined (a pure ACK, a SYN, a fragment, ICMP) leaves at once: what came before it between the
// same two hosts leaves first.
void Coalescer::WriteAddressPair(const std::uint8_t* packet, std::size_t size) {
  while (active_ != 0) {
    Slot* oldest = nullptr;
    for (Slot& slot : slots_) {
      if (!slot.active || (oldest != nullptr && slot.age > oldest->age)) continue;
      const std::size_t needed = slot.shape.version == 6 ? 40 : 20;
      if (size >= needed && packet[0] >> 4 == slot.shape.version && SameAddresses(slot.buffer.packet, packet)) {
        oldest = &slot;
      }
    }
    if (oldest == nullptr) return;
    WriteSlot(oldest);
  }
}

}  // namespace dtunnel
