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

// Less than a second. How exactly it is kept depends on the thread's timer slack (os/thread.h).
inline void SleepNs(std::uint64_t duration_ns) {
  const timespec t{0, static_cast<long>(duration_ns)};
  ::nanosleep(&t, nullptr);
}

}  // namespace dtunnel
