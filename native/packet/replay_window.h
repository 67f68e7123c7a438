// ReplayWindow: which record numbers of a session have been accepted (RFC 6347 §4.1.2.6).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace dtunnel {

// A window of the last 8192 numbers of 48 bits. Check is free of effects and runs before opening; Commit runs only after
// the tag verified, and is what decides: of several threads that commit the same number exactly one gets kAccepted.
//
// The bits live in cells of 32 with the number of their block, so that a cell is taken over by one compare-and-swap when
// the window moves on, and no lock is needed although several lanes may receive records of one session.
class ReplayWindow {
 public:
  static constexpr std::uint64_t kWidth = 8192;
  // A number is judged lost once this many newer ones have been seen. That is some 10 ms at full speed: by less do lanes
  // overtake each other while one of them waits for a processor. Half the width is left for a thread that is held up
  // between moving the edge and judging. The window itself still accepts what comes later.
  static constexpr std::uint64_t kLossDistance = kWidth / 2;

  enum class Outcome : std::uint8_t { kNewest, kLate, kDuplicate, kTooOld };

  struct Judgement {
    Outcome outcome;
    std::uint32_t lost;  // numbers that this commit pushed out of kLossDistance without having been seen
  };

  // Whether `sequence` could still be accepted.
  bool Check(std::uint64_t sequence) const {
    const std::uint64_t edge = edge_.load(std::memory_order_relaxed);
    if (sequence >= edge) return true;
    if (edge - sequence > kWidth) return false;
    const std::uint64_t cell = cells_[CellOf(sequence)].load(std::memory_order_relaxed);
    return BlockOf(cell) != BlockId(sequence) || (cell & Bit(sequence)) == 0;
  }

  Judgement Commit(std::uint64_t sequence) {
    std::uint64_t edge = edge_.load(std::memory_order_relaxed);
    // The edge moves first: a slower thread that still holds an older number for the same cell then sees that it is
    // outside the window, or meets the newer block in the cell.
    bool newest = false;
    while (sequence >= edge) {
      if (edge_.compare_exchange_weak(edge, sequence + 1, std::memory_order_relaxed)) {
        newest = true;
        break;
      }
    }
    if (!newest && edge - sequence > kWidth) return {Outcome::kTooOld, 0};
    // Counted before marking: a jump may take over the cell of numbers that are still to be judged.
    const std::uint32_t lost = newest ? CountLost(edge, sequence + 1) : 0;
    if (const Outcome refused = Mark(sequence); refused != Outcome::kNewest) return {refused, lost};
    return {newest ? Outcome::kNewest : Outcome::kLate, lost};
  }

  // Marks a number as accepted before the session starts (RFC 6347 §4.1.2.6: the peer's Finished).
  void Preset(std::uint64_t sequence) {
    Commit(sequence);
    first_ = edge_.load(std::memory_order_relaxed);
  }

  // Everything that decides what is accepted next, as a value. `blocks`: which numbers were accepted, 32 a word, the block
  // of the newest number first.
  struct Saved {
    std::uint64_t edge = 0;
    std::uint64_t first = 0;
    std::array<std::uint32_t, kWidth / 32 + 1> blocks{};

    bool operator==(const Saved&) const = default;
  };

  // Save and Restore run while no other thread uses the window.
  Saved Save() const {
    Saved saved;
    saved.edge = edge();
    saved.first = first_;
    for (std::uint64_t i = 0; saved.edge != 0 && i < saved.blocks.size() && i <= Top(saved.edge) / 32; ++i) {
      const std::uint64_t block = Top(saved.edge) / 32 - i;
      const std::uint64_t cell = cells_[block % kCells].load(std::memory_order_relaxed);
      if (BlockOf(cell) == BlockId(block * 32)) saved.blocks[i] = static_cast<std::uint32_t>(cell);
    }
    return saved;
  }

