#include "crypto/cpu.h"
#include "crypto/gcm_backends.h"
#include "crypto/gcm_counters.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

// GCC 12's own headers start some intrinsics from an undefined register, and it warns of that.
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("aes,pclmul,sse4.1,ssse3,avx2,avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("aes,pclmul,sse4.1,ssse3,avx2,avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,bmi2")
#endif

#include "crypto/gcm_kernel.h"

namespace dtunnel {
namespace {

struct Avx512 {
  using T = __m512i;
  static constexpr int kBlocks = 4;

  static void Settle(T* v) { asm("" : "+v"(*v)); }
  static T Zero() { return _mm512_setzero_si512(); }
  static T Load(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
  static void Store(std::uint8_t* p, T v) { _mm512_storeu_si512(p, v); }
  static __mmask64 Mask(std::size_t size) { return _bzhi_u64(~0ull, static_cast<unsigned>(size)); }
  static T LoadPart(const std::uint8_t* p, std::size_t size, bool) { return _mm512_maskz_loadu_epi8(Mask(size), p); }
  static void StorePart(std::uint8_t* p, T v, std::size_t size) { _mm512_mask_storeu_epi8(p, Mask(size), v); }
  static void StoreBeforeTag(std::uint8_t* p, T v, std::size_t size) { StorePart(p, v, size); }
  static T ClearBehind(T v, std::size_t size) { return _mm512_maskz_mov_epi8(Mask(size), v); }
  static T Xor(T a, T b) { return _mm512_xor_si512(a, b); }
  static T Broadcast(Block b) { return _mm512_broadcast_i32x4(b); }
  static T FromBlock(Block b) { return _mm512_zextsi128_si512(b); }
  static T Reverse(T v) { return _mm512_shuffle_epi8(v, Broadcast(ByteReverseMask())); }
  static T SwapHalves(T v) { return _mm512_shuffle_epi32(v, _MM_PERM_BADC); }
  static T AesRound(T v, T key) { return _mm512_aesenc_epi128(v, key); }
  static T AesLast(T v, T key) { return _mm512_aesenclast_epi128(v, key); }
  template <int kHalves>
  static T Clmul(T a, T b) {
    return _mm512_clmulepi64_epi128(a, b, kHalves);
  }
  static T CountFrom(std::uint32_t first) {
    return _mm512_add_epi32(Broadcast(_mm_cvtsi32_si128(static_cast<int>(first))),
                            _mm512_set_epi32(0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0));
  }
  static Block Fold(T v) {
    const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  }
};

}  // namespace
}  // namespace dtunnel

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace dtunnel {

const AeadBackend* Avx512Gcm() {
  static const GcmBackend<Avx512> backend("avx512");
  const CpuFeatures& cpu = Cpu();
  return cpu.aes && cpu.avx2 && cpu.vaes && cpu.avx512 ? &backend : nullptr;
}

}  // namespace dtunnel

#else

namespace dtunnel {
const AeadBackend* Avx512Gcm() { return nullptr; }
}  // namespace dtunnel

#endif
