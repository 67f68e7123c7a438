#include "crypto/ipsec_mb_aead.h"

// Built where the header is; the library itself is looked for at start.
#if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)

#include <dlfcn.h>
#include <intel-ipsec-mb.h>

#include <cstring>
#include <string>

namespace dtunnel {
namespace {

struct Functions {
  chacha_poly_init_t init = nullptr;
  chacha_poly_enc_dec_update_t encrypt = nullptr;
  chacha_poly_enc_dec_update_t decrypt = nullptr;
  chacha_poly_finalize_t finish = nullptr;
};

// The functions for this processor; nullopt without a library that fits the header. Its functions are members of a
// struct: the major version, which is the library's name too, fixes the order, and a later minor version only appends.
std::optional<Functions> Load() {
  constexpr unsigned kMajor = IMB_VERSION_NUM >> 16;
  const std::string name = "libIPSec_MB.so." + std::to_string(kMajor);
  void* library = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays: its functions are used until the end
  if (library == nullptr) return std::nullopt;
  const auto version = reinterpret_cast<decltype(&imb_get_version)>(::dlsym(library, "imb_get_version"));
  const auto allocate = reinterpret_cast<decltype(&alloc_mb_mgr)>(::dlsym(library, "alloc_mb_mgr"));
  const auto prepare = reinterpret_cast<decltype(&init_mb_mgr_auto)>(::dlsym(library, "init_mb_mgr_auto"));
  const auto release = reinterpret_cast<decltype(&free_mb_mgr)>(::dlsym(library, "free_mb_mgr"));
  if (version == nullptr || allocate == nullptr || prepare == nullptr || release == nullptr) return std::nullopt;
  if (version() >> 16 != kMajor || version() < IMB_VERSION_NUM) return std::nullopt;
  IMB_MGR* manager = allocate(0);
  if (manager == nullptr) return std::nullopt;
  IMB_ARCH arch = IMB_ARCH_NONE;
  prepare(manager, &arch);
  const Functions functions{manager->chacha20_poly1305_init, manager->chacha20_poly1305_enc_update,
                            manager->chacha20_poly1305_dec_update, manager->chacha20_poly1305_finalize};
  release(manager);
  // Below AVX2 it has nothing over OpenSSL.
  if (arch < IMB_ARCH_AVX2 || functions.init == nullptr || functions.encrypt == nullptr ||
      functions.decrypt == nullptr || functions.finish == nullptr) {
    return std::nullopt;
  }
  return functions;
}

class IpsecMbKey final : public AeadKey {
 public:
  IpsecMbKey(const Functions& functions, Bytes key) : functions_(functions) {
    std::memcpy(key_.data(), key.data(), key_.size());
  }

  void Seal(const AeadNonce& nonce, Bytes additional, const std::uint8_t* in, std::size_t size,
            std::uint8_t* out) override {
    functions_.init(key_.data(), &context_, nonce.data(), additional.data(), additional.size());
    if (size != 0) functions_.encrypt(key_.data(), &context_, out, in, size);
    functions_.finish(&context_, out + size, kAeadTagSize);
  }

  bool Open(const AeadNonce& nonce, Bytes additional, const std::uint8_t* in, std::size_t size,
            std::uint8_t* out) override {
    std::array<std::uint8_t, kAeadTagSize> tag;
    std::array<std::uint8_t, kAeadTagSize> expected;
    std::memcpy(tag.data(), in + size, tag.size());  // before `out`, which may be `in`, is written
    functions_.init(key_.data(), &context_, nonce.data(), additional.data(), additional.size());
    if (size != 0) functions_.decrypt(key_.data(), &context_, out, in, size);
    functions_.finish(&context_, expected.data(), expected.size());
    std::uint8_t difference = 0;
    for (std::size_t i = 0; i < tag.size(); ++i) difference |= static_cast<std::uint8_t>(tag[i] ^ expected[i]);
    return difference == 0;
  }

 private:
  const Functions functions_;
  std::array<std::uint8_t, 32> key_;
  chacha20_poly1305_context_data context_;  // holds the record's one-time key: secret memory too
};

class IpsecMbBackend final : public AeadBackend {
 public:
  explicit IpsecMbBackend(const Functions& functions) : functions_(functions) {}
  const char* name() const override { return "ipsec-mb"; }
  bool Supports(AeadAlgorithm algorithm) const override { return algorithm == AeadAlgorithm::kChaCha20Poly1305; }
  std::unique_ptr<AeadKey> MakeKey(AeadAlgorithm algorithm, AeadDirection, Bytes key) const override {
    if (!Supports(algorithm) || key.size() != AeadKeySize(algorithm)) return nullptr;
    return std::make_unique<IpsecMbKey>(functions_, key);
  }

 private:
  const Functions functions_;
};

}  // namespace

const AeadBackend* IpsecMbAead() {
  static const std::optional<Functions> functions = Load();
  if (!functions) return nullptr;
  static const IpsecMbBackend backend(*functions);
  return &backend;
}

}  // namespace dtunnel

#else

namespace dtunnel {
const AeadBackend* IpsecMbAead() { return nullptr; }
}  // namespace dtunnel

#endif
