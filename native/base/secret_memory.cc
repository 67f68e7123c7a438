#include "base/secret_memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "base/check.h"

namespace dtunnel {
namespace {

constexpr std::size_t kRegion = std::size_t{256} * 1024;
constexpr std::size_t kGrain = 64;

// Regions are kept for the life of the process and their blocks reused by size: sessions come and go all day.
class Pool {
 public:
  void* Allocate(std::size_t size) {
    const std::lock_guard<std::mutex> hold(mutex_);
    in_use_ += size;
    std::vector<void*>& spare = free_[size];
    if (!spare.empty()) {
      void* memory = spare.back();
      spare.pop_back();
      return memory;
    }
    if (left_ < size) NewRegion(size);
    std::uint8_t* memory = next_;
    next_ += size;
    left_ -= size;
    return memory;
  }

  void Free(void* memory, std::size_t size) {
    const std::lock_guard<std::mutex> hold(mutex_);
    in_use_ -= size;
    free_[size].push_back(memory);
  }

  std::size_t in_use() {
    const std::lock_guard<std::mutex> hold(mutex_);
    return in_use_;
  }

 private:
  void NewRegion(std::size_t at_least) {
    const std::size_t size = at_least > kRegion ? (at_least + 4095) & ~std::size_t{4095} : kRegion;
    void* region = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    Check(region != MAP_FAILED, "memory for keys");
    // Each is best effort: RLIMIT_MEMLOCK may be small in containers, and the rest still protects.
    [[maybe_unused]] const int locked = ::mlock(region, size);
    [[maybe_unused]] const int undumped = ::madvise(region, size, MADV_DONTDUMP);
    [[maybe_unused]] const int wiped = ::madvise(region, size, MADV_WIPEONFORK);
    next_ = static_cast<std::uint8_t*>(region);
    left_ = size;
  }

  std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_;
  std::uint8_t* next_ = nullptr;
  std::size_t left_ = 0;
  std::size_t in_use_ = 0;
};

// Never destroyed: other objects may still give memory back while the process ends.
Pool& ThePool() {
  static auto* pool = new Pool;  // NOLINT(cppcoreguidelines-owning-memory)
  return *pool;
}

std::size_t Rounded(std::size_t size) { return (size + kGrain - 1) & ~(kGrain - 1); }

}  // namespace

void* AllocateSecret(std::size_t size) { return ThePool().Allocate(Rounded(size)); }

void FreeSecret(void* memory, std::size_t size) noexcept {
  if (memory == nullptr) return;
  Wipe(memory, Rounded(size));
  ThePool().Free(memory, Rounded(size));
}

void Wipe(void* memory, std::size_t size) noexcept { ::explicit_bzero(memory, size); }

std::size_t SecretOctets() { return ThePool().in_use(); }

}  // namespace dtunnel
