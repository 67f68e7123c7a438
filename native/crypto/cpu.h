// What the processor and the kernel's context switch support, for choosing code at run time.
#pragma once

namespace dtunnel {

struct CpuFeatures {
  bool aes = false;     // AES-NI, PCLMULQDQ, SSSE3, SSE4.1
  bool avx2 = false;    // and BMI2
  bool vaes = false;    // VAES and VPCLMULQDQ
  bool avx512 = false;  // F, BW, VL
};

// All false on other architectures. From CPUID and XGETBV, since compilers know different names of features.
const CpuFeatures& Cpu();

}  // namespace dtunnel
