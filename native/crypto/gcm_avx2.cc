#include "crypto/cpu.h"
#include "crypto/gcm_backends.h"
#include "crypto/gcm_counters.h"

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

  static void Settle(T* v) { asm("" : "+x"(*v)); }
  static T Zero() { return _mm256_setzero_si256(); }
  static T Load(const std::uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const T*>(p)); }
  static void Store(std::uint8_t* p, T v) { _mm256_storeu_si256(reinterpret_cast<T*>(p), v); }
  static T LoadPart(const std::uint8_t* p, std::size_t size, bool reach_back) {
    if (size <= 16) return _mm256_zextsi128_si256(dtunnel::LoadPart(p, size, reach_back));
    const Block high = dtunnel::LoadPart(p + 16, size - 16, true);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(LoadBlock(p)), high, 1);
  }
  static void StorePart(std::uint8_t* p, T v, std::size_t size) {
    if (size <= 16) return dtunnel::StorePart(p, _mm256_castsi256_si128(v), size);
    StoreBlock(p, _mm256_castsi256_si128(v));
    dtunnel::StorePart(p + 16, _mm256_extracti128_si256(v, 1), size - 16);
  }
  static void StoreBeforeTag(std::uint8_t* p, T v, std::size_t size) {
    if (size > 16) return Store(p, v);
    StoreBlock(p, _mm256_castsi256_si128(v));
  }
  static T ClearBehind(T v, std::size_t size) { return _mm256_and_si256(v, Load(kKeep + 32 - size)); }
  static T SwapHalves(T v) { return _mm256_shuffle_epi32(v, 0x4e); }
  static T Xor(T a, T b) { return _mm256_xor_si256(a, b); }
  static T Broadcast(Block b) { return _mm256_broadcastsi128_si256(b); }
  static T FromBlock(Block b) { return _mm256_zextsi128_si256(b); }
  static T Reverse(T v) { return _mm256_shuffle_epi8(v, Broadcast(ByteReverseMask())); }
  static T AesRound(T v, T key) { return _mm256_aesenc_epi128(v, key); }
  static T AesLast(T v, T key) { return _mm256_aesenclast_epi128(v, key); }
  template <int kHalves>
  static T Clmul(T a, T b) {
    return _mm256_clmulepi64_epi128(a, b, kHalves);
  }
  static T CountFrom(std::uint32_t first) {
    return _mm256_add_epi32(Broadcast(_mm_cvtsi32_si128(static_cast<int>(first))),
                            _mm256_set_epi32(0, 0, 0, 1, 0, 0, 0, 0));
  }
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
