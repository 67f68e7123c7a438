// What every AEAD back end owes: the same answers as OpenSSL's.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "crypto/aead.h"
#include "test/check.h"

namespace dtunnel::test {

// Seals, opens and refuses what was forged, with random keys, sizes and alignments, also in place.
inline void ExpectAgreement(const AeadBackend& backend, AeadAlgorithm algorithm, Random* random) {
  for (int round = 0; round < 60; ++round) {
    const auto key = random->Octets(AeadKeySize(algorithm));
    const auto seal = backend.MakeKey(algorithm, AeadDirection::kSeal, key);
    const auto open = backend.MakeKey(algorithm, AeadDirection::kOpen, key);
    const auto reference = OpensslAead().MakeKey(algorithm, AeadDirection::kSeal, key);
    if (!Expect(seal && open && reference)) return;
    for (int i = 0; i < 60; ++i) {
      AeadNonce nonce;
      for (auto& o : nonce) o = static_cast<std::uint8_t>(random->Next());
      // Sizes of plain and connection-id records, and every other the interface allows.
      const auto additional = random->Octets(random->Chance(2) ? 13 : random->Chance(2) ? 31 : 1 + random->Below(300));
      const std::size_t size = random->Chance(10)  ? random->Below(17000)
                               : random->Chance(4) ? random->Below(40)
                                                   : random->Below(1500);
      const std::size_t shift = random->Below(33);
      const auto plain = random->Octets(shift + size);
      std::vector<std::uint8_t> expected(size + kAeadTagSize);
      std::vector<std::uint8_t> got(shift + size + kAeadTagSize);
      reference->Seal(nonce, additional, plain.data() + shift, size, expected.data());
      if (random->Chance(2)) {  // in place
        std::copy(plain.begin(), plain.end(), got.begin());
        seal->Seal(nonce, additional, got.data() + shift, size, got.data() + shift);
      } else {
        seal->Seal(nonce, additional, plain.data() + shift, size, got.data() + shift);
      }
      if (!Expect(std::equal(expected.begin(), expected.end(), got.begin() + static_cast<std::ptrdiff_t>(shift)),
                  std::string(backend.name()) + " size " + std::to_string(size))) {
        return;
      }
      std::vector<std::uint8_t> opened(size + 1, 0x77);
      Expect(open->Open(nonce, additional, expected.data(), size, opened.data()));
      Expect(std::equal(plain.begin() + static_cast<std::ptrdiff_t>(shift), plain.end(), opened.begin()));
      ExpectEqual(opened[size], 0x77);
      auto in_place = expected;
      Expect(open->Open(nonce, additional, in_place.data(), size, in_place.data()));
      Expect(std::equal(plain.begin() + static_cast<std::ptrdiff_t>(shift), plain.end(), in_place.begin()));
      Expect(std::equal(in_place.end() - kAeadTagSize, in_place.end(), expected.end() - kAeadTagSize));
      auto forged = expected;
      forged[random->Below(forged.size())] ^= static_cast<std::uint8_t>(1 << random->Below(8));
      Expect(!open->Open(nonce, additional, forged.data(), size, opened.data()));
      auto other = additional;
      other[random->Below(other.size())] ^= 1;
      Expect(!open->Open(nonce, other, expected.data(), size, opened.data()));
    }
  }
}

}  // namespace dtunnel::test
