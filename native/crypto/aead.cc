#include "crypto/aead.h"

#include <cstring>
#include <vector>

#include "crypto/gcm_backends.h"
#include "crypto/ipsec_mb_aead.h"

namespace dtunnel {
namespace {

struct KnownAnswer {
  AeadAlgorithm algorithm;
  const char* key;
  const char* nonce;
  const char* additional;
  const char* plaintext;
  const char* sealed;  // ciphertext and tag
};

constexpr const char* kGcmPlaintext =
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657"
    "ba637b39";
constexpr const char* kGcmAdditional = "feedfacedeadbeeffeedfacedeadbeefabaddad2";

constexpr KnownAnswer kKnownAnswers[] = {
    {AeadAlgorithm::kAes128Gcm, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", kGcmAdditional,
     kGcmPlaintext,
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac97"
     "3d58e0915bc94fbc3221a5db94fae95ae7121a47"},
    {AeadAlgorithm::kAes256Gcm, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", kGcmAdditional, kGcmPlaintext,
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0a"
     "bcc9f66276fc6ece0f4e1768cddf8853bb2d551b"},
    {AeadAlgorithm::kChaCha20Poly1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a204966204920636f756c64206f6666"
     "657220796f75206f6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73637265656e20776f756c642062652069"
     "742e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b29"
     "05d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b"
     "61161ae10b594f09e26a7e902ecbd0600691"},
};

std::vector<std::uint8_t> FromHex(const char* hex) {
  const auto digit = [](char c) { return static_cast<std::uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10); };
  std::vector<std::uint8_t> bytes(std::strlen(hex) / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
  }
  return bytes;
}

// A longer message crosses every loop of a vectorised cipher: sealing it, opening it and opening it with each of some
// bits flipped must agree with itself and, where there is one, with the reference back end.
bool LongMessageAgrees(const AeadBackend& backend, AeadAlgorithm algorithm) {
  std::vector<std::uint8_t> key(AeadKeySize(algorithm), 0x5c);
  std::vector<std::uint8_t> plain(1471);
  for (std::size_t i = 0; i < plain.size(); ++i) plain[i] = static_cast<std::uint8_t>(i * 7);
  const AeadNonce nonce{1, 2, 3, 4, 0, 1, 0, 0, 0, 0, 0, 9};
  const std::uint8_t additional[13] = {0, 1, 0, 0, 0, 0, 0, 9, 23, 0xfe, 0xfd, 5, 191};
  const auto seal = backend.MakeKey(algorithm, AeadDirection::kSeal, key);
  const auto open = backend.MakeKey(algorithm, AeadDirection::kOpen, key);
  const auto reference = OpensslAead().MakeKey(algorithm, AeadDirection::kSeal, key);
  if (!seal || !open || !reference) return false;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{255}, std::size_t{256}, plain.size()}) {
    std::vector<std::uint8_t> sealed(size + kAeadTagSize);
    std::vector<std::uint8_t> expected(size + kAeadTagSize);
    std::vector<std::uint8_t> opened(size + 1);
    seal->Seal(nonce, additional, plain.data(), size, sealed.data());
    reference->Seal(nonce, additional, plain.data(), size, expected.data());
    if (sealed != expected || !open->Open(nonce, additional, sealed.data(), size, opened.data())) return false;
    if (size != 0 && std::memcmp(opened.data(), plain.data(), size) != 0) return false;
    for (std::size_t at = 0; at < sealed.size(); at += 97) {
      sealed[at] ^= 0x10;
      if (open->Open(nonce, additional, sealed.data(), size, opened.data())) return false;
      sealed[at] ^= 0x10;
    }
  }
  return true;
}

}  // namespace

bool AeadSelfTest(const AeadBackend& backend, AeadAlgorithm algorithm) {
  for (const KnownAnswer& known : kKnownAnswers) {
    if (known.algorithm != algorithm) continue;
    const auto key = FromHex(known.key);
    const auto plain = FromHex(known.plaintext);
    const auto expected = FromHex(known.sealed);
    const auto additional = FromHex(known.additional);
    AeadNonce nonce;
    std::memcpy(nonce.data(), FromHex(known.nonce).data(), nonce.size());
    const auto seal = backend.MakeKey(algorithm, AeadDirection::kSeal, key);
    if (!seal) return false;
    std::vector<std::uint8_t> sealed(expected.size());
    seal->Seal(nonce, additional, plain.data(), plain.size(), sealed.data());
    if (sealed != expected) return false;
  }
  return LongMessageAgrees(backend, algorithm);
}

std::span<const AeadBackend* const> AllAeadBackends() {
  static const std::vector<const AeadBackend*> all = [] {
    std::vector<const AeadBackend*> found;
    for (const AeadBackend* backend : {Avx512Gcm(), Avx2Gcm(), AesniGcm(), IpsecMbAead(), &OpensslAead()}) {
      if (backend != nullptr) found.push_back(backend);
    }
    return found;
  }();
  return all;
}

AeadSuite AeadSuite::Of(const AeadBackend& backend) {
  AeadSuite suite;
  suite.backends_.fill(&backend);
  return suite;
}

std::optional<AeadSuite> AeadSuite::Choose(AeadPreference preference) {
  AeadSuite suite;
  // Nothing else is even loaded when only OpenSSL is wanted.
  static const AeadBackend* const only_openssl[] = {&OpensslAead()};
  const std::span<const AeadBackend* const> candidates =
      preference == AeadPreference::kOpenssl ? std::span<const AeadBackend* const>(only_openssl) : AllAeadBackends();
  for (std::size_t i = 0; i < kAeadAlgorithms; ++i) {
    const auto algorithm = static_cast<AeadAlgorithm>(i);
    for (const AeadBackend* backend : candidates) {
      if (!backend->Supports(algorithm) || !AeadSelfTest(*backend, algorithm)) continue;
      suite.backends_[i] = backend;
      break;
    }
    if (suite.backends_[i] == nullptr) return std::nullopt;
  }
  return suite;
}

}  // namespace dtunnel
