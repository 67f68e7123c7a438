// What goes up to the engine: events of the data threads, bounded and coalesced into one wake-up.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/endpoint.h"
#include "base/spsc_ring.h"
#include "plane/config.h"

namespace dtunnel {

enum class EventKind : std::uint8_t { kDatagram, kRecord, kConfirmed, kMoved, kOffloadDisabled, kFailed };

// The fixed part of an event; kDatagram and kRecord are followed by their octets, the last two by a text.
struct EventHead {
  EventKind kind = EventKind::kDatagram;
  std::uint8_t content_type = 0;
  bool newest = false;
  Offload offload = Offload::kTunTso;
  Slot slot = 0;
  Path path;
  std::uint64_t at_ns = 0;
};

// One ring per data thread, all read by the main thread. `wake` is called, from any thread, at most once between two
// calls of Take.
class ControlRing {
 public:
  ControlRing(std::size_t threads, std::function<void()> wake);

  // Data thread `thread`. False when its ring is full: the event is lost and its cause must be counted.
  bool Post(std::size_t thread, const EventHead& head, Bytes body);
  // Any thread, for what is rare and must not be lost. Takes a lock.
  void PostRare(const EventHead& head, std::string text);
  // Any thread: the main thread has something to do.
  void Wake();

  // Main thread: hands over at most `limit` events, then wakes itself again if more are left.
  void Take(std::size_t limit, const std::function<void(const EventHead&, Bytes)>& deliver);

 private:
  // A few hundred full datagrams: as many as the event loop can handle in some tens of milliseconds.
  static constexpr std::uint32_t kCapacity = 1u << 20;

  std::vector<std::unique_ptr<SpscRing>> rings_;
  const std::function<void()> wake_;
  std::atomic<bool> woken_{false};
  std::atomic<bool> has_rare_{false};
  std::mutex mutex_;
  std::vector<std::pair<EventHead, std::string>> rare_;
};

}  // namespace dtunnel
