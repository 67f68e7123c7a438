// AES-GCM (NIST SP 800-38D) for whole records in memory, over vectors of one, two or four blocks.
//
// Included by one source file per instruction set, behind a pragma that selects it: everything here has internal linkage,
// so that no function compiled for a newer processor can be taken for a common one.
//
// How it works. The counter mode keeps kInFlight vectors under way, which hides the latency of the AES instructions; a
// chunk is what they cover. GHASH of a chunk is one sum of products with the descending powers of the hash key, reduced
// once; it has no data dependency on the encryption of the next chunk and runs beside it. When sealing, a chunk's
// ciphertext is therefore hashed while the next one is encrypted. What is left behind the last chunk is padded in
// registers, hashed together with the length block, and the tag's mask is encrypted along with it.
//
// GHASH numbers bits backwards. Blocks are byte-reversed on loading, and the hash key is multiplied by x once, so that
// the carry-less product needs no shift; reduction then folds twice by the reversed polynomial (the method is described
// in Gueron & Kounavis, "Intel Carry-Less Multiplication Instruction and its Usage for Computing the GCM Mode").
//
// No branch and no address depends on a secret.

// NOLINTBEGIN(bugprone-suspicious-include)

namespace dtunnel {
namespace {

using Block = __m128i;

inline Block ByteReverseMask() { return _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
inline Block Reverse(Block b) { return _mm_shuffle_epi8(b, ByteReverseMask()); }
inline Block LoadBlock(const std::uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const Block*>(p)); }
inline void StoreBlock(std::uint8_t* p, Block b) { _mm_storeu_si128(reinterpret_cast<Block*>(p), b); }
inline Block SwapHalves(Block b) { return _mm_shuffle_epi32(b, 0x4e); }

// A 256-bit carry-less product, the middle two terms added up, waiting for reduction.
struct Product {
  Block low = _mm_setzero_si128();
  Block middle = _mm_setzero_si128();
  Block high = _mm_setzero_si128();

  void Add(Block a, Block b) {
    low = _mm_xor_si128(low, _mm_clmulepi64_si128(a, b, 0x00));
    high = _mm_xor_si128(high, _mm_clmulepi64_si128(a, b, 0x11));
    middle = _mm_xor_si128(middle, _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10)));
  }

  // Modulo x^128 + x^127 + x^126 + x^121 + 1, the reversed polynomial of GCM.
  Block Reduce() const {
    const Block polynomial = _mm_set_epi64x(static_cast<long long>(0xc200000000000000), 1);
    const Block first = _mm_xor_si128(_mm_xor_si128(middle, SwapHalves(low)),
                                      _mm_clmulepi64_si128(low, polynomial, 0x10));
    return _mm_xor_si128(_mm_xor_si128(high, SwapHalves(first)), _mm_clmulepi64_si128(first, polynomial, 0x10));
  }
};

inline Block Multiply(Block a, Block b) {
  Product p;
  p.Add(a, b);
  return p.Reduce();
}

// FIPS 197 §5.2 with AESKEYGENASSIST. `kAssist` is the immediate: the round constant. `kLane` selects the rotated and
// substituted word (3), or the substituted one (2: AES-256's odd steps).
template <int kAssist, int kLane>
inline Block NextRoundKey(Block older, Block newer) {
  const Block assist = _mm_shuffle_epi32(_mm_aeskeygenassist_si128(newer, kAssist), kLane * 0x55);
  older = _mm_xor_si128(older, _mm_slli_si128(older, 4));
  older = _mm_xor_si128(older, _mm_slli_si128(older, 8));
  return _mm_xor_si128(older, assist);
}

inline void ExpandAes128(const std::uint8_t* key, Block* k) {
  k[0] = LoadBlock(key);
  k[1] = NextRoundKey<0x01, 3>(k[0], k[0]);
  k[2] = NextRoundKey<0x02, 3>(k[1], k[1]);
  k[3] = NextRoundKey<0x04, 3>(k[2], k[2]);
  k[4] = NextRoundKey<0x08, 3>(k[3], k[3]);
  k[5] = NextRoundKey<0x10, 3>(k[4], k[4]);
  k[6] = NextRoundKey<0x20, 3>(k[5], k[5]);
  k[7] = NextRoundKey<0x40, 3>(k[6], k[6]);
  k[8] = NextRoundKey<0x80, 3>(k[7], k[7]);
  k[9] = NextRoundKey<0x1b, 3>(k[8], k[8]);
  k[10] = NextRoundKey<0x36, 3>(k[9], k[9]);
}

