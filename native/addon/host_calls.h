// Calls into the operating system that Node lacks and that need no plane: notify, icmpEcho, forbidDumps, runProgram.
#pragma once

#include <napi.h>

namespace dtunnel {

void ExportHostCalls(Napi::Env env, Napi::Object exports);

}  // namespace dtunnel
