// Ipv4Fragmenter: cuts an IPv4 packet without DF into fragments (RFC 791 §3.2).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace dtunnel {

// Fragments are built in the caller's scratch buffer, one at a time: a fragment is gone once Next is called again.
class Ipv4Fragmenter {
 public:
  // `packet` is a whole valid IPv4 packet, itself perhaps a fragment; `max` the largest fragment. nullopt when not even
  // 8 octets fit beside the header, or when `scratch` is smaller than `max`.
  static std::optional<Ipv4Fragmenter> Create(Bytes packet, std::size_t max, MutableBytes scratch);

  std::size_t count() const { return (payload_.size() + step_ - 1) / step_; }
  MutableBytes Next();

 private:
  Ipv4Fragmenter() = default;

  Bytes payload_;
  MutableBytes scratch_;
  std::array<std::uint8_t, 60> first_header_;
  std::array<std::uint8_t, 60> other_header_;  // with the options that are copied into every fragment only
  std::size_t header_size_ = 0;
  std::size_t step_ = 0;
  std::size_t at_ = 0;
  std::uint16_t base_ = 0;  // flags and offset of the packet itself
};

}  // namespace dtunnel
