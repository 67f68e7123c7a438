#include "plane/control_ring.h"

#include <cstring>
#include <type_traits>
#include <utility>

namespace dtunnel {

static_assert(std::is_trivially_copyable_v<EventHead>);

ControlRing::ControlRing(std::size_t threads, std::function<void()> wake) : wake_(std::move(wake)) {
  for (std::size_t i = 0; i < threads; ++i) rings_.push_back(std::make_unique<SpscRing>(kCapacity));
}

bool ControlRing::Post(std::size_t thread, const EventHead& head, Bytes body) {
  const Bytes head_octets(reinterpret_cast<const std::uint8_t*>(&head), sizeof head);
  if (!rings_[thread]->Push(head_octets, body)) return false;
  Wake();
  return true;
}

void ControlRing::PostRare(const EventHead& head, std::string text) {
  {
    const std::lock_guard<std::mutex> hold(mutex_);
    rare_.emplace_back(head, std::move(text));
    has_rare_.store(true, std::memory_order_release);
  }
  Wake();
}

void ControlRing::Wake() {
  if (!woken_.exchange(true, std::memory_order_acq_rel)) wake_();
}

void ControlRing::Take(std::size_t limit, const std::function<void(const EventHead&, Bytes)>& deliver) {
  // Cleared first: whatever is posted from here on wakes again.
  woken_.store(false, std::memory_order_seq_cst);
  if (has_rare_.load(std::memory_order_acquire)) {
    std::vector<std::pair<EventHead, std::string>> rare;
    {
      const std::lock_guard<std::mutex> hold(mutex_);
      rare.swap(rare_);
      has_rare_.store(false, std::memory_order_release);
    }
    for (const auto& [head, text] : rare) {
      deliver(head, Bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
    }
  }
  std::size_t taken = 0;
  bool more = true;
  while (more && taken < limit) {
    more = false;
    for (const auto& ring : rings_) {  // one from each in turn, so that no thread starves another
      more |= ring->Pop([&](Bytes message) {
        EventHead head;
        std::memcpy(&head, message.data(), sizeof head);
        deliver(head, message.subspan(sizeof head));
        ++taken;
      });
    }
  }
  if (more) Wake();
}

}  // namespace dtunnel
