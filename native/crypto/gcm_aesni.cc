#include "crypto/cpu.h"
#include "crypto/gcm_backends.h"
#include "crypto/gcm_counters.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("aes,pclmul,sse4.1,ssse3"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("aes,pclmul,sse4.1,ssse3")
#endif

#include "crypto/gcm_kernel.h"

namespace dtunnel {
namespace {

struct Aesni {
  using T = __m128i;
  static constexpr int kBlocks = 1;

  static void Settle(T* v) { asm("" : "+x"(*v)); }
  static T Zero() { return _mm_setzero_si128(); }
  static T Load(const std::uint8_t* p) { return LoadBlock(p); }
  static void Store(std::uint8_t* p, T v) { StoreBlock(p, v); }
  static T LoadPart(const std::uint8_t* p, std::size_t size, bool reach_back) {
    return dtunnel::LoadPart(p, size, reach_back);
  }
  static void StorePart(std::uint8_t* p, T v, std::size_t size) { dtunnel::StorePart(p, v, size); }
  static void StoreBeforeTag(std::uint8_t* p, T v, std::size_t) { StoreBlock(p, v); }
  static T ClearBehind(T v, std::size_t size) { return _mm_and_si128(v, LoadBlock(kKeep + 32 - size)); }
  static T SwapHalves(T v) { return dtunnel::SwapHalves(v); }
  static T Xor(T a, T b) { return _mm_xor_si128(a, b); }
  static T Broadcast(Block b) { return b; }
  static T FromBlock(Block b) { return b; }
  static T Reverse(T v) { return _mm_shuffle_epi8(v, ByteReverseMask()); }
  static T AesRound(T v, T key) { return _mm_aesenc_si128(v, key); }
  static T AesLast(T v, T key) { return _mm_aesenclast_si128(v, key); }
  template <int kHalves>
  static T Clmul(T a, T b) {
    return _mm_clmulepi64_si128(a, b, kHalves);
  }
  static T CountFrom(std::uint32_t first) { return _mm_cvtsi32_si128(static_cast<int>(first)); }
  static Block Fold(T v) { return v; }
};

}  // namespace
}  // namespace dtunnel

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace dtunnel {

const AeadBackend* AesniGcm() {
  static const GcmBackend<Aesni> backend("aesni");
  const CpuFeatures& cpu = Cpu();
  return cpu.aes ? &backend : nullptr;
}

}  // namespace dtunnel

#else

namespace dtunnel {
const AeadBackend* AesniGcm() { return nullptr; }
}  // namespace dtunnel

#endif
