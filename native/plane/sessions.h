// Peers and sessions as the data threads see them, and the tables that find them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "base/endpoint.h"
#include "os/udp.h"
#include "packet/replay_window.h"
#include "plane/config.h"
#include "plane/grace.h"
#include "plane/record_protection.h"
#include "plane/stats.h"
#include "plane/token_bucket.h"

namespace dtunnel {

struct Session;

// Outer traffic class and inner treatment, one word so that a change is seen whole.
struct PeerOptions {
  enum class Dscp : std::uint8_t { kCopy, kFixed };
  Dscp dscp = Dscp::kCopy;
  std::uint8_t fixed_dscp = 0;  // 0 … 63; 0 is "clear"
  bool ecn = true;
  bool clamp_mss = true;
};

struct RateLimit {
  RateLimit(double octets_per_second, double burst)
      : bits_per_second(octets_per_second * 8), out(octets_per_second, burst), in(octets_per_second, burst) {}
  const double bits_per_second;
  TokenBucket out;
  TokenBucket in;
};

// A configured remote. Created and changed by the main thread, read by data threads, which write their own counters.
struct Peer {
  Peer(PeerId peer_id, std::size_t threads)
      : id(peer_id), counters(std::make_unique<PeerCounters[]>(threads)), thread_count(threads) {}

  const PeerId id;
  std::atomic<PeerOptions> options{PeerOptions{}};
  std::atomic<RateLimit*> limit{nullptr};  // owned by `owned_limit`
  std::atomic<Session*> active{nullptr};
  const std::unique_ptr<PeerCounters[]> counters;  // by thread
  const std::size_t thread_count;
  std::unique_ptr<RateLimit> owned_limit;
};
static_assert(std::atomic<PeerOptions>::is_always_lock_free);

// Where a session's datagrams go: the path, and the same in the kernel's form for every lane that sends.
struct SessionPath {
  Path path;
  Endpoint previous;  // the remote endpoint before this one
  std::vector<SendTarget> targets;  // by lane; lane 0's is the main thread's too
};

// What one thread counts for one session.
struct alignas(64) SessionCounters {
  Counter sealed_records;
  Counter sealed_bytes;
  Counter opened_records;
  Counter opened_bytes;
  Counter failed_opens;
  Counter last_receive_ns;  // 0: never
  Counter sealed_large;     // of sealed_records, inner packets only; a successor counts anew
};

// All but sealed_large, which a handover carries.
inline constexpr std::size_t kSessionCounterWords = 6;

// UDP payload that every path carries: an IPv4 packet of 576 octets (RFC 1122 §3.3.3). What is longer is large.
inline constexpr std::size_t kCarriedEverywhere = 548;

// Octets of a datagram of several records: what every IPv6 link carries (RFC 8200 §5), less the headers of IPv6 and UDP.
// Small packets then do not depend on the path keeping an MTU that was found larger, and 16 % more would spare few datagrams.
inline constexpr std::size_t kMaxPacked = 1280 - 40 - 8;

// The keys of a session as they were installed. Ciphers hold them expanded, with other key schedules in other programs:
// a successor needs these.
struct SessionSecrets : SecretObject {
  struct Direction {
    AeadAlgorithm algorithm = AeadAlgorithm::kAes128Gcm;
    std::array<std::uint8_t, 32> key{};
    std::array<std::uint8_t, 12> iv{};

    void Keep(const RecordKeys& keys) {
      algorithm = keys.algorithm;
      std::memcpy(key.data(), keys.key.data(), keys.key.size());
      std::memcpy(iv.data(), keys.iv.data(), keys.iv.size());
    }
    RecordKeys keys() const {
      return RecordKeys{algorithm, Bytes(key).first(AeadKeySize(algorithm)), Bytes(iv).first(ImplicitIvSize(algorithm))};
    }
  };
  Direction read;
  Direction write;
};

// Installed keys. Immutable but for the atomics and what is marked as a thread's own.
struct Session {
  Slot slot = 0;
  Peer* peer = nullptr;
  std::uint16_t epoch = 0;
  std::array<std::uint8_t, kOurConnectionIdSize> our_id{};
  bool has_our_id = false;
  std::vector<std::uint8_t> peer_id;
  std::size_t write_overhead = 0;
  bool packs = false;              // small records share datagrams
  std::uint64_t order = 0;         // of installation
  std::size_t position = 0;        // in the plane's list; the main thread's
  std::uint64_t records_seen = 0;  // sealed and opened when changes were last asked for; the main thread's

