#include "crypto/cpu.h"
#include "crypto/gcm_backends.h"

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

  static T Zero() { return _mm_setzero_si128(); }
  static T Load(const std::uint8_t* p) { return LoadBlock(p); }
  static void Store(std::uint8_t* p, T v) { StoreBlock(p, v); }
  static T LoadPart(const std::uint8_t* p, std::size_t size) {
    alignas(16) std::uint8_t padded[16] = {};
    std::memcpy(padded, p, size);
    return Load(padded);
  }
  static void StorePart(std::uint8_t* p, T v, std::size_t size) {
    alignas(16) std::uint8_t whole[16];
    Store(whole, v);
    std::memcpy(p, whole, size);
  }
  static T ClearBehind(T v, std::size_t size) {
    alignas(16) std::uint8_t whole[16];
    Store(whole, v);
    return LoadPart(whole, size);
  }
  static T Xor(T a, T b) { return _mm_xor_si128(a, b); }
  static T Xor3(T a, T b, T c) { return Xor(a, Xor(b, c)); }
  static T Add32(T a, T b) { return _mm_add_epi32(a, b); }
  static T Broadcast(Block b) { return b; }
  static T FromBlock(Block b) { return b; }
  static T Reverse(T v) { return _mm_shuffle_epi8(v, ByteReverseMask()); }
  static T AesRound(T v, T key) { return _mm_aesenc_si128(v, key); }
  static T AesLast(T v, T key) { return _mm_aesenclast_si128(v, key); }
  template <int kHalves>
  static T Clmul(T a, T b) {
    return _mm_clmulepi64_si128(a, b, kHalves);
  }
  static T CountFrom(Block b) { return b; }
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
