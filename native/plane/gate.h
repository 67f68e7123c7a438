// Gate: where the main thread holds all data threads between two batches, and lets them go on.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace dtunnel {

// A data thread looks at closed() at its batch boundaries, where everything it read has been sent, written or counted,
// and waits if it must. The lock is taken there only, so that what a thread wrote before is seen by whoever closed it.
class Gate {
 public:
  explicit Gate(std::size_t threads) : threads_(threads) {}

  // Main thread: closes the gate, calls `wake` so that threads that block come to it, and returns once each waits at it
  // or has ended. False when that takes longer than `limit`: the gate is open again.
  template <typename Wake>
  [[nodiscard]] bool Close(std::chrono::milliseconds limit, Wake&& wake) {
    Shut();
    wake();
    std::unique_lock<std::mutex> hold(mutex_);
    if (changed_.wait_for(hold, limit, [this] { return held_ == threads_; })) return true;
    closed_.store(false, std::memory_order_relaxed);
    changed_.notify_all();
    return false;
  }
  // Main thread, before the threads start: they come to a closed gate first of all.
  void Shut() { closed_.store(true, std::memory_order_relaxed); }
  // Main thread.
  void Open() {
    const std::lock_guard<std::mutex> hold(mutex_);
    closed_.store(false, std::memory_order_relaxed);
    changed_.notify_all();
  }

  // Data thread.
  bool closed() const { return closed_.load(std::memory_order_relaxed); }
  void Wait() {
    std::unique_lock<std::mutex> hold(mutex_);
    ++held_;
    changed_.notify_all();
    changed_.wait(hold, [this] { return !closed(); });
    --held_;
  }
  // Data thread: it ends and counts as held from now on.
  void Leave() {
    const std::lock_guard<std::mutex> hold(mutex_);
    ++held_;
    changed_.notify_all();
  }

 private:
  const std::size_t threads_;
  std::atomic<bool> closed_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t held_ = 0;
};

}  // namespace dtunnel