  std::unique_ptr<SessionSecrets> secrets;
  // By thread; null where a thread does not use that direction.
  std::vector<std::unique_ptr<RecordCipher>> sealers;
  std::vector<std::unique_ptr<RecordCipher>> openers;
  std::unique_ptr<SessionCounters[]> counters;
  std::size_t thread_count = 0;

  std::atomic<const SessionPath*> path{nullptr};  // owned by `owned_path`
  std::unique_ptr<const SessionPath> owned_path;
  std::atomic<std::uint32_t> max_packet{0};  // largest inner packet

  alignas(64) std::atomic<RecordNumber> next_number{0};
  alignas(64) ReplayWindow window;
  std::atomic<bool> confirmed{false};
  std::atomic<std::uint64_t> moved_ns{0};  // when the last `moved` event was posted
  // The peer sends from several ports at once (it has lanes): another port alone is then no move.
  std::atomic<bool> many_ports{false};
  std::atomic<std::uint64_t> own_path_ns{0};  // last newest record along `path`; kept while many_ports
  // Held by a lane from taking numbers until they are sent, where the peer needs them in order.
  std::atomic_flag sending = ATOMIC_FLAG_INIT;

  void SetPathMtu(std::uint32_t path_mtu) {
    const std::size_t fits = path_mtu > write_overhead ? path_mtu - write_overhead : 0;
    max_packet.store(static_cast<std::uint32_t>(fits), std::memory_order_relaxed);
  }

  // Takes `count` consecutive record numbers; nullopt at the end of the epoch (RFC 6347 §4.1: it must not wrap). The
  // counter then stays beyond the end: 2^64 refusals would be needed to come back to numbers that were used.
  std::optional<RecordNumber> TakeNumbers(std::uint64_t count) {
    const RecordNumber first = next_number.fetch_add(count, std::memory_order_relaxed);
    const RecordNumber last = first + count - 1;
    if (first >> kSequenceBits != epoch || last >> kSequenceBits != epoch) return std::nullopt;
    return first;
  }
};

// Find is for every thread; everything else for the main thread.
template <typename T, std::uint32_t kLimit>
class SlotTable {
 public:
  T* Find(std::uint32_t index) const {
    if (index >= kLimit) return nullptr;
    const Page* page = pages_[index / kPageSize].load(std::memory_order_seq_cst);
    return page == nullptr ? nullptr : (*page)[index % kPageSize].load(std::memory_order_seq_cst);
  }

  void Set(std::uint32_t index, T* value) {
    std::unique_ptr<Page>& page = owned_[index / kPageSize];
    if (page == nullptr) {
      page = std::make_unique<Page>();
      pages_[index / kPageSize].store(page.get(), std::memory_order_release);
    }
    (*page)[index % kPageSize].store(value, std::memory_order_seq_cst);
  }

 private:
  static constexpr std::uint32_t kPageSize = 1024;
  using Page = std::array<std::atomic<T*>, kPageSize>;
  // Pages stay until the table goes: slots are reused.
  std::vector<std::atomic<const Page*>> pages_ = std::vector<std::atomic<const Page*>>(kLimit / kPageSize);
  std::vector<std::unique_ptr<Page>> owned_ = std::vector<std::unique_ptr<Page>>(kLimit / kPageSize);
};

using SessionTable = SlotTable<Session, kMaxSlots>;
using PeerTable = SlotTable<Peer, kMaxPeers>;

// Sessions by remote endpoint, for records without connection id.
class EndpointIndex {
 public:
  explicit EndpointIndex(GracePeriods* grace);
  ~EndpointIndex();
  EndpointIndex(const EndpointIndex&) = delete;
  EndpointIndex& operator=(const EndpointIndex&) = delete;

  // Main thread.
  void Add(const Endpoint& remote, Session* session);
  void Remove(const Endpoint& remote, Session* session);

  // Any thread: the sessions of `remote`, newest first, at most kMaxTrialOpens.
  std::size_t Find(const Endpoint& remote, std::array<Session*, kMaxTrialOpens>* out) const;

 private:
  struct Entry {
    Endpoint remote;
    Session* session;
  };
  // Replaced as a whole when it changes; newest first.
  using Bucket = std::vector<Entry>;
  struct Table {
    explicit Table(std::size_t size) : buckets(size) {}
    ~Table();
    std::vector<std::atomic<const Bucket*>> buckets;
  };

  std::size_t HashOf(const Endpoint& remote) const;
  void Grow();

  GracePeriods* const grace_;
  const std::uint64_t seed_;
  std::size_t size_ = 0;
  std::unique_ptr<Table> owned_;
  std::atomic<const Table*> table_;
};

}  // namespace dtunnel
