// Nanoseconds per record of every AEAD back end that this machine can run, sealing and opening, by size.
//   make -C native/test bench && native/test/build/bench/aead_bench
#include <algorithm>
#include <cstdio>
#include <vector>

#include "crypto/aead.h"
#include "os/clock.h"

namespace {

using namespace dtunnel;

// The best of several runs: what the code costs when nothing else has the processor.
template <typename Body>
double BestNs(Body&& body) {
  double best = 1e9;
  for (int run = 0; run < 15; ++run) {
    constexpr int kRounds = 2000;
    const std::uint64_t start = NowNs();
    for (int i = 0; i < kRounds; ++i) body();
    best = std::min(best, static_cast<double>(NowNs() - start) / kRounds);
  }
  return best;
}

void Measure(const AeadBackend& backend, AeadAlgorithm algorithm, const char* name) {
  const std::vector<std::uint8_t> key(AeadKeySize(algorithm), 7);
  const auto seal = backend.MakeKey(algorithm, AeadDirection::kSeal, key);
  const auto open = backend.MakeKey(algorithm, AeadDirection::kOpen, key);
  const AeadNonce nonce{1, 2, 3};
  const std::vector<std::uint8_t> additional(13, 3);
  std::printf("%-8s %-18s", backend.name(), name);
  for (const std::size_t size : {64u, 256u, 576u, 1400u, 8900u}) {
    std::vector<std::uint8_t> plain(size, 5);
    std::vector<std::uint8_t> sealed(size + kAeadTagSize);
    const double s = BestNs([&] { seal->Seal(nonce, additional, plain.data(), size, sealed.data()); });
    const double o = BestNs([&] { open->Open(nonce, additional, sealed.data(), size, plain.data()); });
    std::printf("  %6.0f %6.0f", s, o);
  }
  std::printf("\n");
}

}  // namespace

int main() {
  std::printf("ns per record    size:           64 seal/open    256             576            1400            8900\n");
  for (const AeadBackend* backend : AllAeadBackends()) {
    if (backend->Supports(AeadAlgorithm::kAes128Gcm)) Measure(*backend, AeadAlgorithm::kAes128Gcm, "aes-128-gcm");
    if (backend->Supports(AeadAlgorithm::kAes256Gcm)) Measure(*backend, AeadAlgorithm::kAes256Gcm, "aes-256-gcm");
    if (backend->Supports(AeadAlgorithm::kChaCha20Poly1305)) {
      Measure(*backend, AeadAlgorithm::kChaCha20Poly1305, "chacha20-poly1305");
    }
  }
}
