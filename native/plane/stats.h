// Counters of the data plane. Every word has one writer, a thread of the plane or the main thread, and is read by the
// main thread at scrape time: relaxed loads and stores suffice and cost nothing.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace dtunnel {

class Counter {
 public:
  void Add(std::uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  // For words with several writers; an atomic addition.
  void AddShared(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  void Set(std::uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// In the order of DropReason in src/plane/stats.ts.
enum class Drop : std::uint8_t {
  kReplay,
  kBadMac,
  kNotAllowed,
  kNoRoute,
  kTooBig,
  kMalformed,
  kQueueFull,
  kRateLimited,
  kPeerDown,
  kNoKey,
  kSendError,
  kLoop,
};
inline constexpr std::size_t kDropReasons = 12;

// In the order of UnattributedReason in src/plane/stats.ts.
enum class Unattributed : std::uint8_t { kUnknownSession, kShort, kBadVersion, kNotDtls, kFlood };
inline constexpr std::size_t kUnattributedReasons = 5;

class DropCounters {
 public:
  void Add(Drop reason, std::uint64_t n = 1) { words_[static_cast<std::size_t>(reason)].Add(n); }
  Counter& operator[](std::size_t i) { return words_[i]; }
  const Counter& operator[](std::size_t i) const { return words_[i]; }

 private:
  std::array<Counter, kDropReasons> words_;
};

// What one thread counts for one peer.
struct alignas(64) PeerCounters {
  Counter receive_packets;
  Counter receive_bytes;
  Counter transmit_packets;
  Counter transmit_bytes;
  Counter gaps;
  Counter reordered;
  Counter duplicates;
  DropCounters drops_in;
  DropCounters drops_out;
};

// What one thread counts for the plane as a whole.
struct alignas(64) ThreadCounters {
  Counter udp_receive_datagrams;
  Counter udp_receive_bytes;
  Counter udp_receive_calls;
  Counter udp_receive_overflows;
  Counter udp_transmit_datagrams;
  Counter udp_transmit_bytes;
  Counter udp_transmit_calls;
  Counter extra_records;
  Counter handed_up;
  Counter control;
  std::array<Counter, kUnattributedReasons> unattributed;
  DropCounters drops_in;
  DropCounters drops_out;
  Counter tun_read_packets;
  Counter tun_read_calls;
  Counter tun_write_packets;
  Counter tun_write_calls;
  Counter too_big_v4;
  Counter too_big_v6;
  Counter mss_clamped_v4;
  Counter mss_clamped_v6;
};

// The words of a counter block in their one order, which `src/plane/stats.ts` and the handover document share.
inline constexpr std::size_t kThreadCounterWords = 18 + kUnattributedReasons + 2 * kDropReasons;
inline constexpr std::size_t kPeerCounterWords = 7 + 2 * kDropReasons;

// Calls `visit` with every counter of `c`, which may be const.
template <typename Counters, typename Visit>
void EachCounter(Counters& c, Visit&& visit) {
  if constexpr (std::is_same_v<std::remove_const_t<Counters>, ThreadCounters>) {
    for (auto* counter :
         {&c.udp_receive_datagrams, &c.udp_receive_bytes, &c.udp_receive_calls, &c.udp_receive_overflows,
          &c.udp_transmit_datagrams, &c.udp_transmit_bytes, &c.udp_transmit_calls, &c.extra_records, &c.handed_up,
          &c.control, &c.tun_read_packets, &c.tun_read_calls, &c.tun_write_packets, &c.tun_write_calls, &c.too_big_v4,
          &c.too_big_v6, &c.mss_clamped_v4, &c.mss_clamped_v6}) {
      visit(*counter);
    }
    for (auto& counter : c.unattributed) visit(counter);
  } else {
    static_assert(std::is_same_v<std::remove_const_t<Counters>, PeerCounters>);
    for (auto* counter : {&c.receive_packets, &c.receive_bytes, &c.transmit_packets, &c.transmit_bytes, &c.gaps,
                          &c.reordered, &c.duplicates}) {
      visit(*counter);
    }
  }
  for (std::size_t i = 0; i < kDropReasons; ++i) visit(c.drops_in[i]);
  for (std::size_t i = 0; i < kDropReasons; ++i) visit(c.drops_out[i]);
}

}  // namespace dtunnel
