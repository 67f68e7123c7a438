// Byte views and big-endian loads and stores. Wire integers are assembled octet by octet; compilers turn that into one
// load and a byte swap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace dtunnel {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

inline std::uint16_t Load16(const std::uint8_t* p) { return static_cast<std::uint16_t>(p[0] << 8 | p[1]); }

inline std::uint32_t Load32(const std::uint8_t* p) {
  return static_cast<std::uint32_t>(p[0]) << 24 | static_cast<std::uint32_t>(p[1]) << 16 |
         static_cast<std::uint32_t>(p[2]) << 8 | p[3];
}

inline std::uint64_t Load64(const std::uint8_t* p) {
  return static_cast<std::uint64_t>(Load32(p)) << 32 | Load32(p + 4);
}

inline void Store16(std::uint8_t* p, std::uint16_t v) {
  p[0] = static_cast<std::uint8_t>(v >> 8);
  p[1] = static_cast<std::uint8_t>(v);
}

inline void Store32(std::uint8_t* p, std::uint32_t v) {
  Store16(p, static_cast<std::uint16_t>(v >> 16));
  Store16(p + 2, static_cast<std::uint16_t>(v));
}

inline void Store64(std::uint8_t* p, std::uint64_t v) {
  Store32(p, static_cast<std::uint32_t>(v >> 32));
  Store32(p + 4, static_cast<std::uint32_t>(v));
}

}  // namespace dtunnel
