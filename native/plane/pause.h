// Pause: whether a thread of the plane was woken after a pause.
#pragma once

#include <cstdint>

#include "os/clock.h"

namespace dtunnel {

// A packet that comes alone after a pause belongs to no burst: a second look at the sockets and a yield cost more than
// they would find (native/README.md has figures). Used by one thread.
class Pause {
 public:
  // Called at each wake-up: whether the one before was longer ago than a burst lasts.
  bool Woken() {
    const std::uint64_t now = NowNs();
    const bool paused = now - woken_ns_ > kPauseNs;
    woken_ns_ = now;
    return paused;
  }

 private:
  static constexpr std::uint64_t kPauseNs = 100'000;

  std::uint64_t woken_ns_ = 0;
};

}  // namespace dtunnel
