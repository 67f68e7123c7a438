#include "packet/fragment.h"

#include <algorithm>
#include <cstring>

#include "packet/checksum.h"

namespace dtunnel {
namespace {

constexpr std::uint16_t kMoreFragments = 0x2000;
constexpr std::uint16_t kOffsetMask = 0x1fff;

// Replaces options without the copied bit by no-operations (RFC 791 §3.1: only the copied ones go into every fragment).
// The header keeps its size, which is simpler and allowed.
void DropUncopiedOptions(std::uint8_t* header, std::size_t size) {
  std::size_t at = 20;
  while (at < size) {
    const std::uint8_t kind = header[at];
    if (kind == 0) return;
    if (kind == 1) {
      ++at;
      continue;
    }
    if (at + 1 >= size || header[at + 1] < 2 || at + header[at + 1] > size) {
      std::memset(header + at, 1, size - at);
      return;
    }
    const std::size_t option = header[at + 1];
    if ((kind & 0x80) == 0) std::memset(header + at, 1, option);
    at += option;
  }
}

}  // namespace

std::optional<Ipv4Fragmenter> Ipv4Fragmenter::Create(Bytes packet, std::size_t max, MutableBytes scratch) {
  Ipv4Fragmenter f;
  f.header_size_ = static_cast<std::size_t>(packet[0] & 15) * 4;
  if (max < f.header_size_ + 8 || scratch.size() < max) return std::nullopt;
  f.step_ = (max - f.header_size_) & ~std::size_t{7};  // offsets count in units of 8 octets
  f.payload_ = packet.subspan(f.header_size_);
  f.scratch_ = scratch;
  f.base_ = Load16(&packet[6]);
  std::memcpy(f.first_header_.data(), packet.data(), f.header_size_);
  std::memcpy(f.other_header_.data(), packet.data(), f.header_size_);
  DropUncopiedOptions(f.other_header_.data(), f.header_size_);
  return f;
}

MutableBytes Ipv4Fragmenter::Next() {
  if (at_ >= payload_.size()) return {};
  const std::size_t size = std::min(step_, payload_.size() - at_);
  std::uint8_t* out = scratch_.data();
  std::memcpy(out, at_ == 0 ? first_header_.data() : other_header_.data(), header_size_);
  std::memcpy(out + header_size_, &payload_[at_], size);
  Store16(out + 2, static_cast<std::uint16_t>(header_size_ + size));
  const bool last = at_ + size == payload_.size();
  const auto offset = static_cast<std::uint16_t>((base_ & kOffsetMask) + at_ / 8);
  Store16(out + 6, static_cast<std::uint16_t>((base_ & ~kOffsetMask) | (last ? 0 : kMoreFragments) | offset));
  RefreshIpv4Checksum(out);
  at_ += size;
  return scratch_.first(header_size_ + size);
}

}  // namespace dtunnel
