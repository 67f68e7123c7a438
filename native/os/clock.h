// The monotonic clock of the process (the same as Node's process.hrtime, so that instants are comparable).
#pragma once

#include <time.h>

#include <cstdint>

namespace dtunnel {

inline std::uint64_t NowNs() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}

}  // namespace dtunnel
