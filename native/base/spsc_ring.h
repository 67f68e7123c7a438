// SpscRing: a bounded queue of variable-size messages from one producer thread to one consumer thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>

#include "base/bytes.h"
#include "base/check.h"

namespace dtunnel {

// Messages are stored as a 4-octet length followed by their octets, each aligned to 8, and never wrap: a message that
// would is preceded by a skip mark and starts at the front. Push refuses when full; nothing blocks.
class SpscRing {
 public:
  // `capacity` is a power of two, in octets.
  explicit SpscRing(std::uint32_t capacity)
      : mask_(capacity - 1), data_(std::make_unique_for_overwrite<std::uint8_t[]>(capacity)) {
    Check(capacity >= 64 && (capacity & mask_) == 0, "ring capacity is a power of two");
  }

  // Producer: appends `head` and `tail` as one message. False when there is no room.
  bool Push(Bytes head, Bytes tail) {
    const std::uint64_t size = head.size() + tail.size();
    const std::uint64_t need = Footprint(size);
    const std::uint64_t capacity = mask_ + 1;
    if (need > capacity / 2) return false;
    std::uint64_t at = produced_.load(std::memory_order_relaxed);
    const std::uint64_t to_end = capacity - (at & mask_);
    const std::uint64_t skip = need > to_end ? to_end : 0;
    if (at + skip + need - consumed_.load(std::memory_order_acquire) > capacity) return false;
    if (skip != 0) {
      const std::uint32_t mark = kSkip;
      std::memcpy(&data_[at & mask_], &mark, 4);
      at += skip;
    }
    std::uint8_t* out = &data_[at & mask_];
    const auto length = static_cast<std::uint32_t>(size);
    std::memcpy(out, &length, 4);
    if (!head.empty()) std::memcpy(out + kPrefix, head.data(), head.size());
    if (!tail.empty()) std::memcpy(out + kPrefix + head.size(), tail.data(), tail.size());
    produced_.store(at + need, std::memory_order_release);
    return true;
  }

  // Consumer: calls `take` with the oldest message, which stays valid during the call, and removes it. False when empty.
  template <typename Take>
  bool Pop(Take&& take) {
    std::uint64_t at = consumed_.load(std::memory_order_relaxed);
    if (at == produced_.load(std::memory_order_acquire)) return false;
    std::uint32_t length = 0;
    std::memcpy(&length, &data_[at & mask_], 4);
    if (length == kSkip) {
      at += mask_ + 1 - (at & mask_);
      std::memcpy(&length, &data_[at & mask_], 4);
    }
    take(Bytes(&data_[(at & mask_) + kPrefix], length));
    consumed_.store(at + Footprint(length), std::memory_order_release);
    return true;
  }

 private:
  static constexpr std::uint32_t kSkip = 0xffffffff;
  static constexpr std::uint64_t kPrefix = 8;
  static std::uint64_t Footprint(std::uint64_t size) { return (kPrefix + size + 7) & ~std::uint64_t{7}; }

  const std::uint64_t mask_;
  const std::unique_ptr<std::uint8_t[]> data_;
  alignas(64) std::atomic<std::uint64_t> produced_{0};
  alignas(64) std::atomic<std::uint64_t> consumed_{0};
};

}  // namespace dtunnel
