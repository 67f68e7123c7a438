#include "plane/record_protection.h"

#include <cstring>

namespace dtunnel {

std::unique_ptr<RecordCipher> RecordCipher::Create(const AeadSuite& suite, AeadDirection direction,
                                                   const RecordKeys& keys) {
  auto key = suite.backend(keys.algorithm).MakeKey(keys.algorithm, direction, keys.key);
  if (key == nullptr) return nullptr;
  std::unique_ptr<RecordCipher> cipher(new RecordCipher(keys.algorithm, std::move(key)));
  std::memcpy(cipher->iv_.data(), keys.iv.data(), ImplicitIvSize(keys.algorithm));
  return cipher;
}

AeadNonce RecordCipher::MakeNonce(const std::uint8_t* explicit_nonce) const {
  AeadNonce nonce = iv_;
  if (algorithm_ == AeadAlgorithm::kChaCha20Poly1305) {
    for (std::size_t i = 0; i < 8; ++i) nonce[4 + i] ^= explicit_nonce[i];
  } else {
    std::memcpy(&nonce[4], explicit_nonce, 8);
  }
  return nonce;
}

std::size_t RecordCipher::Seal(std::uint8_t type, RecordNumber number, Bytes id, std::uint8_t* content,
                               std::size_t size, std::uint8_t* out) {
  const std::size_t inner = size + (id.empty() ? 0 : 1);
  const std::size_t explicit_size = ExplicitNonceSize(algorithm_);
  std::size_t at = WriteRecordHeader(type, number, id, explicit_size + inner + kTagSize, out);
  AdditionalData additional;
  MakeAdditionalData(type, number, id, inner, &additional);
  std::uint8_t number_octets[8];
  Store64(number_octets, number);
  std::memcpy(out + at, number_octets, explicit_size);
  at += explicit_size;
  const AeadNonce nonce = MakeNonce(number_octets);
  if (id.empty()) {
    key_->Seal(nonce, additional.bytes(), content, inner, out + at);
  } else {
    const std::uint8_t borrowed = content[size];
    content[size] = type;
    key_->Seal(nonce, additional.bytes(), content, inner, out + at);
    content[size] = borrowed;
  }
  return at + inner + kTagSize;
}

RecordCipher::Failure RecordCipher::Open(const RecordHeader& record, std::uint8_t* out, Opened* opened) {
  const std::size_t explicit_size = ExplicitNonceSize(algorithm_);
  if (record.fragment.size() < explicit_size + kTagSize) return Failure::kShort;
  const std::size_t inner = record.fragment.size() - explicit_size - kTagSize;
  AdditionalData additional;
  MakeAdditionalData(record.type, record.number, record.connection_id, inner, &additional);
  std::uint8_t number_octets[8];
  Store64(number_octets, record.number);
  const AeadNonce nonce = MakeNonce(explicit_size != 0 ? record.fragment.data() : number_octets);
  if (!key_->Open(nonce, additional.bytes(), record.fragment.data() + explicit_size, inner, out)) return Failure::kTag;
  opened->type = record.type;
  opened->size = inner;
  if (record.type != kConnectionId) return Failure::kNone;
  // RFC 9146 §4: content, real type, zeros. The type is the last octet that is not zero.
  while (opened->size != 0 && out[opened->size - 1] == 0) --opened->size;
  if (opened->size == 0) return Failure::kNoType;
  opened->type = out[--opened->size];
  return Failure::kNone;
}

}  // namespace dtunnel
