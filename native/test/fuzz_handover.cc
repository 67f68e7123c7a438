// Fuzzes the reader of handover documents behind the digest, which no fuzzer gets past: what is accepted must be what
// would be written, and restore.
#include <algorithm>
#include <cstring>
#include <vector>

#include "plane/handover.h"
#include "test/handovers.h"

namespace {

constexpr std::size_t kDigest = 32;

// A document to start from: nothing shorter leads anywhere.
std::vector<std::uint8_t> Example(unsigned seed) {
  using namespace dtunnel;
  test::Random random(seed);
  std::vector<std::vector<std::uint8_t>> memory;
  memory.reserve(1000);
  const Handover handover = test::RandomHandover(&random, 1, &memory);
  std::vector<std::uint8_t> document(HandoverSize(handover));
  if (!WriteHandover(handover, document)) __builtin_trap();
  return document;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  if (size > 64) return LLVMFuzzerMutate(data, size, max_size);
  const std::vector<std::uint8_t> example = Example(seed);
  if (example.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, example.data(), example.size());
  return example.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace dtunnel;
  Result<Handover> read = ReadHandoverUnchecked(Bytes(data, size));
  if (!read) return 0;
  std::vector<std::uint8_t> again(HandoverSize(read.value()));
  if (again.size() != size || !WriteHandover(read.value(), again)) __builtin_trap();
  if (!std::equal(again.begin(), again.end() - kDigest, data)) __builtin_trap();
  for (const HandoverSession& session : read.value().sessions) {
    ReplayWindow restored;
    if (!restored.Restore(session.window) || restored.Save() != session.window) __builtin_trap();
  }
  return 0;
}
