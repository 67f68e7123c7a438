// Reads the composite arguments of PlaneWrap. As in convert.h: nullopt with an exception pending.
#pragma once

#include <napi.h>

#include <optional>
#include <vector>

#include "plane/plane.h"

namespace dtunnel {

std::optional<PlaneConfig> ToPlaneConfig(const Napi::Value& value);
std::optional<std::vector<ListenSpec>> ToListenSpecs(const Napi::Value& value);
// Key views stay valid during the call only.
std::optional<SessionConfig> ToSessionConfig(const Napi::Value& value);
std::optional<std::vector<Route>> ToRoutes(const Napi::Value& value);
std::optional<PeerConfig> ToPeerConfig(const Napi::Value& value);
// Three arguments from `first` on: remote address, remote port, local address or undefined.
std::optional<Path> ToPath(const Napi::CallbackInfo& info, std::size_t first);

// Descriptors that this process inherited: each once, none of the standard ones. They are owned from now on.
std::optional<std::vector<Fd>> ToDescriptors(const Napi::Value& value);

}  // namespace dtunnel
