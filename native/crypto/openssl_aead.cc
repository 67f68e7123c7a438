#include <openssl/evp.h>

#include "base/check.h"
#include "crypto/aead.h"

namespace dtunnel {
namespace {

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }  // zeroes the key schedule
};

// One context keyed once; only the nonce is set per record: setting the key again would double the cost of a record.
class OpensslKey final : public AeadKey {
 public:
  explicit OpensslKey(EVP_CIPHER_CTX* context) : context_(context) {}

  void Seal(const AeadNonce& nonce, Bytes additional, const std::uint8_t* in, std::size_t size,
            std::uint8_t* out) override {
    EVP_CIPHER_CTX* c = context_.get();
    int written = 0;
    const bool sealed =
        EVP_EncryptInit_ex(c, nullptr, nullptr, nullptr, nonce.data()) == 1 &&
        EVP_EncryptUpdate(c, nullptr, &written, additional.data(), static_cast<int>(additional.size())) == 1 &&
        EVP_EncryptUpdate(c, out, &written, in, static_cast<int>(size)) == 1 &&
        EVP_EncryptFinal_ex(c, out + size, &written) == 1 &&
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, kAeadTagSize, out + size) == 1;
    Check(sealed, "OpenSSL seals with a keyed context");
  }

  bool Open(const AeadNonce& nonce, Bytes additional, const std::uint8_t* in, std::size_t size,
            std::uint8_t* out) override {
    EVP_CIPHER_CTX* c = context_.get();
    int written = 0;
    std::uint8_t* tag = const_cast<std::uint8_t*>(in + size);  // the control call copies it, whatever its type says
    return EVP_DecryptInit_ex(c, nullptr, nullptr, nullptr, nonce.data()) == 1 &&
           EVP_DecryptUpdate(c, nullptr, &written, additional.data(), static_cast<int>(additional.size())) == 1 &&
           EVP_DecryptUpdate(c, out, &written, in, static_cast<int>(size)) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, kAeadTagSize, tag) == 1 &&
           EVP_DecryptFinal_ex(c, out + size, &written) == 1;
  }

 private:
  std::unique_ptr<EVP_CIPHER_CTX, FreeContext> context_;
};

class OpensslBackend final : public AeadBackend {
 public:
  const char* name() const override { return "openssl"; }
  bool Supports(AeadAlgorithm algorithm) const override { return CipherOf(algorithm) != nullptr; }

  std::unique_ptr<AeadKey> MakeKey(AeadAlgorithm algorithm, AeadDirection direction, Bytes key) const override {
    std::unique_ptr<EVP_CIPHER_CTX, FreeContext> context(EVP_CIPHER_CTX_new());
    const int encrypt = direction == AeadDirection::kSeal ? 1 : 0;
    if (!context ||
        EVP_CipherInit_ex(context.get(), CipherOf(algorithm), nullptr, key.data(), nullptr, encrypt) != 1) {
      return nullptr;
    }
    return std::make_unique<OpensslKey>(context.release());
  }

 private:
  static const EVP_CIPHER* CipherOf(AeadAlgorithm algorithm) {
    switch (algorithm) {
      case AeadAlgorithm::kAes128Gcm:
        return EVP_aes_128_gcm();
      case AeadAlgorithm::kAes256Gcm:
        return EVP_aes_256_gcm();
      case AeadAlgorithm::kChaCha20Poly1305:
        return EVP_chacha20_poly1305();
    }
    return nullptr;
  }
};

}  // namespace

const AeadBackend& OpensslAead() {
  static const OpensslBackend backend;
  return backend;
}

}  // namespace dtunnel
