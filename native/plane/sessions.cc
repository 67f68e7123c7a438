#include "plane/sessions.h"

#include <sys/random.h>

#include <algorithm>
#include <cstring>

namespace dtunnel {
namespace {

constexpr std::size_t kFirstBuckets = 64;

std::uint64_t RandomSeed() {
  std::uint64_t seed = 0;
  // Without entropy (never after boot) collisions become guessable, no more.
  [[maybe_unused]] const ssize_t got = ::getrandom(&seed, sizeof seed, 0);
  return seed;
}

// The finaliser of splitmix64 over both words; the seed keeps buckets unpredictable.
std::uint64_t Mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = a + 0x9e3779b97f4a7c15 * (b + 1);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

EndpointIndex::EndpointIndex(GracePeriods* grace)
    : grace_(grace), seed_(RandomSeed()), owned_(std::make_unique<Table>(kFirstBuckets)), table_(owned_.get()) {}

EndpointIndex::~EndpointIndex() = default;

EndpointIndex::Table::~Table() {
  for (std::atomic<const Bucket*>& bucket : buckets) {
    const std::unique_ptr<const Bucket> owned(bucket.load(std::memory_order_relaxed));
  }
}

std::size_t EndpointIndex::HashOf(const Endpoint& remote) const {
  std::uint64_t words[2];
  std::memcpy(words, remote.address.octets.data(), sizeof words);
  return Mix(Mix(words[0] ^ seed_, words[1]), (std::uint64_t{remote.port} << 8 | remote.address.family) ^ seed_);
}

void EndpointIndex::Add(const Endpoint& remote, Session* session) {
  if (++size_ > 2 * owned_->buckets.size()) Grow();
  std::atomic<const Bucket*>& bucket = owned_->buckets[HashOf(remote) % owned_->buckets.size()];
  std::unique_ptr<const Bucket> before(bucket.load(std::memory_order_relaxed));
  auto after = std::make_unique<Bucket>(before ? *before : Bucket{});
  after->push_back(Entry{remote, session});
  std::stable_sort(after->begin(), after->end(),
                   [](const Entry& a, const Entry& b) { return a.session->order > b.session->order; });
  bucket.store(after.release(), std::memory_order_seq_cst);
  grace_->Retire(std::move(before));
}

void EndpointIndex::Remove(const Endpoint& remote, Session* session) {
  --size_;
  std::atomic<const Bucket*>& bucket = owned_->buckets[HashOf(remote) % owned_->buckets.size()];
  std::unique_ptr<const Bucket> before(bucket.load(std::memory_order_relaxed));
  if (before == nullptr) return;
  auto after = std::make_unique<Bucket>(*before);
  std::erase_if(*after, [&](const Entry& entry) { return entry.session == session && entry.remote == remote; });
  bucket.store(after->empty() ? nullptr : after.release(), std::memory_order_seq_cst);
  grace_->Retire(std::move(before));
}

void EndpointIndex::Grow() {
  auto larger = std::make_unique<Table>(owned_->buckets.size() * 4);
  for (const std::atomic<const Bucket*>& bucket : owned_->buckets) {
    const Bucket* entries = bucket.load(std::memory_order_relaxed);
    if (entries == nullptr) continue;
    for (const Entry& entry : *entries) {
      std::atomic<const Bucket*>& to = larger->buckets[HashOf(entry.remote) % larger->buckets.size()];
      const std::unique_ptr<const Bucket> before(to.load(std::memory_order_relaxed));
      auto after = std::make_unique<Bucket>(before ? *before : Bucket{});
      after->push_back(entry);
      to.store(after.release(), std::memory_order_relaxed);
    }
  }
  std::swap(owned_, larger);
  table_.store(owned_.get(), std::memory_order_seq_cst);
  grace_->Retire(std::move(larger));
}

std::size_t EndpointIndex::Find(const Endpoint& remote, std::array<Session*, kMaxTrialOpens>* out) const {
  const Table* table = table_.load(std::memory_order_seq_cst);
  const Bucket* bucket = table->buckets[HashOf(remote) % table->buckets.size()].load(std::memory_order_seq_cst);
  if (bucket == nullptr) return 0;
  std::size_t found = 0;
  for (const Entry& entry : *bucket) {
    if (entry.remote != remote) continue;
    (*out)[found++] = entry.session;
    if (found == kMaxTrialOpens) break;
  }
  return found;
}

}  // namespace dtunnel
