#include "crypto/cpu.h"
#include "crypto/gcm_backends.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("aes,pclmul,sse4.1,ssse3,avx2,vaes,vpclmulqdq"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("aes,pclmul,sse4.1,ssse3,avx2,vaes,vpclmulqdq")
#endif

#include "crypto/gcm_kernel.h"

namespace dtunnel {
namespace {

struct Avx2 {
  using T = __m256i;
  static constexpr int kBlocks = 2;

  static T Zero() { return _mm256_setzero_si256(); }
  static T Load(const std::uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const T*>(p)); }
  static void Store(std::uint8_t* p, T v) { _mm256_storeu_si256(reinterpret_cast<T*>(p), v); }
  static T LoadPart(const std::uint8_t* p, std::size_t size) {
    alignas(32) std::uint8_t padded[32] = {};
    std::memcpy(padded, p, size);
    return Load(padded);
  }
  static void StorePart(std::uint8_t* p, T v, std::size_t size) {
    alignas(32) std::uint8_t whole[32];
    Store(whole, v);
    std::memcpy(p, whole, size);
  }
  static T ClearBehind(T v, std::size_t size) {
    alignas(32) std::uint8_t whole[32];
    Store(whole, v);
    return LoadPart(whole, size);
  }
  static T Xor(T a, T b) { return _mm256_xor_si256(a, b); }
  static T Xor3(T a, T b, T c) { return Xor(a, Xor(b, c)); }
  static T Add32(T a, T b) { return _mm256_add_epi32(a, b); }
  static T Broadcast(Block b) { return _mm256_broadcastsi128_si256(b); }
  static T FromBlock(Block b) { return _mm256_zextsi128_si256(b); }
  static T Reverse(T v) { return _mm256_shuffle_epi8(v, Broadcast(ByteReverseMask())); }
  static T AesRound(T v, T key) { return _mm256_aesenc_epi128(v, key); }
  static T AesLast(T v, T key) { return _mm256_aesenclast_epi128(v, key); }
  template <int kHalves>
  static T Clmul(T a, T b) {
    return _mm256_clmulepi64_epi128(a, b, kHalves);
  }
  static T CountFrom(Block b) { return _mm256_add_epi32(Broadcast(b), _mm256_set_epi32(0, 0, 0, 1, 0, 0, 0, 0)); }
  static Block Fold(T v) { return _mm_xor_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)); }
};

}  // namespace
}  // namespace dtunnel

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace dtunnel {

const AeadBackend* Avx2Gcm() {
  static const GcmBackend<Avx2> backend("avx2");
  const CpuFeatures& cpu = Cpu();
  return cpu.aes && cpu.avx2 && cpu.vaes ? &backend : nullptr;
}

}  // namespace dtunnel

#else

namespace dtunnel {
const AeadBackend* Avx2Gcm() { return nullptr; }
}  // namespace dtunnel

#endif