inline void ExpandAes256(const std::uint8_t* key, Block* k) {
  k[0] = LoadBlock(key);
  k[1] = LoadBlock(key + 16);
  k[2] = NextRoundKey<0x01, 3>(k[0], k[1]);
  k[3] = NextRoundKey<0x00, 2>(k[1], k[2]);
  k[4] = NextRoundKey<0x02, 3>(k[2], k[3]);
  k[5] = NextRoundKey<0x00, 2>(k[3], k[4]);
  k[6] = NextRoundKey<0x04, 3>(k[4], k[5]);
  k[7] = NextRoundKey<0x00, 2>(k[5], k[6]);
  k[8] = NextRoundKey<0x08, 3>(k[6], k[7]);
  k[9] = NextRoundKey<0x00, 2>(k[7], k[8]);
  k[10] = NextRoundKey<0x10, 3>(k[8], k[9]);
  k[11] = NextRoundKey<0x00, 2>(k[9], k[10]);
  k[12] = NextRoundKey<0x20, 3>(k[10], k[11]);
  k[13] = NextRoundKey<0x00, 2>(k[11], k[12]);
  k[14] = NextRoundKey<0x40, 3>(k[12], k[13]);
}

template <class V, int kRounds>
class GcmKey final : public AeadKey {
 public:
  explicit GcmKey(const std::uint8_t* key) {
    if constexpr (kRounds == 10) {
      ExpandAes128(key, round_keys_);
    } else {
      ExpandAes256(key, round_keys_);
    }
    // H = E(0), times x: one bit to the left with the polynomial's feedback.
    const Block h = Reverse(EncryptBlock(_mm_setzero_si128()));
    const Block carry = _mm_srli_epi64(h, 63);
    const Block doubled = _mm_or_si128(_mm_slli_epi64(h, 1), _mm_slli_si128(carry, 8));
    const Block feedback = _mm_sub_epi64(_mm_setzero_si128(), _mm_srli_si128(carry, 8));
    const Block both = _mm_unpacklo_epi64(feedback, feedback);
    const Block polynomial = _mm_set_epi64x(static_cast<long long>(0xc200000000000000), 1);
    const Block h1 = _mm_xor_si128(doubled, _mm_and_si128(both, polynomial));
    Block power = h1;
    for (int n = 1; n <= kChunk + 1; ++n) {
      StoreBlock(PowerAt(n), power);
      power = Multiply(power, h1);
    }
  }

  void Seal(const AeadNonce& nonce, Bytes additional, const std::uint8_t* in, std::size_t size,
            std::uint8_t* out) override {
    StoreBlock(out + size, Crypt<true>(nonce, additional, in, size, out));
  }

  bool Open(const AeadNonce& nonce, Bytes additional, const std::uint8_t* in, std::size_t size,
            std::uint8_t* out) override {
    const Block expected = LoadBlock(in + size);  // before `out` may overwrite it
    const Block difference = _mm_xor_si128(Crypt<false>(nonce, additional, in, size, out), expected);
    return _mm_testz_si128(difference, difference) != 0;
  }

 private:
  using Vector = typename V::T;
  static constexpr int kInFlight = 8;
  static constexpr int kChunk = kInFlight * V::kBlocks;  // blocks
  static constexpr std::size_t kVectorSize = V::kBlocks * 16;
  static constexpr std::size_t kChunkSize = kChunk * 16;

  // Sums of products, lane by lane.
  struct Sums {
    Sums() : low(V::Zero()), middle(V::Zero()), high(V::Zero()) {}
    Vector low;
    Vector middle;
    Vector high;

    void Add(Vector a, Vector b) {
      low = V::Xor(low, V::template Clmul<0x00>(a, b));
      high = V::Xor(high, V::template Clmul<0x11>(a, b));
      middle = V::Xor3(middle, V::template Clmul<0x01>(a, b), V::template Clmul<0x10>(a, b));
    }
    Product Fold() const { return Product{V::Fold(low), V::Fold(middle), V::Fold(high)}; }
  };

  // Powers lie in descending order, so that the blocks of a run meet theirs by loading forwards; behind H^1 are zeros
  // for the lanes of a last vector that hold no block.
  std::uint8_t* PowerAt(int n) { return powers_ + static_cast<std::ptrdiff_t>(kChunk + 1 - n) * 16; }
  const std::uint8_t* PowerAt(int n) const { return powers_ + static_cast<std::ptrdiff_t>(kChunk + 1 - n) * 16; }

  Block EncryptBlock(Block b) const {
    b = _mm_xor_si128(b, round_keys_[0]);
    for (int r = 1; r < kRounds; ++r) b = _mm_aesenc_si128(b, round_keys_[r]);
    return _mm_aesenclast_si128(b, round_keys_[kRounds]);
  }

