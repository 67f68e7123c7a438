#include <napi.h>

#include "addon/host_calls.h"
#include "addon/plane_wrap.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  dtunnel::ExportHostCalls(env, exports);
  dtunnel::PlaneWrap::Export(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(dtunnel, Init)
