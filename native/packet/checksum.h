// The Internet checksum (RFC 1071), computed in the machine's own byte order: sums are opaque until folded, and what
// FoldChecksum yields is stored with memcpy.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace dtunnel {

// Adds the 16-bit words of `data` to the unfolded sum. A range that is not the last of its message has even length.
std::uint64_t AddChecksum(const std::uint8_t* data, std::size_t size, std::uint64_t sum);

// A 16-bit value in host order, as its octets in network order would add to a sum.
inline std::uint64_t ChecksumOf16(std::uint16_t value) {
  std::uint8_t octets[2];
  Store16(octets, value);
  std::uint16_t word = 0;
  std::memcpy(&word, octets, 2);
  return word;
}

// One's complement sum in 16 bits, not inverted.
inline std::uint16_t FoldChecksum(std::uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

// Sum of the pseudo header of `ip` (RFC 793 §3.1, RFC 8200 §8.1) for `length` octets of `protocol`.
std::uint64_t PseudoHeaderSum(const std::uint8_t* ip, std::uint8_t protocol, std::uint32_t length);

// Stores the inverted, folded sum at `field`.
inline void StoreChecksum(std::uint64_t sum, std::uint8_t* field) {
  const auto folded = static_cast<std::uint16_t>(~FoldChecksum(sum));
  std::memcpy(field, &folded, 2);
}

// Adjusts the checksum at `field` for a 16-bit word of its message that changed (RFC 1624 §3).
inline void AdjustChecksum(std::uint8_t* field, std::uint16_t before, std::uint16_t after) {
  std::uint16_t stored = 0;
  std::memcpy(&stored, field, 2);
  const std::uint64_t sum = static_cast<std::uint16_t>(~stored) +
                            static_cast<std::uint64_t>(static_cast<std::uint16_t>(~ChecksumOf16(before))) +
                            ChecksumOf16(after);
  StoreChecksum(sum, field);
}

// Rewrites the header checksum of the IPv4 packet at `ip`.
void RefreshIpv4Checksum(std::uint8_t* ip);

}  // namespace dtunnel
