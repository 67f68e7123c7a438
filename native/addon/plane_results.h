// Makes the JavaScript values that PlaneWrap yields. src/plane/binding.ts declares the same forms.
#pragma once

#include <napi.h>

#include <cstdint>
#include <span>
#include <vector>

#include "plane/plane.h"

namespace dtunnel {

// Throws a RangeError for everything but kDone.
void ThrowUnlessDone(Napi::Env env, Plane::Outcome outcome);

Napi::Value FromListening(Napi::Env env, const Plane& plane);
Napi::Value FromFeatures(Napi::Env env, const Plane& plane);
Napi::Value FromStats(Napi::Env env, const Plane& plane);
Napi::Value FromSlots(Napi::Env env, const std::vector<Slot>& slots);

// Words of a `SessionRow` in src/plane/stats.ts.
constexpr std::size_t kSessionWords = 7;
void WriteSessionWords(const SessionTotals& totals, std::span<std::uint64_t> words);

// Events as flat rows: thousands a second come, and an object with a name for everything takes longer to make than to
// read. The order of `EVENT_NUMBERS` in src/plane/events.ts.
class EventRows {
 public:
  void Add(const EventHead& head, Bytes body);
  Napi::Value ToObject(Napi::Env env) const;

 private:
  std::vector<double> numbers_;
  std::vector<std::uint8_t> octets_;  // of each event: remote address, local address, body
};

}  // namespace dtunnel
