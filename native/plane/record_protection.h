// Sealing and opening whole records: header, additional data, nonce and AEAD together.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/secret_memory.h"
#include "crypto/aead.h"
#include "packet/record.h"

namespace dtunnel {

// How a direction is keyed.
struct RecordKeys {
  AeadAlgorithm algorithm = AeadAlgorithm::kAes128Gcm;
  Bytes key;
  Bytes iv;  // 4 octets for AES-GCM, 12 for ChaCha20-Poly1305
};

inline std::size_t ImplicitIvSize(AeadAlgorithm algorithm) {
  return algorithm == AeadAlgorithm::kChaCha20Poly1305 ? 12 : 4;
}

// RFC 5288 §3: 8 octets of nonce travel with every AES-GCM record; RFC 7905 §2: none with ChaCha20-Poly1305.
inline std::size_t ExplicitNonceSize(AeadAlgorithm algorithm) {
  return algorithm == AeadAlgorithm::kChaCha20Poly1305 ? 0 : 8;
}

// Octets that a record adds to its content. With a connection id the real type is sealed too (RFC 9146 §4).
inline std::size_t RecordOverhead(AeadAlgorithm algorithm, std::size_t id_size) {
  return kPlainHeaderSize + id_size + ExplicitNonceSize(algorithm) + kTagSize + (id_size == 0 ? 0 : 1);
}

// One direction of one session for one thread.
class RecordCipher : public SecretObject {
 public:
  // Null when the back end refuses the key.
  static std::unique_ptr<RecordCipher> Create(const AeadSuite& suite, AeadDirection direction, const RecordKeys& keys);

  // Writes the record of `size` octets at `content` to `out`, which has RecordOverhead octets more, and returns its
  // size. The octet behind the content is written to and restored. `id`: the peer's connection id or empty.
  std::size_t Seal(std::uint8_t type, RecordNumber number, Bytes id, std::uint8_t* content, std::size_t size,
                   std::uint8_t* out);

  struct Opened {
    std::uint8_t type;
    std::size_t size;
  };
  enum class Failure : std::uint8_t { kNone, kShort, kTag, kNoType };

  // Opens a record into `out`, which takes PlaintextBound octets. kNoType: a connection-id record of nothing but zeros.
  Failure Open(const RecordHeader& record, std::uint8_t* out, Opened* opened);

  // At least as large as the plaintext of `record`.
  static std::size_t PlaintextBound(const RecordHeader& record) { return record.fragment.size(); }

 private:
  RecordCipher(AeadAlgorithm algorithm, std::unique_ptr<AeadKey> key) : algorithm_(algorithm), key_(std::move(key)) {}

  // `explicit_nonce`: 8 octets, the record number except in foreign AES-GCM records, whose sender may choose otherwise.
  AeadNonce MakeNonce(const std::uint8_t* explicit_nonce) const;

  AeadAlgorithm algorithm_;
  std::unique_ptr<AeadKey> key_;
  std::array<std::uint8_t, 12> iv_{};
};

}  // namespace dtunnel
