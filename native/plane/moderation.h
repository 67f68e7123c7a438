// Moderation: lets the packets of a fast stream collect, as network cards moderate their interrupts.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dtunnel {

// A thread that keeps up with its sender finds a few packets at each look, and pays for a message, the message's way
// through the kernel and a look at the other end for every few. With 25 µs between two looks a stream of small packets
// gets about a fifth more through two cores (native/README.md has figures). Only a stream that brings a packet every
// 10 µs is held, so none of its packets waits longer than for the next two or three. Used by one thread.
class Moderation {
 public:
  static constexpr std::uint64_t kHoldNs = 25'000;

  // Called after each look that begins a turn of the thread, with the packets it found that were no super packets:
  // whether to wait before the next, provided that nothing was left behind.
  bool Holds(std::uint64_t now_ns, std::size_t packets) {
    packets_ += packets;
    const std::uint64_t elapsed = now_ns - since_ns_;
    if (elapsed >= kWindowNs) {
      fast_ = packets_ * kFastNs >= elapsed;
      since_ns_ = now_ns;
      packets_ = 0;
    }
    return fast_ && packets != 0;
  }

 private:
  static constexpr std::uint64_t kWindowNs = 1'000'000;
  static constexpr std::uint64_t kFastNs = 10'000;  // between two packets

  std::uint64_t since_ns_ = 0;
  std::size_t packets_ = 0;  // since then
  bool fast_ = false;        // whether the window before was
};

}  // namespace dtunnel
