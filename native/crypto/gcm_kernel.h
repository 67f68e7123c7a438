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
// A record is short: what is done once for it counts as much as the chunks. So nothing is written to memory to be read
// again in another width, which a processor cannot forward and waits for (it made a record of 64 octets cost three
// times as much), and the first round's addition of key, nonce and counter is one with a table of counters.
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

// Behind `kMoveDown + 16 - n`: the shuffle that moves the last n octets of a block to its front and zeros behind them.
alignas(16) constexpr std::uint8_t kMoveDown[32] = {
    0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};
// Behind `kKeep + 32 - n`: n octets of ones, zeros behind them.
alignas(32) constexpr std::uint8_t kKeep[64] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

// 1 … 16 octets with zeros behind them. `reach_back`: the octets before them may be read as well, 16 in all.
inline Block LoadPart(const std::uint8_t* p, std::size_t size, bool reach_back) {
  if (reach_back) return _mm_shuffle_epi8(LoadBlock(p + size - 16), LoadBlock(kMoveDown + 16 - size));
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  if (size >= 8) {
    std::memcpy(&low, p, 8);
    std::memcpy(&high, p + size - 8, 8);
    high = size == 8 ? 0 : high >> (128 - 8 * size);
  } else {
    std::memcpy(&low, p, size);
  }
  return _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low));
}

