#include "addon/plane_wrap.h"

#include "addon/convert.h"
#include "addon/plane_arguments.h"
#include "addon/plane_results.h"
#include "base/secret_memory.h"

namespace dtunnel {
namespace {

// More than a plane with every slot in use writes would not fit in memory either.
constexpr std::size_t kMaxStateSize = std::size_t{1} << 30;

}  // namespace

void PlaneWrap::Export(Napi::Env env, Napi::Object exports) {
  exports["Plane"] = DefineClass(env, "Plane",
                                 {
                                     InstanceMethod<&PlaneWrap::DeviceName>("deviceName"),
                                     InstanceMethod<&PlaneWrap::Listening>("listening"),
                                     InstanceMethod<&PlaneWrap::Features>("features"),
                                     InstanceMethod<&PlaneWrap::Install>("install"),
                                     InstanceMethod<&PlaneWrap::Activate>("activate"),
                                     InstanceMethod<&PlaneWrap::Move>("move"),
                                     InstanceMethod<&PlaneWrap::SetPathMtu>("setPathMtu"),
                                     InstanceMethod<&PlaneWrap::Retire>("retire"),
                                     InstanceMethod<&PlaneWrap::SetRoutes>("setRoutes"),
                                     InstanceMethod<&PlaneWrap::SetPeer>("setPeer"),
                                     InstanceMethod<&PlaneWrap::RemovePeer>("removePeer"),
                                     InstanceMethod<&PlaneWrap::SendDatagram>("sendDatagram"),
                                     InstanceMethod<&PlaneWrap::SealAndSend>("sealAndSend"),
                                     InstanceMethod<&PlaneWrap::Inject>("inject"),
                                     InstanceMethod<&PlaneWrap::Rebind>("rebind"),
                                     InstanceMethod<&PlaneWrap::DropOldSockets>("dropOldSockets"),
                                     InstanceMethod<&PlaneWrap::Overlapping>("overlapping"),
                                     InstanceMethod<&PlaneWrap::Descriptors>("descriptors"),
                                     InstanceMethod<&PlaneWrap::Pause>("pause"),
                                     InstanceMethod<&PlaneWrap::Freeze>("freeze"),
                                     InstanceMethod<&PlaneWrap::Thaw>("thaw"),
                                     InstanceMethod<&PlaneWrap::SetMark>("setMark"),
                                     InstanceMethod<&PlaneWrap::TakeEvents>("takeEvents"),
                                     InstanceMethod<&PlaneWrap::SessionOf>("session"),
                                     InstanceMethod<&PlaneWrap::ChangedSessions>("changedSessions"),
                                     InstanceMethod<&PlaneWrap::Stats>("stats"),
                                     InstanceMethod<&PlaneWrap::Close>("close"),
                                 });
}

// new Plane(options, onWake, descriptors?, state?): opens, or goes on with, everything or throws.
PlaneWrap::PlaneWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PlaneWrap>(info), env_(info.Env()) {
  const auto config = ToPlaneConfig(info[0]);
  if (!config) return;
  if (!info[1].IsFunction()) {
    ThrowTypeError(env_, "onWake must be a function");
    return;
  }
  std::optional<Bytes> state;
  if (!info[3].IsUndefined()) {
    state = ToBytes(info[3], kMaxStateSize, "state");
    if (!state) return;
  }
  std::optional<std::vector<Fd>> descriptors;
  if (state) {
    descriptors = ToDescriptors(info[2]);
    if (!descriptors) return;
  }
  wake_ = Napi::ThreadSafeFunction::New(env_, info[1].As<Napi::Function>(), "dtunnel.plane", 0, 1);
  const Napi::ThreadSafeFunction wake = wake_;
  // NonBlockingCall fails only while the function is being closed, when nobody listens any more.
  const auto on_wake = [wake] { wake.NonBlockingCall(); };
  Result<std::unique_ptr<Plane>> plane =
      state ? Plane::Adopt(*config, std::move(*descriptors), *state, on_wake) : Plane::Open(*config, on_wake);
  if (!plane) {
    wake_.Release();
    ThrowSystemError(env_, plane.error());
    return;
  }
  plane_ = std::move(plane.value());
  // Hooks run last in, first out: the threads are gone before Node closes the function they call.
  napi_add_env_cleanup_hook(env_, &PlaneWrap::OnEnvironmentEnd, this);
}

PlaneWrap::~PlaneWrap() { Shut(); }

void PlaneWrap::OnEnvironmentEnd(void* self) { static_cast<PlaneWrap*>(self)->Shut(); }

void PlaneWrap::Shut() {
  if (plane_ == nullptr) return;
  plane_.reset();
  wake_.Release();
  napi_remove_env_cleanup_hook(env_, &PlaneWrap::OnEnvironmentEnd, this);
}

Plane* PlaneWrap::Open(Napi::Env env) {
  if (plane_ != nullptr && plane_->frozen()) {
    Napi::Error::New(env, "the plane is frozen").ThrowAsJavaScriptException();
    return nullptr;
  }
  return OpenOrFrozen(env);
}

Plane* PlaneWrap::OpenOrFrozen(Napi::Env env) {
  if (plane_ == nullptr) Napi::Error::New(env, "the plane is closed").ThrowAsJavaScriptException();
  return plane_.get();
}

Napi::Value PlaneWrap::DeviceName(const Napi::CallbackInfo& info) {
  const Plane* plane = OpenOrFrozen(info.Env());
  if (plane == nullptr) return info.Env().Undefined();
  return Napi::String::New(info.Env(), plane->device_name());
}

Napi::Value PlaneWrap::Listening(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Plane* plane = OpenOrFrozen(env);
  if (plane == nullptr) return env.Undefined();
  return FromListening(env, *plane);
}

Napi::Value PlaneWrap::Features(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Plane* plane = OpenOrFrozen(env);
  if (plane == nullptr) return env.Undefined();
  return FromFeatures(env, *plane);
}

Napi::Value PlaneWrap::Install(const Napi::CallbackInfo& info) {
  Plane* plane = Open(info.Env());
  if (plane == nullptr) return info.Env().Undefined();
  const auto config = ToSessionConfig(info[0]);
  if (config) ThrowUnlessDone(info.Env(), plane->Install(*config));
  return info.Env().Undefined();
}

// activate(peer, slot | undefined)
Napi::Value PlaneWrap::Activate(const Napi::CallbackInfo& info) {
  const Napi::Value none = info.Env().Undefined();
  Plane* plane = Open(info.Env());
  if (plane == nullptr) return none;
  const auto peer = ToUnsigned(info[0], kMaxPeers - 1, "peer");
  if (!peer) return none;
  std::optional<Slot> slot;
  if (!info[1].IsUndefined()) {
    const auto number = ToUnsigned(info[1], kMaxSlots - 1, "slot");
    if (!number) return none;
    slot = static_cast<Slot>(*number);
  }
  ThrowUnlessDone(info.Env(), plane->Activate(static_cast<PeerId>(*peer), slot));
  return none;
}

// move(slot, remote, port, local | undefined)
Napi::Value PlaneWrap::Move(const Napi::CallbackInfo& info) {
  const Napi::Value none = info.Env().Undefined();
  Plane* plane = Open(info.Env());
  if (plane == nullptr) return none;
  const auto slot = ToUnsigned(info[0], kMaxSlots - 1, "slot");
  if (!slot) return none;
  const auto path = ToPath(info, 1);
  if (!path) return none;
  ThrowUnlessDone(info.Env(), plane->Move(static_cast<Slot>(*slot), *path));
  return none;
}

// setPathMtu(slot, octets)
Napi::Value PlaneWrap::SetPathMtu(const Napi::CallbackInfo& info) {
  const Napi::Value none = info.Env().Undefined();
  Plane* plane = Open(info.Env());
  if (plane == nullptr) return none;
  const auto slot = ToUnsigned(info[0], kMaxSlots - 1, "slot");
  if (!slot) return none;
  const auto mtu = ToUnsigned(info[1], 65535, "pathMtu");
  if (!mtu) return none;
  ThrowUnlessDone(info.Env(), plane->SetPathMtu(static_cast<Slot>(*slot), static_cast<std::uint32_t>(*mtu)));
  return none;
}

// retire(slot)
Napi::Value PlaneWrap::Retire(const Napi::CallbackInfo& info) {
  const Napi::Value none = info.Env().Undefined();
  Plane* plane = Open(info.Env());
  if (plane == nullptr) return none;
  const auto slot = ToUnsigned(info[0], kMaxSlots - 1, "slot");
  if (!slot) return none;
  ThrowUnlessDone(info.Env(), plane->Retire(static_cast<Slot>(*slot)));
  return none;
}

Napi::Value PlaneWrap::SetRoutes(const Napi::CallbackInfo& info) {
  Plane* plane = Open(info.Env());
  if (plane == nullptr) return info.Env().Undefined();
  const auto routes = ToRoutes(info[0]);
  if (routes) plane->SetRoutes(*routes);
  return info.Env().Undefined();
}

// setPeer(peer, options)
Napi::Value PlaneWrap::SetPeer(const Napi::CallbackInfo& info) {
  const Napi::Value none = info.Env().Undefined();
  Plane* plane = Open(info.Env());
  if (plane == nullptr) return none;
  const auto peer = ToUnsigned(info[0], kMaxPeers - 1, "peer");
  if (!peer) return none;
  const auto config = ToPeerConfig(info[1]);
  if (config) plane->SetPeer(static_cast<PeerId>(*peer), *config);
  return none;
}

Napi::Value PlaneWrap::RemovePeer(const Napi::CallbackInfo& info) {
  const Napi::Value none = info.Env().Undefined();
  Plane* plane = Open(info.Env());
  if (plane == nullptr) return none;
  const auto peer = ToUnsigned(info[0], kMaxPeers - 1, "peer");
  if (!peer) return none;
  ThrowUnlessDone(info.Env(), plane->RemovePeer(static_cast<PeerId>(*peer)));
  return none;
}

// sendDatagram(remote, port, local | undefined, octets)
Napi::Value PlaneWrap::SendDatagram(const Napi::CallbackInfo& info) {
  const Napi::Value none = info.Env().Undefined();
  Plane* plane = Open(info.Env());
  if (plane == nullptr) return none;
  const auto path = ToPath(info, 0);
  if (!path) return none;
  const auto datagram = ToBytes(info[3], kMaxDatagramSize, "datagram");
  if (datagram) plane->SendDatagram(*path, *datagram);
  return none;
}

// sealAndSend(slot, contentType, octets, remote | undefined, port, local | undefined): false when it is too large
Napi::Value PlaneWrap::SealAndSend(const Napi::CallbackInfo& info) {
  const Napi::Value none = info.Env().Undefined();
  Plane* plane = Open(info.Env());
  if (plane == nullptr) return none;
  const auto slot = ToUnsigned(info[0], kMaxSlots - 1, "slot");
  if (!slot) return none;
  const auto type = ToUnsigned(info[1], kApplicationData, "contentType");
  if (!type) return none;
  // RFC 6347 §4.1.1: a record fits in a datagram; headers, id and tag need their room.
  const auto fragment = ToBytes(info[2], kMaxDatagramSize - 512, "fragment");
  if (!fragment) return none;
  std::optional<Path> path;
  if (!info[3].IsUndefined()) {
    path = ToPath(info, 3);
    if (!path) return none;
  }
  const Plane::Outcome outcome =
      plane->SealAndSend(static_cast<Slot>(*slot), static_cast<std::uint8_t>(*type), *fragment, path);
  if (outcome == Plane::Outcome::kTooLarge) return Napi::Boolean::New(info.Env(), false);
  ThrowUnlessDone(info.Env(), outcome);
  return Napi::Boolean::New(info.Env(), true);
}

// inject(peer, octets)
Napi::Value PlaneWrap::Inject(const Napi::CallbackInfo& info) {
  const Napi::Value none = info.Env().Undefined();
  Plane* plane = Open(info.Env());
  if (plane == nullptr) return none;
  const auto peer = ToUnsigned(info[0], kMaxPeers - 1, "peer");
  if (!peer) return none;
  const auto packet = ToBytes(info[1], kMaxPacketSize, "packet");
  if (packet) ThrowUnlessDone(info.Env(), plane->Inject(static_cast<PeerId>(*peer), *packet));
  return none;
}

Napi::Value PlaneWrap::Rebind(const Napi::CallbackInfo& info) {
  Plane* plane = Open(info.Env());
  if (plane == nullptr) return info.Env().Undefined();
  const auto listen = ToListenSpecs(info[0]);
  if (!listen) return info.Env().Undefined();
  const Status rebound = plane->Rebind(*listen);
  if (!rebound) ThrowSystemError(info.Env(), rebound.error());
  return info.Env().Undefined();
}

Napi::Value PlaneWrap::DropOldSockets(const Napi::CallbackInfo& info) {
  const bool able = plane_ != nullptr && !plane_->frozen();
  return Napi::Boolean::New(info.Env(), !able || plane_->DropOldSockets());
}

Napi::Value PlaneWrap::Overlapping(const Napi::CallbackInfo& info) {
  const Plane* plane = OpenOrFrozen(info.Env());
  if (plane == nullptr) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), plane->overlapping());
}

