// Token buckets, as virtual scheduling (the generic cell rate algorithm): one word of state.
#pragma once

#include <atomic>
#include <cstdint>

namespace dtunnel {

// Admits `burst` units at once and `rate` a second afterwards. Any number of threads.
class TokenBucket {
 public:
  TokenBucket(double rate, double burst) : unit_ns_(1e9 / rate), burst_ns_(static_cast<std::uint64_t>(burst * 1e9 / rate)) {}

  bool Take(std::uint64_t now_ns, std::uint64_t units = 1) {
    const auto cost = static_cast<std::uint64_t>(unit_ns_ * static_cast<double>(units));
    std::uint64_t due = due_.load(std::memory_order_relaxed);
    while (true) {
      const std::uint64_t start = due > now_ns ? due : now_ns;
      if (start - now_ns > burst_ns_) return false;
      if (due_.compare_exchange_weak(due, start + cost, std::memory_order_relaxed)) return true;
    }
  }

  // When it would be full again, of CLOCK_MONOTONIC: with the clock that processes share, all there is to hand over.
  std::uint64_t due() const { return due_.load(std::memory_order_relaxed); }
  // Goes on from another bucket's `due`. Nothing that was ever admitted overdraws by more than a second burst.
  void Restore(std::uint64_t due, std::uint64_t now_ns) {
    const std::uint64_t limit = now_ns + 2 * burst_ns_;
    due_.store(due < limit ? due : limit, std::memory_order_relaxed);
  }

 private:
  const double unit_ns_;
  const std::uint64_t burst_ns_;
  std::atomic<std::uint64_t> due_{0};  // when the bucket would be full again
};

}  // namespace dtunnel
