#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/secret_memory.h"
#include "crypto/aead.h"
#include "packet/record.h"
#include "plane/record_protection.h"
#include "test/aead_agreement.h"
#include "test/check.h"

namespace dtunnel::test {
namespace {

constexpr AeadAlgorithm kAlgorithms[] = {AeadAlgorithm::kAes128Gcm, AeadAlgorithm::kAes256Gcm,
                                         AeadAlgorithm::kChaCha20Poly1305};

const Test kSelfTest{"every back end passes its own self-test for what it supports", [] {
  for (const AeadBackend* backend : AllAeadBackends()) {
    for (const AeadAlgorithm algorithm : kAlgorithms) {
      if (backend->Supports(algorithm)) Expect(AeadSelfTest(*backend, algorithm), backend->name());
    }
  }
}};

// A back end that seals wrongly, to see the self-test fail.
class BrokenBackend final : public AeadBackend {
 public:
  class Key final : public AeadKey {
   public:
    explicit Key(std::unique_ptr<AeadKey> real) : real_(std::move(real)) {}
    void Seal(const AeadNonce& nonce, Bytes additional, const std::uint8_t* in, std::size_t size,
              std::uint8_t* out) override {
      real_->Seal(nonce, additional, in, size, out);
      if (size > 1000) out[size] ^= 1;
    }
    bool Open(const AeadNonce& nonce, Bytes additional, const std::uint8_t* in, std::size_t size,
              std::uint8_t* out) override {
      return real_->Open(nonce, additional, in, size, out);
    }

