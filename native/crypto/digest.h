// SHA-256, for checking that octets are the ones that were written.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace dtunnel {

using Sha256Digest = std::array<std::uint8_t, 32>;

// OpenSSL's; in the addon the symbols are the node binary's own. False when the library refuses.
[[nodiscard]] bool Sha256(Bytes octets, Sha256Digest* out);

}  // namespace dtunnel
