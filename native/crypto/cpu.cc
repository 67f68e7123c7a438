#include "crypto/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace dtunnel {
namespace {

CpuFeatures Detect() {
  CpuFeatures features;
#if defined(__x86_64__)
  const auto bit = [](unsigned word, unsigned n) { return (word >> n & 1) != 0; };
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return features;
  features.aes = bit(c, 25) && bit(c, 1) && bit(c, 9) && bit(c, 19);
  unsigned state = 0;  // XCR0: which registers the kernel saves
  if (bit(c, 27)) {
    unsigned high = 0;
    __asm__ volatile("xgetbv" : "=a"(state), "=d"(high) : "c"(0));
  }
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return features;
  const bool saves_256 = (state & 0x06) == 0x06;
  const bool saves_512 = (state & 0xe6) == 0xe6;
  features.avx2 = saves_256 && bit(b, 5) && bit(b, 8);
  features.vaes = saves_256 && bit(c, 9) && bit(c, 10);
  features.avx512 = saves_512 && bit(b, 16) && bit(b, 30) && bit(b, 31);
#endif
  return features;
}

}  // namespace

const CpuFeatures& Cpu() {
  static const CpuFeatures features = Detect();
  return features;
}

}  // namespace dtunnel