Napi::Value PlaneWrap::Descriptors(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Plane* plane = OpenOrFrozen(env);
  if (plane == nullptr) return env.Undefined();
  Napi::Array result = Napi::Array::New(env);
  for (const int fd : plane->descriptors()) result[result.Length()] = Napi::Number::New(env, fd);
  return result;
}

Napi::Value PlaneWrap::Pause(const Napi::CallbackInfo& info) {
  Plane* plane = Open(info.Env());
  if (plane == nullptr) return info.Env().Undefined();
  const Status paused = plane->Pause();
  if (!paused) ThrowSystemError(info.Env(), paused.error());
  return info.Env().Undefined();
}

// freeze(): the document, written where JavaScript has it, so that no copy of the keys stays behind.
Napi::Value PlaneWrap::Freeze(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Plane* plane = Open(env);
  if (plane == nullptr) return env.Undefined();
  if (!plane->paused()) {
    Napi::Error::New(env, "the plane is not paused").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const Handover handover = plane->Freeze();
  const std::size_t size = HandoverSize(handover);
  if (size > kMaxStateSize) {
    ThrowSystemError(env, Error{EMSGSIZE, "handover state"});
    return env.Undefined();
  }
  Napi::Uint8Array state = Napi::Uint8Array::New(env, size);
  if (!WriteHandover(handover, MutableBytes(state.Data(), size))) {
    Wipe(state.Data(), size);
    ThrowSystemError(env, Error{ENOTSUP, "SHA-256"});
    return env.Undefined();
  }
  return state;
}

Napi::Value PlaneWrap::Thaw(const Napi::CallbackInfo& info) {
  Plane* plane = OpenOrFrozen(info.Env());
  if (plane != nullptr) plane->Thaw();
  return info.Env().Undefined();
}

// setMark(mark): undefined takes it away.
Napi::Value PlaneWrap::SetMark(const Napi::CallbackInfo& info) {
  Plane* plane = Open(info.Env());
  if (plane == nullptr) return info.Env().Undefined();
  std::optional<std::uint32_t> mark;
  if (!info[0].IsUndefined()) {
    const auto number = ToUnsigned(info[0], 0xffffffff, "mark");
    if (!number) return info.Env().Undefined();
    mark = static_cast<std::uint32_t>(*number);
  }
  const Status marked = plane->SetMark(mark);
  if (!marked) ThrowSystemError(info.Env(), marked.error());
  return info.Env().Undefined();
}

// takeEvents(limit): rows; none once closed.
Napi::Value PlaneWrap::TakeEvents(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto limit = ToUnsigned(info[0], 1u << 20, "limit");
  if (!limit) return env.Undefined();
  EventRows rows;
  if (plane_ != nullptr) {
    plane_->TakeEvents(static_cast<std::size_t>(*limit),
                       [&](const EventHead& head, Bytes body) { rows.Add(head, body); });
  }
  return rows.ToObject(env);
}

// session(slot, words): writes kSessionWords to `words`; false: no such session. The array is the caller's, since making
// one takes longer than all the rest and ten thousand sessions are looked at all the time.
Napi::Value PlaneWrap::SessionOf(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Plane* plane = OpenOrFrozen(env);
  if (plane == nullptr) return env.Undefined();
  const auto slot = ToUnsigned(info[0], kMaxSlots - 1, "slot");
  if (!slot) return env.Undefined();
  const auto words = ToWords(info[1], kSessionWords, "words");
  if (!words) return env.Undefined();
  const auto totals = plane->SessionOf(static_cast<Slot>(*slot));
  if (totals) WriteSessionWords(*totals, *words);
  return Napi::Boolean::New(env, totals.has_value());
}

// changedSessions(part, parts): slots
Napi::Value PlaneWrap::ChangedSessions(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Plane* plane = Open(env);
  if (plane == nullptr) return env.Undefined();
  const auto parts = ToUnsigned(info[1], kMaxSlots, "parts");
  if (!parts) return env.Undefined();
  if (*parts == 0) {
    ThrowTypeError(env, "parts must not be 0");
    return env.Undefined();
  }
  const auto part = ToUnsigned(info[0], *parts - 1, "part");
  if (!part) return env.Undefined();
  return FromSlots(env, plane->ChangedSessions(static_cast<Slot>(*part), static_cast<Slot>(*parts)));
}

Napi::Value PlaneWrap::Stats(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Plane* plane = OpenOrFrozen(env);
  if (plane == nullptr) return env.Undefined();
  return FromStats(env, *plane);
}

Napi::Value PlaneWrap::Close(const Napi::CallbackInfo& info) {
  Shut();
  return info.Env().Undefined();
}

}  // namespace dtunnel
