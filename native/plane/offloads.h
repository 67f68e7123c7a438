// Offloads: which kernel offloads are in use, with a switch each that any thread may throw at run time.
#pragma once

#include <atomic>

#include "plane/config.h"

namespace dtunnel {

class Offloads {
 public:
  explicit Offloads(OffloadSet enabled) : enabled_(enabled) {}

  bool Has(Offload offload) const { return (enabled_.load(std::memory_order_relaxed) & BitOf(offload)) != 0; }
  OffloadSet all() const { return enabled_.load(std::memory_order_relaxed); }
  // True for the one caller that switched it off.
  bool Disable(Offload offload) {
    return (enabled_.fetch_and(~BitOf(offload), std::memory_order_relaxed) & BitOf(offload)) != 0;
  }

 private:
  std::atomic<OffloadSet> enabled_;
};

}  // namespace dtunnel
