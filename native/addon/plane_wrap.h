// PlaneWrap: a Plane as a JavaScript object. src/plane/binding.ts declares the same surface.
#pragma once

#include <napi.h>

#include <memory>

#include "plane/plane.h"

namespace dtunnel {

class PlaneWrap : public Napi::ObjectWrap<PlaneWrap> {
 public:
  static void Export(Napi::Env env, Napi::Object exports);
  explicit PlaneWrap(const Napi::CallbackInfo& info);
  ~PlaneWrap() override;

 private:
  Napi::Value DeviceName(const Napi::CallbackInfo& info);
  Napi::Value Listening(const Napi::CallbackInfo& info);
  Napi::Value Features(const Napi::CallbackInfo& info);
  Napi::Value Install(const Napi::CallbackInfo& info);
  Napi::Value Activate(const Napi::CallbackInfo& info);
  Napi::Value Move(const Napi::CallbackInfo& info);
  Napi::Value SetPathMtu(const Napi::CallbackInfo& info);
  Napi::Value Retire(const Napi::CallbackInfo& info);
  Napi::Value SetRoutes(const Napi::CallbackInfo& info);
  Napi::Value SetPeer(const Napi::CallbackInfo& info);
  Napi::Value RemovePeer(const Napi::CallbackInfo& info);
  Napi::Value SendDatagram(const Napi::CallbackInfo& info);
  Napi::Value SealAndSend(const Napi::CallbackInfo& info);
  Napi::Value Inject(const Napi::CallbackInfo& info);
  Napi::Value Rebind(const Napi::CallbackInfo& info);
  Napi::Value DropOldSockets(const Napi::CallbackInfo& info);
  Napi::Value Overlapping(const Napi::CallbackInfo& info);
  Napi::Value Descriptors(const Napi::CallbackInfo& info);
  Napi::Value Pause(const Napi::CallbackInfo& info);
  Napi::Value Freeze(const Napi::CallbackInfo& info);
  Napi::Value Thaw(const Napi::CallbackInfo& info);
  Napi::Value SetMark(const Napi::CallbackInfo& info);
  Napi::Value TakeEvents(const Napi::CallbackInfo& info);
  Napi::Value SessionOf(const Napi::CallbackInfo& info);
  Napi::Value ChangedSessions(const Napi::CallbackInfo& info);
  Napi::Value Stats(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  void Shut();
  static void OnEnvironmentEnd(void* self);

  // The plane if it is open and not frozen, or null with an Error pending.
  Plane* Open(Napi::Env env);
  // The plane if it is open, frozen or not.
  Plane* OpenOrFrozen(Napi::Env env);

  Napi::Env env_;
  Napi::ThreadSafeFunction wake_;
  std::unique_ptr<Plane> plane_;  // null once closed
};

}  // namespace dtunnel