   private:
    std::unique_ptr<AeadKey> real_;
  };
  const char* name() const override { return "broken"; }
  bool Supports(AeadAlgorithm) const override { return true; }
  std::unique_ptr<AeadKey> MakeKey(AeadAlgorithm algorithm, AeadDirection direction, Bytes key) const override {
    return std::make_unique<Key>(OpensslAead().MakeKey(algorithm, direction, key));
  }
};

const Test kSelfTestFails{"the self-test notices a back end that is wrong for long records only", [] {
  const BrokenBackend broken;
  for (const AeadAlgorithm algorithm : kAlgorithms) Expect(!AeadSelfTest(broken, algorithm));
}};

const Test kDifferential{"every back end agrees with OpenSSL for random keys, sizes and alignments, also in place", [] {
  Random random(31);
  for (const AeadBackend* backend : AllAeadBackends()) {
    for (const AeadAlgorithm algorithm : kAlgorithms) {
      if (backend->Supports(algorithm)) ExpectAgreement(*backend, algorithm, &random);
    }
  }
}};

AeadSuite Suite() {
  const auto suite = AeadSuite::Choose(AeadPreference::kAuto);
  Check(suite.has_value(), "a suite");
  return *suite;
}

const Test kRecords{"sealed records open again, with and without id, for every algorithm", [] {
  Random random(32);
  const AeadSuite suite = Suite();
  for (const AeadAlgorithm algorithm : kAlgorithms) {
    const auto key = random.Octets(AeadKeySize(algorithm));
    const auto iv = random.Octets(ImplicitIvSize(algorithm));
    const RecordKeys keys{algorithm, key, iv};
    const auto sealer = RecordCipher::Create(suite, AeadDirection::kSeal, keys);
    const auto opener = RecordCipher::Create(suite, AeadDirection::kOpen, keys);
    for (int i = 0; i < 500; ++i) {
      const auto id = random.Octets(random.Chance(2) ? kOurConnectionIdSize : 0);
      const auto type = static_cast<std::uint8_t>(20 + random.Below(4));
      auto content = random.Octets(1 + random.Below(1500));
      if (content.size() > 1) content.back() = 0;  // zeros at the end are content, not padding
      const std::uint8_t behind = 0x99;
      content.push_back(behind);
      const std::size_t size = content.size() - 1;
      std::vector<std::uint8_t> record(size + RecordOverhead(algorithm, id.size()));
      const RecordNumber number = (RecordNumber{1} << kSequenceBits) | random.Below(kSequenceMask);
      ExpectEqual(sealer->Seal(type, number, id, content.data(), size, record.data()), record.size());
      ExpectEqual(content.back(), behind);
      RecordHeader header;
      if (!Expect(ParseRecordHeader(record, &header) == RecordFault::kNone)) return;
      std::vector<std::uint8_t> out(RecordCipher::PlaintextBound(header));
      RecordCipher::Opened opened{};
      Expect(opener->Open(header, out.data(), &opened) == RecordCipher::Failure::kNone);
      ExpectEqual(opened.type, type);
      ExpectEqual(opened.size, size);
      Expect(std::equal(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(size), content.begin()));
      // Every octet of the record is authenticated.
      record[random.Below(record.size())] ^= 0x20;
      if (ParseRecordHeader(record, &header) == RecordFault::kNone && header.size == record.size()) {
        Expect(opener->Open(header, out.data(), &opened) != RecordCipher::Failure::kNone);
      }
    }
  }
}};

const Test kInnerPlaintext{"padding of a connection-id record is stripped, and one of zeros only has no type (H58)", [] {
  Random random(33);
  const AeadSuite suite = Suite();
  const auto key = random.Octets(16);
  const auto iv = random.Octets(4);
  const auto aead = OpensslAead().MakeKey(AeadAlgorithm::kAes128Gcm, AeadDirection::kSeal, key);
  const auto opener = RecordCipher::Create(suite, AeadDirection::kOpen, RecordKeys{AeadAlgorithm::kAes128Gcm, key, iv});
  const auto id = random.Octets(8);
  for (std::size_t padding = 0; padding < 300; ++padding) {
    for (const bool typed : {true, false}) {
      std::vector<std::uint8_t> inner = {1, 2, 3, 21};
      if (!typed) inner.clear();
      inner.resize(inner.size() + padding, 0);
      const RecordNumber number = (RecordNumber{1} << kSequenceBits) | padding;
      std::vector<std::uint8_t> record(kPlainHeaderSize + 8 + 8 + inner.size() + kTagSize);
      const std::size_t header_size = WriteRecordHeader(23, number, id, 8 + inner.size() + kTagSize, record.data());
      Store64(&record[header_size], number);
      AeadNonce nonce;
      std::copy(iv.begin(), iv.end(), nonce.begin());
      Store64(&nonce[4], number);
      AdditionalData additional;
      MakeAdditionalData(23, number, id, inner.size(), &additional);
      const std::uint8_t none = 0;
      aead->Seal(nonce, additional.bytes(), inner.empty() ? &none : inner.data(), inner.size(),
                 &record[header_size + 8]);
      RecordHeader header;
      Expect(ParseRecordHeader(record, &header) == RecordFault::kNone);
      std::vector<std::uint8_t> out(RecordCipher::PlaintextBound(header));
      RecordCipher::Opened opened{};
      const auto failure = opener->Open(header, out.data(), &opened);
      if (!typed) {
        Expect(failure == RecordCipher::Failure::kNoType);
        continue;
      }
      Expect(failure == RecordCipher::Failure::kNone);
      ExpectEqual(opened.type, 21);
      ExpectEqual(opened.size, 3u);
    }
  }
}};

const Test kSecrets{"secret memory is zeroed when freed, and used again", [] {
  const std::size_t before = SecretOctets();
  auto* first = static_cast<std::uint8_t*>(AllocateSecret(200));
  ExpectEqual(SecretOctets(), before + 256);
  std::memset(first, 0xaa, 200);
  FreeSecret(first, 200);
  ExpectEqual(SecretOctets(), before);
  auto* second = static_cast<std::uint8_t*>(AllocateSecret(200));
  Expect(second == first && std::all_of(second, second + 256, [](std::uint8_t o) { return o == 0; }));
  FreeSecret(second, 200);
  const auto key = std::vector<std::uint8_t>(16, 1);
  {
    const auto kept = OpensslAead().MakeKey(AeadAlgorithm::kAes128Gcm, AeadDirection::kSeal, key);
    Expect(SecretOctets() > before);
  }
  ExpectEqual(SecretOctets(), before);
}};

}  // namespace
}  // namespace dtunnel::test