  // Takes over, into a window that is still empty, what another one saved. False: no window saves this.
  [[nodiscard]] bool Restore(const Saved& saved) {
    if (!Valid(saved)) return false;
    edge_.store(saved.edge, std::memory_order_relaxed);
    first_ = saved.first;
    for (std::uint64_t i = 0; saved.edge != 0 && i < saved.blocks.size() && i <= Top(saved.edge) / 32; ++i) {
      const std::uint64_t block = Top(saved.edge) / 32 - i;
      cells_[block % kCells].store(std::uint64_t{BlockId(block * 32)} << 32 | saved.blocks[i], std::memory_order_relaxed);
    }
    return true;
  }

  // The newest number was accepted, none above it, and none below zero.
  static bool Valid(const Saved& saved) {
    if (saved.edge > std::uint64_t{1} << 48 || saved.first > saved.edge) return false;
    if (saved.edge == 0) return saved == Saved{};
    if (saved.blocks[0] >> (Top(saved.edge) % 32) != 1) return false;
    for (std::uint64_t i = Top(saved.edge) / 32 + 1; i < saved.blocks.size(); ++i) {
      if (saved.blocks[i] != 0) return false;
    }
    return true;
  }

  // One more than the highest accepted number; 0: none yet.
  std::uint64_t edge() const { return edge_.load(std::memory_order_relaxed); }

 private:
  // One block more than the width needs, rounded to a multiple of 32 for a cheap remainder: 288 × 32 = 9216 ≥ 8192 + 32.
  static constexpr std::uint64_t kCells = 288;

  static std::uint64_t Top(std::uint64_t edge) { return edge == 0 ? 0 : edge - 1; }
  static std::size_t CellOf(std::uint64_t sequence) { return (sequence / 32) % kCells; }
  static std::uint32_t BlockId(std::uint64_t sequence) { return static_cast<std::uint32_t>(sequence / 32) + 1; }
  static std::uint32_t BlockOf(std::uint64_t cell) { return static_cast<std::uint32_t>(cell >> 32); }
  static std::uint64_t Bit(std::uint64_t sequence) { return std::uint64_t{1} << (sequence % 32); }

  Outcome Mark(std::uint64_t sequence) {
    std::atomic<std::uint64_t>& cell = cells_[CellOf(sequence)];
    const std::uint32_t block = BlockId(sequence);
    std::uint64_t seen = cell.load(std::memory_order_relaxed);
    while (true) {
      std::uint64_t marked = static_cast<std::uint64_t>(block) << 32 | Bit(sequence);
      if (BlockOf(seen) == block) {
        if ((seen & Bit(sequence)) != 0) return Outcome::kDuplicate;
        marked |= seen;
      } else if (static_cast<std::int32_t>(BlockOf(seen) - block) > 0 && BlockOf(seen) != 0) {
        return Outcome::kTooOld;  // a newer block has taken the cell meanwhile
      }
      if (cell.compare_exchange_weak(seen, marked, std::memory_order_relaxed)) return Outcome::kNewest;
    }
  }

  // How many numbers fell behind kLossDistance unseen when the edge moved from `from` to `to`.
  std::uint32_t CountLost(std::uint64_t from, std::uint64_t to) const {
    const std::uint64_t end = to > kLossDistance ? to - kLossDistance : 0;
    std::uint64_t at = from > kLossDistance ? from - kLossDistance : 0;
    if (at < first_) at = first_;
    std::uint64_t lost = 0;
    for (; at < end && at < from; ++at) {
      const std::uint64_t cell = cells_[CellOf(at)].load(std::memory_order_relaxed);
      lost += BlockOf(cell) != BlockId(at) || (cell & Bit(at)) == 0 ? 1 : 0;
    }
    if (end > at) lost += end - at;  // numbers at and above the old edge: nobody saw them before this jump
    return lost > 0xffffffff ? 0xffffffff : static_cast<std::uint32_t>(lost);
  }

  std::atomic<std::uint64_t> edge_{0};
  std::uint64_t first_ = 0;  // numbers below are not judged; written before the session is published
  std::array<std::atomic<std::uint64_t>, kCells> cells_{};
};

}  // namespace dtunnel
