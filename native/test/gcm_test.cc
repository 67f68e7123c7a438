// The AES-GCM kernel over vectors of four blocks made of single ones: what the 512-bit back end instantiates, on
// processors without its instructions.
#if defined(__x86_64__)

#include "crypto/cpu.h"
#include "crypto/gcm_backends.h"
#include "crypto/gcm_counters.h"
#include "test/aead_agreement.h"

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

struct FourBlocks {
  struct T {
    Block lane[4];
  };
  static constexpr int kBlocks = 4;

  template <class Function>
  static T Each(Function&& of) {
    T all;
    for (int i = 0; i < 4; ++i) all.lane[i] = of(i);
    return all;
  }
  static void Settle(T*) {}
  static T Zero() { return Broadcast(_mm_setzero_si128()); }
  static T Load(const std::uint8_t* p) {
    return Each([p](int i) { return LoadBlock(p + 16 * i); });
  }
  static void Store(std::uint8_t* p, T v) { std::memcpy(p, &v, sizeof v); }
  static T LoadPart(const std::uint8_t* p, std::size_t size, bool) {
    T v = Zero();
    std::memcpy(&v, p, size);
    return v;
  }
  static void StorePart(std::uint8_t* p, T v, std::size_t size) { std::memcpy(p, &v, size); }
  static void StoreBeforeTag(std::uint8_t* p, T v, std::size_t size) { StorePart(p, v, size); }
  static T ClearBehind(T v, std::size_t size) {
    std::memset(reinterpret_cast<std::uint8_t*>(&v) + size, 0, sizeof v - size);
    return v;
  }
  static T SwapHalves(T v) {
    return Each([&v](int i) { return dtunnel::SwapHalves(v.lane[i]); });
  }
  static T Xor(T a, T b) {
    return Each([&](int i) { return _mm_xor_si128(a.lane[i], b.lane[i]); });
  }
  static T Broadcast(Block b) {
    return Each([b](int) { return b; });
  }
  static T FromBlock(Block b) {
    T v = Zero();
    v.lane[0] = b;
    return v;
  }
  static T Reverse(T v) {
    return Each([&v](int i) { return dtunnel::Reverse(v.lane[i]); });
  }
  static T AesRound(T v, T key) {
    return Each([&](int i) { return _mm_aesenc_si128(v.lane[i], key.lane[i]); });
  }
  static T AesLast(T v, T key) {
    return Each([&](int i) { return _mm_aesenclast_si128(v.lane[i], key.lane[i]); });
  }
  template <int kHalves>
  static T Clmul(T a, T b) {
    return Each([&](int i) { return _mm_clmulepi64_si128(a.lane[i], b.lane[i], kHalves); });
  }
  static T CountFrom(std::uint32_t first) {
    return Each([first](int i) { return _mm_cvtsi32_si128(static_cast<int>(first) + i); });
  }
  static Block Fold(T v) {
    return _mm_xor_si128(_mm_xor_si128(v.lane[0], v.lane[1]), _mm_xor_si128(v.lane[2], v.lane[3]));
  }
};

}  // namespace
}  // namespace dtunnel

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace dtunnel::test {
namespace {

const Test kFourBlocks{"the AES-GCM kernel agrees with OpenSSL over vectors of four blocks", [] {
  if (!Cpu().aes) {
    std::printf("  not run: this processor has no AES instructions\n");
    return;
  }
  Random random(34);
  const GcmBackend<FourBlocks> backend("four blocks");
  for (const AeadAlgorithm algorithm : {AeadAlgorithm::kAes128Gcm, AeadAlgorithm::kAes256Gcm}) {
    Expect(AeadSelfTest(backend, algorithm), backend.name());
    ExpectAgreement(backend, algorithm, &random);
  }
}};

}  // namespace
}  // namespace dtunnel::test

#endif
