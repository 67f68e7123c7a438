#include "addon/plane_arguments.h"

#include <unistd.h>

#include <algorithm>
#include <climits>

#include "addon/convert.h"

namespace dtunnel {
namespace {

// A field of an options object; the object itself was checked.
Napi::Value Field(const Napi::Object& object, const char* name) { return object.Get(name); }

std::optional<Napi::Object> ToObject(const Napi::Value& value, const char* what) {
  if (value.IsObject()) return value.As<Napi::Object>();
  ThrowTypeError(value.Env(), std::string(what) + " must be an object");
  return std::nullopt;
}

std::optional<Napi::Array> ToArray(const Napi::Value& value, std::uint32_t max, const char* what) {
  if (value.IsArray() && value.As<Napi::Array>().Length() <= max) return value.As<Napi::Array>();
  ThrowTypeError(value.Env(), std::string(what) + " must be an array of at most " + std::to_string(max));
  return std::nullopt;
}

template <typename T>
std::optional<T> ToInteger(const Napi::Value& value, std::uint64_t max, const char* what) {
  const auto number = ToUnsigned(value, max, what);
  if (!number) return std::nullopt;
  return static_cast<T>(*number);
}

std::optional<Path> ToPathOf(const Napi::Value& remote, const Napi::Value& port, const Napi::Value& local) {
  const auto address = ToAddress(remote, false, "remote address");
  if (!address) return std::nullopt;
  const auto number = ToInteger<std::uint16_t>(port, 65535, "remote port");
  if (!number) return std::nullopt;
  const auto source = ToAddress(local, true, "local address");
  if (!source) return std::nullopt;
  if (source->family != 0 && source->family != address->family) {
    ThrowTypeError(remote.Env(), "local and remote address must be of one family");
    return std::nullopt;
  }
  return Path{Endpoint{*address, *number}, *source};
}

std::optional<RecordKeys> ToRecordKeys(const Napi::Value& value, const char* what) {
  const auto object = ToObject(value, what);
  if (!object) return std::nullopt;
  const auto algorithm = ToInteger<std::uint8_t>(Field(*object, "aead"), kAeadAlgorithms - 1, "aead");
  if (!algorithm) return std::nullopt;
  RecordKeys keys;
  keys.algorithm = static_cast<AeadAlgorithm>(*algorithm);
  const auto key = ToBytes(Field(*object, "key"), 32, "key");
  if (!key) return std::nullopt;
  const auto iv = ToBytes(Field(*object, "iv"), 12, "iv");
  if (!iv) return std::nullopt;
  keys.key = *key;
  keys.iv = *iv;
  if (keys.key.size() != AeadKeySize(keys.algorithm) || keys.iv.size() != ImplicitIvSize(keys.algorithm)) {
    ThrowTypeError(value.Env(), std::string(what) + " have the wrong size for their algorithm");
    return std::nullopt;
  }
  return keys;
}

}  // namespace

std::optional<Path> ToPath(const Napi::CallbackInfo& info, std::size_t first) {
  return ToPathOf(info[first], info[first + 1], info[first + 2]);
}

std::optional<std::vector<ListenSpec>> ToListenSpecs(const Napi::Value& value) {
  const auto array = ToArray(value, 16, "listen");
  if (!array) return std::nullopt;
  std::vector<ListenSpec> specs;
  for (std::uint32_t i = 0; i < array->Length(); ++i) {
    const auto object = ToObject(array->Get(i), "listen");
    if (!object) return std::nullopt;
    const auto address = ToAddress(Field(*object, "address"), true, "listen address");
    if (!address) return std::nullopt;
    const auto port = ToInteger<std::uint16_t>(Field(*object, "port"), 65535, "listen port");
    if (!port) return std::nullopt;
    specs.push_back(ListenSpec{*address, *port});
  }
  if (specs.empty()) {
    ThrowTypeError(value.Env(), "listen must not be empty");
    return std::nullopt;
  }
  return specs;
}

std::optional<std::vector<Fd>> ToDescriptors(const Napi::Value& value) {
  const auto array = ToArray(value, 4096, "descriptors");
  if (!array) return std::nullopt;
  std::vector<int> numbers;
  for (std::uint32_t i = 0; i < array->Length(); ++i) {
    const auto number = ToInteger<int>(array->Get(i), INT_MAX, "descriptor");
    if (!number) return std::nullopt;
    if (*number <= STDERR_FILENO || std::find(numbers.begin(), numbers.end(), *number) != numbers.end()) {
      ThrowTypeError(value.Env(), "descriptors must be distinct and none of the standard ones");
      return std::nullopt;
    }
    numbers.push_back(*number);
  }
  return std::vector<Fd>(numbers.begin(), numbers.end());
}

std::optional<PlaneConfig> ToPlaneConfig(const Napi::Value& value) {
  const auto object = ToObject(value, "options");
  if (!object) return std::nullopt;
  PlaneConfig config;
  auto name = ToText(Field(*object, "name"), 15, "name");
  if (!name) return std::nullopt;
  config.device_name = std::move(*name);
  const auto mtu = ToInteger<std::uint32_t>(Field(*object, "mtu"), 65535, "mtu");
  if (!mtu) return std::nullopt;
  config.device_mtu = *mtu;
  auto listen = ToListenSpecs(Field(*object, "listen"));
  if (!listen) return std::nullopt;
  config.listen = std::move(*listen);
  const auto lanes = ToInteger<std::uint32_t>(Field(*object, "lanes"), kMaxLanes, "lanes");
  if (!lanes) return std::nullopt;
  if (*lanes == 0) {
    ThrowTypeError(value.Env(), "lanes must not be 0");
    return std::nullopt;
  }
  config.lanes = *lanes;
  const auto openssl = ToBool(Field(*object, "openssl"), "openssl");
  if (!openssl) return std::nullopt;
  config.crypto = *openssl ? AeadPreference::kOpenssl : AeadPreference::kAuto;
  const Napi::Value mark = Field(*object, "mark");
  if (!mark.IsUndefined()) {
    const auto number = ToInteger<std::uint32_t>(mark, 0xffffffff, "mark");
    if (!number) return std::nullopt;
    config.mark = *number;
  }
  const auto disabled = ToInteger<OffloadSet>(Field(*object, "disabled"), (1u << kOffloads) - 1, "disabled");
  if (!disabled) return std::nullopt;
  config.disabled = *disabled;
  const auto realtime = ToBool(Field(*object, "realtime"), "realtime");
  if (!realtime) return std::nullopt;
  config.realtime = *realtime;
  return config;
}

std::optional<SessionConfig> ToSessionConfig(const Napi::Value& value) {
  const auto object = ToObject(value, "session");
  if (!object) return std::nullopt;
  SessionConfig config;
  const auto slot = ToInteger<Slot>(Field(*object, "slot"), kMaxSlots - 1, "slot");
  if (!slot) return std::nullopt;
  config.slot = *slot;
  const auto peer = ToInteger<PeerId>(Field(*object, "peer"), kMaxPeers - 1, "peer");
  if (!peer) return std::nullopt;
  config.peer = *peer;
  const auto epoch = ToInteger<std::uint16_t>(Field(*object, "epoch"), 65535, "epoch");
  if (!epoch) return std::nullopt;
  config.epoch = *epoch;
  const auto read = ToRecordKeys(Field(*object, "read"), "read keys");
  if (!read) return std::nullopt;
  config.read = *read;
  const auto write = ToRecordKeys(Field(*object, "write"), "write keys");
  if (!write) return std::nullopt;
  config.write = *write;
  const auto next = ToUnsigned(Field(*object, "nextWrite"), kSequenceMask, "nextWrite");
  if (!next) return std::nullopt;
  config.next_write = *next;
  const auto accepted = ToArray(Field(*object, "accepted"), 1024, "accepted");
  if (!accepted) return std::nullopt;
  for (std::uint32_t i = 0; i < accepted->Length(); ++i) {
    const auto sequence = ToUnsigned(accepted->Get(i), kSequenceMask, "accepted");
    if (!sequence) return std::nullopt;
    config.accepted.push_back(*sequence);
  }
  const auto our_id = ToBytes(Field(*object, "ourConnectionId"), kOurConnectionIdSize, "ourConnectionId");
  if (!our_id) return std::nullopt;
  const bool id_fits = our_id->size() == kOurConnectionIdSize &&
                       (Load32(our_id->data()) >> 8) == config.slot;
  if (!our_id->empty() && !id_fits) {
    ThrowTypeError(value.Env(), "ourConnectionId must be empty, or 8 octets that begin with the slot");
    return std::nullopt;
  }
  config.our_id = *our_id;
  const auto peer_id = ToBytes(Field(*object, "peerConnectionId"), kMaxConnectionIdSize, "peerConnectionId");
  if (!peer_id) return std::nullopt;
  config.peer_id = *peer_id;
  const auto path = ToPathOf(Field(*object, "remoteAddress"), Field(*object, "remotePort"),
                             Field(*object, "localAddress"));
  if (!path) return std::nullopt;
  config.path = *path;
  const auto path_mtu = ToInteger<std::uint32_t>(Field(*object, "pathMtu"), 65535, "pathMtu");
  if (!path_mtu) return std::nullopt;
  config.path_mtu = *path_mtu;
  const auto packs = ToBool(Field(*object, "packs"), "packs");
  if (!packs) return std::nullopt;
  config.packs = *packs;
  return config;
}

std::optional<std::vector<Route>> ToRoutes(const Napi::Value& value) {
  const auto array = ToArray(value, 1u << 22, "routes");
  if (!array) return std::nullopt;
  std::vector<Route> routes;
  routes.reserve(array->Length());
  for (std::uint32_t i = 0; i < array->Length(); ++i) {
    const Napi::HandleScope scope(value.Env());
    const auto object = ToObject(array->Get(i), "route");
    if (!object) return std::nullopt;
    Route route;
    const auto address = ToAddress(Field(*object, "address"), false, "route address");
    if (!address) return std::nullopt;
    route.address = *address;
    const auto length =
        ToInteger<std::uint8_t>(Field(*object, "length"), route.address.family == 4 ? 32 : 128, "route length");
    if (!length) return std::nullopt;
    route.length = *length;
    const Napi::Value outbound = Field(*object, "outbound");
    if (!outbound.IsUndefined()) {
      const auto peer = ToInteger<PeerId>(outbound, kMaxPeers - 1, "route outbound");
      if (!peer) return std::nullopt;
      route.outbound = *peer;
    }
    const auto inbound = ToArray(Field(*object, "inbound"), kMaxPeers, "route inbound");
    if (!inbound) return std::nullopt;
    for (std::uint32_t j = 0; j < inbound->Length(); ++j) {
      const auto peer = ToInteger<PeerId>(inbound->Get(j), kMaxPeers - 1, "route inbound");
      if (!peer) return std::nullopt;
      route.inbound.push_back(*peer);
    }
    routes.push_back(std::move(route));
  }
  return routes;
}

std::optional<PeerConfig> ToPeerConfig(const Napi::Value& value) {
  const auto object = ToObject(value, "peer options");
  if (!object) return std::nullopt;
  PeerConfig config;
  const Napi::Value dscp = Field(*object, "dscp");
  if (!dscp.IsUndefined()) {  // undefined: copy
    const auto fixed = ToInteger<std::uint8_t>(dscp, 63, "dscp");
    if (!fixed) return std::nullopt;
    config.options.dscp = PeerOptions::Dscp::kFixed;
    config.options.fixed_dscp = *fixed;
  }
  const auto ecn = ToBool(Field(*object, "ecn"), "ecn");
  if (!ecn) return std::nullopt;
  config.options.ecn = *ecn;
  const auto clamp = ToBool(Field(*object, "clampMss"), "clampMss");
  if (!clamp) return std::nullopt;
  config.options.clamp_mss = *clamp;
  const Napi::Value rate = Field(*object, "rateLimit");
  if (!rate.IsUndefined()) {
    const auto bits = ToUnsigned(rate, kMaxRateLimit, "rateLimit");
    if (!bits) return std::nullopt;
    if (*bits < kMinRateLimit) {
      ThrowTypeError(value.Env(), "rateLimit must be at least 1000 bits per second");
      return std::nullopt;
    }
    config.rate_limit = static_cast<double>(*bits);
  }
  return config;
}

}  // namespace dtunnel
