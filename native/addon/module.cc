#include <napi.h>

#include "addon/host_calls.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  dtunnel::ExportHostCalls(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(dtunnel, Init)
