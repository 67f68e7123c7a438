// Authenticated encryption behind one interface, with back ends chosen at start.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/secret_memory.h"

namespace dtunnel {

enum class AeadAlgorithm : std::uint8_t { kAes128Gcm, kAes256Gcm, kChaCha20Poly1305 };
inline constexpr std::size_t kAeadAlgorithms = 3;
inline constexpr std::size_t kAeadTagSize = 16;
inline constexpr std::size_t kAeadNonceSize = 12;

inline std::size_t AeadKeySize(AeadAlgorithm algorithm) { return algorithm == AeadAlgorithm::kAes128Gcm ? 16 : 32; }

using AeadNonce = std::array<std::uint8_t, kAeadNonceSize>;

enum class AeadDirection : std::uint8_t { kSeal, kOpen };

// A key of one direction, expanded. Used by one thread at a time, in secret memory.
class AeadKey : public SecretObject {
 public:
  virtual ~AeadKey() = default;
  AeadKey() = default;
  AeadKey(const AeadKey&) = delete;
  AeadKey& operator=(const AeadKey&) = delete;

  // Writes size + kAeadTagSize octets to `out`, which is `in` or does not overlap it.
  virtual void Seal(const AeadNonce& nonce, Bytes additional, const std::uint8_t* in, std::size_t size,
                    std::uint8_t* out) = 0;
  // `in` has size + kAeadTagSize octets. False when the tag is wrong; `out` then holds nothing of use.
  virtual bool Open(const AeadNonce& nonce, Bytes additional, const std::uint8_t* in, std::size_t size,
                    std::uint8_t* out) = 0;
};

// A source of keys. Stateless after start; any thread.
class AeadBackend {
 public:
  virtual ~AeadBackend() = default;
  virtual const char* name() const = 0;
  virtual bool Supports(AeadAlgorithm algorithm) const = 0;
  // `key` has AeadKeySize octets. Null when the library refuses.
  virtual std::unique_ptr<AeadKey> MakeKey(AeadAlgorithm algorithm, AeadDirection direction, Bytes key) const = 0;
};

// OpenSSL's EVP. In the addon the symbols are the node binary's own.
const AeadBackend& OpensslAead();

// Every back end that this machine can run, fastest first.
std::span<const AeadBackend* const> AllAeadBackends();

// Seals and opens published vectors with `backend` (McGrew & Viega test cases 4 and 16 for AES-GCM, RFC 8439 §2.8.2) and
// refuses forged ones. False: do not use it.
bool AeadSelfTest(const AeadBackend& backend, AeadAlgorithm algorithm);

enum class AeadPreference : std::uint8_t { kAuto, kOpenssl };

// The back end of each algorithm.
class AeadSuite {
 public:
  // The fastest that passes the self-test; nullopt when none does for some algorithm.
  static std::optional<AeadSuite> Choose(AeadPreference preference);
  // One back end for everything, untested: for benches.
  static AeadSuite Of(const AeadBackend& backend);

  const AeadBackend& backend(AeadAlgorithm algorithm) const {
    return *backends_[static_cast<std::size_t>(algorithm)];
  }

 private:
  std::array<const AeadBackend*, kAeadAlgorithms> backends_{};
};

}  // namespace dtunnel
