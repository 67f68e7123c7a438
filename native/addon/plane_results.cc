#include "addon/plane_results.h"

#include <algorithm>
#include <array>

#include "addon/convert.h"
#include "os/clock.h"

namespace dtunnel {
namespace {

double ToMilliseconds(std::uint64_t ns) { return static_cast<double>(ns) / 1e6; }

Napi::Value ToBigints(Napi::Env env, const std::vector<std::uint64_t>& words) {
  Napi::BigUint64Array array = Napi::BigUint64Array::New(env, words.size());
  for (std::size_t i = 0; i < words.size(); ++i) array[i] = words[i];
  return array;
}

Napi::Value ToNumbers(Napi::Env env, const std::vector<std::uint32_t>& words) {
  Napi::Uint32Array array = Napi::Uint32Array::New(env, words.size());
  for (std::size_t i = 0; i < words.size(); ++i) array[i] = words[i];
  return array;
}

// Adds `words` to the end of `out`, or onto what was appended at `base`.
void Accumulate(std::span<const std::uint64_t> words, std::size_t base, std::vector<std::uint64_t>* out) {
  if (out->size() == base) out->resize(base + words.size());
  for (std::size_t i = 0; i < words.size(); ++i) (*out)[base + i] += words[i];
}

template <typename Counters>
std::vector<std::uint64_t> WordsOf(const Counters& counters) {
  std::vector<std::uint64_t> words;
  EachCounter(counters, [&words](const Counter& counter) { words.push_back(counter.value()); });
  return words;
}

// The order of `SessionRow` in src/plane/stats.ts.
std::array<std::uint64_t, kSessionWords> WordsOf(const SessionTotals& t) {
  return {t.sealed_records, t.sealed_bytes,    t.opened_records, t.opened_bytes,
          t.failed_opens,   t.last_receive_ns, t.sealed_large};
}

}  // namespace

void ThrowUnlessDone(Napi::Env env, Plane::Outcome outcome) {
  const char* message = nullptr;
  switch (outcome) {
    case Plane::Outcome::kDone:
      return;
    case Plane::Outcome::kNoPeer:
      message = "no such peer";
      break;
    case Plane::Outcome::kNoSession:
      message = "no such session";
      break;
    case Plane::Outcome::kSlotTaken:
      message = "the slot is taken";
      break;
    case Plane::Outcome::kBadKeys:
      message = "the keys were refused";
      break;
    case Plane::Outcome::kStillInUse:
      message = "the peer still has sessions";
      break;
    case Plane::Outcome::kTooLarge:
      message = "the datagram is too large";
      break;
  }
  Napi::RangeError::New(env, message).ThrowAsJavaScriptException();
}

Napi::Value FromListening(Napi::Env env, const Plane& plane) {
  Napi::Array result = Napi::Array::New(env);
  for (const Endpoint& endpoint : plane.listening()) {
    Napi::Object one = Napi::Object::New(env);
    one["address"] = FromAddress(env, endpoint.address);
    one["port"] = Napi::Number::New(env, endpoint.port);
    result[result.Length()] = one;
  }
  return result;
}

Napi::Value FromFeatures(Napi::Env env, const Plane& plane) {
  Napi::Object result = Napi::Object::New(env);
  result["offloads"] = Napi::Number::New(env, plane.offloads());
  result["aead"] = Napi::String::New(env, plane.aead().backend(AeadAlgorithm::kAes128Gcm).name());
  result["realtime"] = Napi::Boolean::New(env, plane.realtime());
  return result;
}

void EventRows::Add(const EventHead& head, Bytes body) {
  const Bytes remote = head.path.remote.address.bytes();
  const Bytes local = head.path.local.bytes();
  for (const double number : {static_cast<double>(head.kind), static_cast<double>(head.slot),
                              static_cast<double>(head.content_type), head.newest ? 1.0 : 0.0,
                              static_cast<double>(head.offload), static_cast<double>(head.path.remote.port),
                              ToMilliseconds(head.at_ns), static_cast<double>(remote.size()),
                              static_cast<double>(local.size()), static_cast<double>(body.size())}) {
    numbers_.push_back(number);
  }
  for (const Bytes part : {remote, local, body}) octets_.insert(octets_.end(), part.begin(), part.end());
}

Napi::Value EventRows::ToObject(Napi::Env env) const {
  Napi::Float64Array numbers = Napi::Float64Array::New(env, numbers_.size());
  std::ranges::copy(numbers_, numbers.Data());
  Napi::Object events = Napi::Object::New(env);
  events["numbers"] = numbers;
  events["octets"] = FromBytes(env, octets_);
  return events;
}

void WriteSessionWords(const SessionTotals& totals, std::span<std::uint64_t> words) {
  std::ranges::copy(WordsOf(totals), words.begin());
}

Napi::Value FromSlots(Napi::Env env, const std::vector<Slot>& slots) { return ToNumbers(env, slots); }

Napi::Value FromStats(Napi::Env env, const Plane& plane) {
  Napi::Object result = Napi::Object::New(env);
  result["at"] = Napi::Number::New(env, ToMilliseconds(NowNs()));

  std::vector<std::uint64_t> global;
  for (std::size_t i = 0; i < plane.thread_count(); ++i) Accumulate(WordsOf(plane.CountersOf(i)), 0, &global);
  result["global"] = ToBigints(env, global);

  std::vector<std::uint32_t> ids;
  std::vector<std::uint64_t> words;
  for (const auto& peer : plane.peers()) {
    if (peer == nullptr) continue;
    ids.push_back(peer->id);
    const std::size_t base = words.size();
    for (std::size_t i = 0; i < peer->thread_count; ++i) Accumulate(WordsOf(peer->counters[i]), base, &words);
  }
  result["peerIds"] = ToNumbers(env, ids);
  result["peers"] = ToBigints(env, words);

  ids.clear();
  words.clear();
  for (const auto& session : plane.sessions()) {
    ids.push_back(session->slot);
    Accumulate(WordsOf(plane.TotalsOf(*session)), words.size(), &words);
  }
  result["sessionSlots"] = ToNumbers(env, ids);
  result["sessions"] = ToBigints(env, words);

  Napi::Array threads = Napi::Array::New(env);
  for (const auto& thread : plane.threads()) {
    const CpuTime usage = thread->Usage();
    Napi::Object one = Napi::Object::New(env);
    one["name"] = Napi::String::New(env, thread->name());
    one["userSeconds"] = Napi::Number::New(env, usage.user_seconds);
    one["systemSeconds"] = Napi::Number::New(env, usage.system_seconds);
    threads[threads.Length()] = one;
  }
  result["threads"] = threads;
  result["sessionOctets"] = Napi::Number::New(env, static_cast<double>(plane.session_octets()));
  result["bufferOctets"] = Napi::Number::New(env, static_cast<double>(plane.buffer_octets()));
  return result;
}

}  // namespace dtunnel
