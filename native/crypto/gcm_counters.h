// The counter blocks of AES-GCM (NIST SP 800-38D §7.1) without their nonce.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace dtunnel {

// Enough for the payload of a jumbo frame.
inline constexpr std::size_t kGcmCounters = 640;

struct GcmCounters {
  // Block n of a text has the counter n + 2: the first is the tag's.
  constexpr GcmCounters() {
    for (std::size_t n = 0; n < kGcmCounters; ++n) {
      octets[n * 16 + 14] = static_cast<std::uint8_t>((n + 2) >> 8);
      octets[n * 16 + 15] = static_cast<std::uint8_t>(n + 2);
    }
  }

  alignas(64) std::array<std::uint8_t, kGcmCounters * 16> octets{};
};

inline constexpr GcmCounters kGcmCounterBlocks;

}  // namespace dtunnel