  Block HashAdditional(Bytes data) const {
    Block hash = _mm_setzero_si128();
    std::size_t at = 0;
    while (at < data.size()) {
      const std::size_t left = (data.size() - at + 15) / 16;
      const int blocks = static_cast<int>(left < kChunk ? left : kChunk);
      Product product;
      for (int n = blocks; n > 0; --n, at += 16) {
        Block block;
        if (data.size() - at >= 16) {
          block = LoadBlock(&data[at]);
        } else {
          alignas(16) std::uint8_t padded[16] = {};
          std::memcpy(padded, &data[at], data.size() - at);
          block = LoadBlock(padded);
        }
        block = _mm_xor_si128(Reverse(block), hash);
        hash = _mm_setzero_si128();
        product.Add(block, LoadBlock(PowerAt(n)));
      }
      hash = product.Reduce();
    }
    return hash;
  }

  void HashVector(Vector reversed, int i, Block hash, Sums* sums) const {
    if (i == 0) reversed = V::Xor(reversed, V::FromBlock(hash));
    sums->Add(reversed, V::Load(PowerAt(kChunk - i * V::kBlocks)));
  }

  // Encrypts the chunk at `in` to `out`; beside it hashes the chunk at `hashed`, if kHash.
  template <bool kHash>
  [[gnu::always_inline]] inline Block Chunk(Vector* counter, const std::uint8_t* in, std::uint8_t* out,
                                            const std::uint8_t* hashed, Block hash) const {
    const Vector step = V::Broadcast(_mm_set_epi32(0, 0, 0, V::kBlocks));
    const Vector first = V::Broadcast(round_keys_[0]);
    Vector state[kInFlight];
#pragma GCC unroll 8
    for (int i = 0; i < kInFlight; ++i) {
      state[i] = V::Xor(V::Reverse(*counter), first);
      *counter = V::Add32(*counter, step);
    }
    Sums sums;
#pragma GCC unroll 16
    for (int r = 1; r < kRounds; ++r) {
      const Vector key = V::Broadcast(round_keys_[r]);
#pragma GCC unroll 8
      for (int i = 0; i < kInFlight; ++i) state[i] = V::AesRound(state[i], key);
      if (kHash && r <= kInFlight) {
        const int i = r - 1;
        HashVector(V::Reverse(V::Load(hashed + static_cast<std::size_t>(i) * kVectorSize)), i, hash, &sums);
      }
    }
    const Vector last = V::Broadcast(round_keys_[kRounds]);
#pragma GCC unroll 8
    for (int i = 0; i < kInFlight; ++i) {
      // The last round ends with the addition of its key: adding the text to the key beforehand saves one step.
      const std::size_t at = static_cast<std::size_t>(i) * kVectorSize;
      V::Store(out + at, V::AesLast(state[i], V::Xor(last, V::Load(in + at))));
    }
    return kHash ? sums.Fold().Reduce() : hash;
  }

  Block HashChunk(const std::uint8_t* data, Block hash) const {
    Sums sums;
#pragma GCC unroll 8
    for (int i = 0; i < kInFlight; ++i) {
      HashVector(V::Reverse(V::Load(data + static_cast<std::size_t>(i) * kVectorSize)), i, hash, &sums);
    }
    return sums.Fold().Reduce();
  }

