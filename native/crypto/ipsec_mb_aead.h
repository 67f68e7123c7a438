// ChaCha20-Poly1305 of Intel's Multi-Buffer Crypto for IPsec library, where that is installed.
#pragma once

#include "crypto/aead.h"

namespace dtunnel {

// Null where the library is not installed or older than the header that this was built with, on processors without AVX2,
// and in builds without its header. Nothing is gained with AES-GCM, which our own kernels do faster.
const AeadBackend* IpsecMbAead();

}  // namespace dtunnel
