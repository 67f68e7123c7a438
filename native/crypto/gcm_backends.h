// AES-GCM in this library's own code, for processors with AES and carry-less multiplication instructions.
#pragma once

#include "crypto/aead.h"

namespace dtunnel {

// Each is null where processor or kernel lack what it needs, and on other architectures.
const AeadBackend* Avx512Gcm();  // VAES and VPCLMULQDQ on 512 bits: Zen 4, Ice Lake and later
const AeadBackend* Avx2Gcm();    // the same on 256 bits: Zen 3, Alder Lake and later
const AeadBackend* AesniGcm();   // 128 bits: every x86 server since 2011

}  // namespace dtunnel