// The first 1 … 16 octets of a block, and not one more.
inline void StorePart(std::uint8_t* p, Block b, std::size_t size) {
  if (size == 16) return StoreBlock(p, b);
  if ((size & 8) != 0) {
    _mm_storel_epi64(reinterpret_cast<Block*>(p), b);
    b = _mm_srli_si128(b, 8);
    p += 8;
  }
  std::uint64_t rest = static_cast<std::uint64_t>(_mm_cvtsi128_si64(b));
  for (const std::size_t step : {4u, 2u, 1u}) {
    if ((size & step) == 0) continue;
    std::memcpy(p, &rest, step);
    rest >>= 8 * step;
    p += step;
  }
}

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
      StoreBlock(PowerAt(n) + kTableSize, _mm_xor_si128(power, SwapHalves(power)));
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

  static constexpr std::size_t kTableSize = (kChunk + 1 + V::kBlocks + 3) / 4 * 64;

  // Sums of products, lane by lane.
  struct Sums {
    Sums() : low(V::Zero()), middle(V::Zero()), high(V::Zero()) {}
    Vector low;
    Vector middle;
    Vector high;

    // Adds the product of `a` and the powers that lie at `powers`.
    void Add(Vector a, const std::uint8_t* powers) {
      const Vector b = V::Load(powers);
      low = V::Xor(low, V::template Clmul<0x00>(a, b));
      high = V::Xor(high, V::template Clmul<0x11>(a, b));
      // Karatsuba's way: the product of the sums of the halves is all three terms at once.
      middle = V::Xor(middle, V::template Clmul<0x00>(V::Xor(a, V::SwapHalves(a)), V::Load(powers + kTableSize)));
      // The compiler would put all additions off to the end, with every product waiting on the stack.
      V::Settle(&low);
      V::Settle(&middle);
      V::Settle(&high);
    }
    Product Fold() const {
      Product product{V::Fold(low), V::Fold(middle), V::Fold(high)};
      product.middle = _mm_xor_si128(product.middle, _mm_xor_si128(product.low, product.high));
      return product;
    }
  };

  // Powers lie in descending order, so that the blocks of a run meet theirs by loading forwards; behind H^1 are zeros
  // for the lanes of a last vector that hold no block. kTableSize behind a power is the sum of its halves.
  std::uint8_t* PowerAt(int n) { return powers_ + static_cast<std::ptrdiff_t>(kChunk + 1 - n) * 16; }
  const std::uint8_t* PowerAt(int n) const { return powers_ + static_cast<std::ptrdiff_t>(kChunk + 1 - n) * 16; }

  Block EncryptBlock(Block b) const {
    b = _mm_xor_si128(b, round_keys_[0]);
    for (int r = 1; r < kRounds; ++r) b = _mm_aesenc_si128(b, round_keys_[r]);
    return _mm_aesenclast_si128(b, round_keys_[kRounds]);
  }

  [[gnu::always_inline]] inline Block HashAdditional(Bytes data) const {
    Block hash = _mm_setzero_si128();
    std::size_t at = 0;
    while (at < data.size()) {
      const std::size_t left = (data.size() - at + 15) / 16;
      const int blocks = static_cast<int>(left < kChunk ? left : kChunk);
      Product product;
      for (int n = blocks; n > 0; --n, at += 16) {
        const std::size_t rest = data.size() - at;
        const Block text = rest >= 16 ? LoadBlock(&data[at]) : LoadPart(&data[at], rest, at != 0);
        const Block block = _mm_xor_si128(Reverse(text), hash);
        hash = _mm_setzero_si128();
        product.Add(block, LoadBlock(PowerAt(n)));
      }
      hash = product.Reduce();
    }
    return hash;
  }

  // Adds the vector at `data`, number i of a chunk.
  void HashVector(const std::uint8_t* data, int i, Block hash, Sums* sums) const {
    Vector text = V::Reverse(V::Load(data + static_cast<std::size_t>(i) * kVectorSize));
    if (i == 0) text = V::Xor(text, V::FromBlock(hash));
    sums->Add(text, PowerAt(kChunk - i * V::kBlocks));
  }

  // What stands before the first block of a record's text.
  struct Start {
    Vector base;    // nonce and first round key: with the counter added, the state after the first addition
    Block mask;     // the same for the tag's block, whose counter is 1
    Block lengths;  // NIST SP 800-38D §7.1 step 5
  };

  [[gnu::always_inline]] inline Start Begin(const AeadNonce& nonce, std::size_t additional, std::size_t size) const {
    // In the widths in which the nonce was written: four octets of salt, eight of record number (RFC 5288 §3).
    std::int32_t salt;
    std::int64_t number;
    std::memcpy(&salt, nonce.data(), sizeof salt);
    std::memcpy(&number, nonce.data() + sizeof salt, sizeof number);
    const Block block = _mm_or_si128(_mm_cvtsi32_si128(salt), _mm_slli_si128(_mm_cvtsi64_si128(number), 4));
    const Block base = _mm_xor_si128(block, round_keys_[0]);
    return Start{V::Broadcast(base), _mm_xor_si128(base, _mm_set_epi32(0x01000000, 0, 0, 0)),
                 _mm_set_epi64x(static_cast<long long>(additional * 8), static_cast<long long>(size * 8))};
  }

  // The states of kVectors vectors, the first of which begins with block number `block`, after the first addition.
  template <int kVectors>
  [[gnu::always_inline]] static inline void FirstRound(const Start& start, std::size_t block, Vector* state) {
    if (block + kChunk <= kGcmCounters) [[likely]] {
      const std::uint8_t* counters = &kGcmCounterBlocks.octets[block * 16];
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; ++i) {
        state[i] = V::Xor(start.base, V::Load(counters + static_cast<std::size_t>(i) * kVectorSize));
      }
    } else {
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; ++i) {
        const auto counter = static_cast<std::uint32_t>(block) + 2 + static_cast<std::uint32_t>(i * V::kBlocks);
        state[i] = V::Xor(start.base, V::Reverse(V::CountFrom(counter)));
      }
    }
  }

  // Encrypts the chunk at `in`, which begins with `block`, to `out`; beside it hashes the chunk at `hashed`, if kHash.
  template <bool kHash>
  [[gnu::always_inline]] inline Block Chunk(const Start& start, std::size_t block, const std::uint8_t* in,
                                            std::uint8_t* out, const std::uint8_t* hashed, Block hash) const {
    Vector state[kInFlight];
    FirstRound<kInFlight>(start, block, state);
    Sums sums;
#pragma GCC unroll 16
    for (int r = 1; r < kRounds; ++r) {
      const Vector key = V::Broadcast(round_keys_[r]);
#pragma GCC unroll 8
      for (int i = 0; i < kInFlight; ++i) state[i] = V::AesRound(state[i], key);
      if (kHash && r <= kInFlight) HashVector(hashed, r - 1, hash, &sums);
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

  // What is left of a text behind its chunks.
  struct Rest {
    std::size_t block;            // the first one's number
    const std::uint8_t* in;       // `size` < kChunkSize octets
    std::uint8_t* out;
    std::size_t size;
    const std::uint8_t* pending;  // sealing: the chunk before it, not hashed yet
    bool reach_back;              // the 16 octets up to the end of `in` are all of the text
  };

  // Encrypts and hashes the rest, in kVectors vectors; beside it hashes the chunk before, if kPending. Returns the tag.
  template <bool kSeal, bool kPending, int kVectors>
  [[gnu::always_inline]] inline Block Finish(const Start& start, const Rest& rest, Block hash) const {
    Vector state[kVectors == 0 ? 1 : kVectors];
    FirstRound<kVectors>(start, rest.block, state);
    Block mask = start.mask;
    constexpr std::size_t kLastAt = kVectors == 0 ? 0 : static_cast<std::size_t>(kVectors - 1) * kVectorSize;
    Vector last_text = V::Zero();
    if constexpr (kVectors != 0) last_text = V::LoadPart(rest.in + kLastAt, rest.size - kLastAt, rest.reach_back);

    // The length block takes H^1, the blocks before it their powers.
    const std::uint8_t* powers = PowerAt(static_cast<int>((rest.size + 15) / 16) + 1);
    Sums sums;
    const auto add = [&](Vector cipher, int i) {
      cipher = V::Reverse(cipher);
      if (i == 0) cipher = V::Xor(cipher, V::FromBlock(hash));
      sums.Add(cipher, powers + static_cast<std::size_t>(i) * kVectorSize);
    };
#pragma GCC unroll 16
    for (int r = 1; r < kRounds; ++r) {
      const Vector key = V::Broadcast(round_keys_[r]);
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; ++i) state[i] = V::AesRound(state[i], key);
      mask = _mm_aesenc_si128(mask, round_keys_[r]);
      const int i = r - 1;
      if (kPending && i < kInFlight) HashVector(rest.pending, i, hash, &sums);
      if (!kSeal && i + 1 < kVectors) add(V::Load(rest.in + static_cast<std::size_t>(i) * kVectorSize), i);
      if (!kSeal && i + 1 == kVectors) add(last_text, i);
    }
    mask = _mm_aesenclast_si128(mask, round_keys_[kRounds]);
    if constexpr (kPending) {
      hash = sums.Fold().Reduce();
      sums = Sums();
    }

    const Vector last_key = V::Broadcast(round_keys_[kRounds]);
#pragma GCC unroll 8
    for (int i = 0; i + 1 < kVectors; ++i) {
      const std::size_t at = static_cast<std::size_t>(i) * kVectorSize;
      const Vector result = V::AesLast(state[i], V::Xor(last_key, V::Load(rest.in + at)));
      V::Store(rest.out + at, result);
      if (kSeal) add(result, i);
    }
    if constexpr (kVectors != 0) {
      const std::size_t left = rest.size - kLastAt;
      const Vector result = V::AesLast(state[kVectors - 1], V::Xor(last_key, last_text));
      if constexpr (kSeal) {
        V::StoreBeforeTag(rest.out + kLastAt, result, left);
        add(V::ClearBehind(result, left), kVectors - 1);
      } else {
        V::StorePart(rest.out + kLastAt, result, left);
      }
    }
    Product product = sums.Fold();
    product.Add(kVectors == 0 ? _mm_xor_si128(start.lengths, hash) : start.lengths, LoadBlock(PowerAt(1)));
    return _mm_xor_si128(Reverse(product.Reduce()), mask);
  }

  template <bool kSeal, bool kPending>
  [[gnu::always_inline]] inline Block FinishAny(const Start& start, const Rest& rest, Block hash) const {
    switch ((rest.size + kVectorSize - 1) / kVectorSize) {
      case 0:
        return Finish<kSeal, kPending, 0>(start, rest, hash);
      case 1:
        return Finish<kSeal, kPending, 1>(start, rest, hash);
      case 2:
        return Finish<kSeal, kPending, 2>(start, rest, hash);
      case 3:
        return Finish<kSeal, kPending, 3>(start, rest, hash);
      case 4:
        return Finish<kSeal, kPending, 4>(start, rest, hash);
      case 5:
        return Finish<kSeal, kPending, 5>(start, rest, hash);
      case 6:
        return Finish<kSeal, kPending, 6>(start, rest, hash);
      case 7:
        return Finish<kSeal, kPending, 7>(start, rest, hash);
      default:
        return Finish<kSeal, kPending, 8>(start, rest, hash);
    }
  }

  // Encrypts `in` to `out`, or back; returns the tag.
  template <bool kSeal>
  Block Crypt(const AeadNonce& nonce, Bytes additional, const std::uint8_t* in, std::size_t size,
              std::uint8_t* out) const {
    const Start start = Begin(nonce, additional.size(), size);
    Block hash = HashAdditional(additional);
    Rest rest{0, in, out, size, nullptr, size >= 16};
    const auto advance = [&rest] {
      rest.block += kChunk;
      rest.in += kChunkSize;
      rest.out += kChunkSize;
      rest.size -= kChunkSize;
    };
    if constexpr (kSeal) {
      if (size < kChunkSize) return FinishAny<true, false>(start, rest, hash);
      Chunk<false>(start, rest.block, rest.in, rest.out, nullptr, hash);
      rest.pending = rest.out;
      advance();
      while (rest.size >= kChunkSize) {
        hash = Chunk<true>(start, rest.block, rest.in, rest.out, rest.pending, hash);
        rest.pending = rest.out;
        advance();
      }
      return FinishAny<true, true>(start, rest, hash);
    } else {
      while (rest.size >= kChunkSize) {
        hash = Chunk<true>(start, rest.block, rest.in, rest.out, rest.in, hash);
        advance();
      }
      return FinishAny<false, false>(start, rest, hash);
    }
  }

  // In this order H^kChunk, where every chunk begins, is aligned like a vector.
  alignas(64) std::uint8_t padding_[48] = {};
  std::uint8_t powers_[kTableSize * 2] = {};
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