  // The last `size` < kChunkSize octets, in kVectors vectors; returns the tag.
  template <bool kSeal, int kVectors>
  Block Tail(Vector counter, Block initial, const std::uint8_t* in, std::uint8_t* out, std::size_t size, Block hash,
             Block lengths) const {
    const Vector step = V::Broadcast(_mm_set_epi32(0, 0, 0, V::kBlocks));
    Vector state[kVectors == 0 ? 1 : kVectors];
    Block mask = _mm_xor_si128(Reverse(initial), round_keys_[0]);
    {
      const Vector first = V::Broadcast(round_keys_[0]);
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; ++i) {
        state[i] = V::Xor(V::Reverse(counter), first);
        counter = V::Add32(counter, step);
      }
    }
#pragma GCC unroll 16
    for (int r = 1; r < kRounds; ++r) {
      const Vector key = V::Broadcast(round_keys_[r]);
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; ++i) state[i] = V::AesRound(state[i], key);
      mask = _mm_aesenc_si128(mask, round_keys_[r]);
    }
    mask = _mm_aesenclast_si128(mask, round_keys_[kRounds]);

    const Vector last = V::Broadcast(round_keys_[kRounds]);
    const int blocks = static_cast<int>((size + 15) / 16);
    const std::uint8_t* powers = PowerAt(blocks + 1);  // the length block takes H^1
    Sums sums;
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) {
      const std::size_t at = static_cast<std::size_t>(i) * kVectorSize;
      Vector cipher;
      if (i + 1 < kVectors) {
        const Vector text = V::Load(in + at);
        const Vector result = V::AesLast(state[i], V::Xor(last, text));
        V::Store(out + at, result);
        cipher = kSeal ? result : text;
      } else {
        const Vector text = V::LoadPart(in + at, size - at);
        const Vector result = V::AesLast(state[i], V::Xor(last, text));
        V::StorePart(out + at, result, size - at);
        cipher = kSeal ? V::ClearBehind(result, size - at) : text;
      }
      cipher = V::Reverse(cipher);
      if (i == 0) cipher = V::Xor(cipher, V::FromBlock(hash));
      sums.Add(cipher, V::Load(powers + at));
    }
    Product product = sums.Fold();
    product.Add(kVectors == 0 ? _mm_xor_si128(lengths, hash) : lengths, LoadBlock(PowerAt(1)));
    return _mm_xor_si128(Reverse(product.Reduce()), mask);
  }

  template <bool kSeal>
  Block Crypt(const AeadNonce& nonce, Bytes additional, const std::uint8_t* in, std::size_t size,
              std::uint8_t* out) const {
    // The initial counter block, byte-reversed: the 32-bit counter is then the lowest lane.
    alignas(16) std::uint8_t octets[16];
    std::memcpy(octets, nonce.data(), 12);
    Store32(octets + 12, 1);
    const Block initial = Reverse(LoadBlock(octets));
    Vector counter = V::CountFrom(_mm_add_epi32(initial, _mm_set_epi32(0, 0, 0, 1)));
    const Block lengths = _mm_set_epi64x(static_cast<long long>(additional.size() * 8), static_cast<long long>(size * 8));
    Block hash = HashAdditional(additional);

    if constexpr (kSeal) {
      const std::uint8_t* pending = nullptr;
      if (size >= kChunkSize) {
        hash = Chunk<false>(&counter, in, out, nullptr, hash);
        pending = out;
        in += kChunkSize;
        out += kChunkSize;
        size -= kChunkSize;
      }
      while (size >= kChunkSize) {
        hash = Chunk<true>(&counter, in, out, pending, hash);
        pending = out;
        in += kChunkSize;
        out += kChunkSize;
        size -= kChunkSize;
      }
      if (pending != nullptr) hash = HashChunk(pending, hash);
    } else {
      while (size >= kChunkSize) {
        hash = Chunk<true>(&counter, in, out, in, hash);
        in += kChunkSize;
        out += kChunkSize;
        size -= kChunkSize;
      }
    }
    switch ((size + kVectorSize - 1) / kVectorSize) {
      case 0:
        return Tail<kSeal, 0>(counter, initial, in, out, size, hash, lengths);
      case 1:
        return Tail<kSeal, 1>(counter, initial, in, out, size, hash, lengths);
      case 2:
        return Tail<kSeal, 2>(counter, initial, in, out, size, hash, lengths);
      case 3:
        return Tail<kSeal, 3>(counter, initial, in, out, size, hash, lengths);
      case 4:
        return Tail<kSeal, 4>(counter, initial, in, out, size, hash, lengths);
      case 5:
        return Tail<kSeal, 5>(counter, initial, in, out, size, hash, lengths);
      case 6:
        return Tail<kSeal, 6>(counter, initial, in, out, size, hash, lengths);
      case 7:
        return Tail<kSeal, 7>(counter, initial, in, out, size, hash, lengths);
      default:
        return Tail<kSeal, 8>(counter, initial, in, out, size, hash, lengths);
    }
  }

  // In this order H^kChunk, where every chunk begins, is aligned like a vector.
  alignas(64) std::uint8_t padding_[48] = {};
  std::uint8_t powers_[(kChunk + 1 + V::kBlocks) * 16] = {};
  Block round_keys_[kRounds + 1];
};

template <class V>
class GcmBackend final : public AeadBackend {
 public:
  explicit GcmBackend(const char* name) : name_(name) {}
  const char* name() const override { return name_; }
  bool Supports(AeadAlgorithm algorithm) const override { return algorithm != AeadAlgorithm::kChaCha20Poly1305; }
  std::unique_ptr<AeadKey> MakeKey(AeadAlgorithm algorithm, AeadDirection, Bytes key) const override {
    if (algorithm == AeadAlgorithm::kAes128Gcm) return std::make_unique<GcmKey<V, 10>>(key.data());
    return std::make_unique<GcmKey<V, 14>>(key.data());
  }

 private:
  const char* name_;
};

}  // namespace
}  // namespace dtunnel

// NOLINTEND(bugprone-suspicious-include)
