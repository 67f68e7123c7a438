#include "packet/checksum.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace dtunnel {
namespace {

// Words of 32 bits added into 64: 2^32 of them fit, and folding takes the carries back (RFC 1071 §2 (B), (C)).
std::uint64_t AddPortable(const std::uint8_t* data, std::size_t size, std::uint64_t sum) {
  while (size >= 16) {
    std::uint32_t w[4];
    std::memcpy(w, data, 16);
    sum += static_cast<std::uint64_t>(w[0]) + w[1] + w[2] + w[3];
    data += 16;
    size -= 16;
  }
  while (size >= 4) {
    std::uint32_t w = 0;
    std::memcpy(&w, data, 4);
    sum += w;
    data += 4;
    size -= 4;
  }
  if (size >= 2) {
    std::uint16_t w = 0;
    std::memcpy(&w, data, 2);
    sum += w;
    data += 2;
    size -= 2;
  }
  if (size != 0) {
    const std::uint8_t last[2] = {*data, 0};
    std::uint16_t w = 0;
    std::memcpy(&w, last, 2);
    sum += w;
  }
  return sum;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) std::uint64_t AddAvx2(const std::uint8_t* data, std::size_t size, std::uint64_t sum) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i a = zero;
  __m256i b = zero;
  while (size >= 64) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data));
    const __m256i y = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data + 32));
    a = _mm256_add_epi64(a, _mm256_add_epi64(_mm256_unpacklo_epi32(x, zero), _mm256_unpackhi_epi32(x, zero)));
    b = _mm256_add_epi64(b, _mm256_add_epi64(_mm256_unpacklo_epi32(y, zero), _mm256_unpackhi_epi32(y, zero)));
    data += 64;
    size -= 64;
  }
  alignas(32) std::uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), _mm256_add_epi64(a, b));
  return AddPortable(data, size, sum + lanes[0] + lanes[1] + lanes[2] + lanes[3]);
}

const bool kHasAvx2 = __builtin_cpu_supports("avx2") != 0;
#endif

}  // namespace

std::uint64_t AddChecksum(const std::uint8_t* data, std::size_t size, std::uint64_t sum) {
#if defined(__x86_64__)
  if (size >= 128 && kHasAvx2) return AddAvx2(data, size, sum);
#endif
  return AddPortable(data, size, sum);
}

std::uint64_t PseudoHeaderSum(const std::uint8_t* ip, std::uint8_t protocol, std::uint32_t length) {
  const std::uint64_t addresses = ip[0] >> 4 == 6 ? AddPortable(ip + 8, 32, 0) : AddPortable(ip + 12, 8, 0);
  return addresses + ChecksumOf16(static_cast<std::uint16_t>(length >> 16)) +
         ChecksumOf16(static_cast<std::uint16_t>(length)) + ChecksumOf16(protocol);
}

void RefreshIpv4Checksum(std::uint8_t* ip) {
  ip[10] = 0;
  ip[11] = 0;
  StoreChecksum(AddPortable(ip, static_cast<std::size_t>(ip[0] & 15) * 4, 0), ip + 10);
}

}  // namespace dtunnel
