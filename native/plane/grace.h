// GracePeriods: when memory that data threads may still be reading can be freed.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>


namespace dtunnel {

// Data threads take pointers to shared objects without locks and keep them only until their next batch boundary. The
// main thread unpublishes an object first and hands it to Retire; Reclaim deletes it once every thread has passed a
// boundary since. A thread that blocks is outside: it counts as passed until it comes back.
class GracePeriods {
 public:
  explicit GracePeriods(std::size_t threads) {
    for (std::size_t i = 0; i < threads; ++i) readers_.push_back(std::make_unique<Reader>());
  }

  // Data thread `i`: a batch boundary. Nothing taken before is used after. True: the main thread waits for this and
  // should be woken.
  [[nodiscard]] bool Pass(std::size_t i) {
    readers_[i]->seen.store(epoch_.load(std::memory_order_seq_cst), std::memory_order_seq_cst);
    return awaited_.load(std::memory_order_relaxed) && awaited_.exchange(false, std::memory_order_relaxed);
  }
  // Data thread `i`: about to block, holding nothing. Pass brings it back.
  void Leave(std::size_t i) { readers_[i]->seen.store(kOutside, std::memory_order_seq_cst); }

  // Main thread: `object` is unpublished; it is destroyed once no thread can be using it.
  template <typename T>
  void Retire(std::unique_ptr<T> object) {
    if (object == nullptr) return;
    const std::uint64_t epoch = epoch_.fetch_add(1, std::memory_order_seq_cst) + 1;
    retired_.push_back(Retired{epoch, std::shared_ptr<const void>(std::move(object))});
  }

  // Main thread: destroys what can be; cheap when there is nothing.
  void Reclaim() {
    if (retired_.empty()) return;
    std::uint64_t oldest = kOutside;
    for (const auto& reader : readers_) {
      const std::uint64_t seen = reader->seen.load(std::memory_order_seq_cst);
      if (seen < oldest) oldest = seen;
    }
    std::size_t freed = 0;
    while (freed < retired_.size() && retired_[freed].epoch <= oldest) ++freed;
    retired_.erase(retired_.begin(), retired_.begin() + static_cast<std::ptrdiff_t>(freed));
    if (!retired_.empty()) awaited_.store(true, std::memory_order_relaxed);
  }

 private:
  static constexpr std::uint64_t kOutside = ~std::uint64_t{0};

  struct alignas(64) Reader {
    std::atomic<std::uint64_t> seen{kOutside};
  };
  struct Retired {
    std::uint64_t epoch;
    std::shared_ptr<const void> object;
  };

  std::atomic<std::uint64_t> epoch_{1};
  std::atomic<bool> awaited_{false};
  std::vector<std::unique_ptr<Reader>> readers_;
  std::vector<Retired> retired_;
};

}  // namespace dtunnel
