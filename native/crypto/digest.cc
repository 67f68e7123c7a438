#include "crypto/digest.h"

#include <openssl/evp.h>

namespace dtunnel {

bool Sha256(Bytes octets, Sha256Digest* out) {
  unsigned size = 0;
  return EVP_Digest(octets.data(), octets.size(), out->data(), &size, EVP_sha256(), nullptr) == 1 && size == out->size();
}

}  // namespace dtunnel
