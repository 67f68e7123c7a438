#include "plane/routes.h"

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <span>
#include <tuple>
#include <utility>

#include "base/bytes.h"

namespace dtunnel {
namespace {

constexpr unsigned kStride = 6;
constexpr unsigned kFanOut = 1u << kStride;

// The `kStride` bits of a 128-bit key that begin at bit `at` (0: the most significant), zeros beyond its end.
inline unsigned Chunk(std::uint64_t high, std::uint64_t low, unsigned at) {
  if (at + kStride <= 64) return static_cast<unsigned>(high >> (64 - kStride - at)) & (kFanOut - 1);
  if (at >= 64) {
    const unsigned in_low = at - 64;
    return in_low + kStride <= 64 ? static_cast<unsigned>(low >> (64 - kStride - in_low)) & (kFanOut - 1)
                                  : static_cast<unsigned>(low << (in_low + kStride - 64)) & (kFanOut - 1);
  }
  const unsigned from_low = at + kStride - 64;
  return static_cast<unsigned>(high << from_low | low >> (64 - from_low)) & (kFanOut - 1);
}

struct Key {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
};

inline Key KeyOf(std::uint8_t version, const std::uint8_t* address) {
  if (version == 4) return {static_cast<std::uint64_t>(Load32(address)) << 32, 0};
  return {Load64(address), Load64(address + 8)};
}

// The leading `length` bits of a key.
Key MaskOf(unsigned length) {
  const auto leading = [](unsigned bits) { return bits == 0 ? 0 : ~std::uint64_t{0} << (64 - bits); };
  return {leading(std::min(length, 64u)), length > 64 ? leading(length - 64) : 0};
}

}  // namespace

// Works on the prefixes in order, so that everything below a node is one range of them: no trie of pointers is ever made.
struct Routes::Builder {
  struct Item {
    Key key;
    unsigned length;
    std::uint32_t entry;
  };

  // The one item that belongs below `at`, or null when there are more or none.
  static const Item* LoneOf(std::span<const Item> items, unsigned at) {
    const Item* lone = nullptr;
    for (const Item& item : items) {
      if (at != 0 && item.length <= at) continue;
      if (lone != nullptr) return nullptr;
      lone = &item;
    }
    return lone;
  }

  // Writes the node at `index`, which stands for the `at` leading bits that all of `items` share. Those not longer than
  // `at` belong to nodes above. `inherited` is the value where no prefix of this node covers.
  static void Write(std::span<const Item> items, unsigned at, std::uint32_t inherited, std::uint32_t index,
                    Routes* out) {
    if (const Item* lone = LoneOf(items, at); lone != nullptr && lone->length > at + kStride) {
      out->nodes_[index] = Node{0, 0, static_cast<std::uint32_t>(out->lones_.size()), 0};
      const Key mask = MaskOf(lone->length);
      out->lones_.push_back(Lone{lone->key.high & mask.high, lone->key.low & mask.low, mask.high, mask.low, lone->entry,
                                 inherited});
      return;
    }
    std::array<std::uint32_t, kFanOut> value;
    std::array<std::uint8_t, kFanOut> fixed_bits{};  // of the longest prefix that ends here and covers the value
    value.fill(inherited);
    std::uint64_t children = 0;
    for (const Item& item : items) {
      if (at != 0 && item.length <= at) continue;
      const unsigned chunk = Chunk(item.key.high, item.key.low, at);
      if (item.length > at + kStride) {
        children |= std::uint64_t{1} << chunk;
        continue;
      }
      const unsigned fixed = item.length - at;
      const unsigned first = chunk & ~((kFanOut >> fixed) - 1);
      for (unsigned v = first; v < first + (kFanOut >> fixed); ++v) {
        if (fixed_bits[v] > fixed) continue;
        fixed_bits[v] = static_cast<std::uint8_t>(fixed);
        value[v] = item.entry;
      }
    }
    std::uint64_t changes = 0;
    const auto first_leaf = static_cast<std::uint32_t>(out->leaves_.size());
    const auto first_child = static_cast<std::uint32_t>(out->nodes_.size());
    for (unsigned v = 0; v < kFanOut; ++v) {
      if (v != 0 && value[v] == value[v - 1]) continue;
      changes |= std::uint64_t{1} << v;
      out->leaves_.push_back(value[v]);
    }
    out->nodes_.resize(out->nodes_.size() + static_cast<std::size_t>(std::popcount(children)));
    out->nodes_[index] = Node{children, changes, first_child, first_leaf};

    std::uint32_t child = first_child;
    std::size_t from = 0;
    for (unsigned v = 0; v < kFanOut; ++v) {
      const auto chunk_of = [&](std::size_t i) { return Chunk(items[i].key.high, items[i].key.low, at); };
      while (from < items.size() && chunk_of(from) < v) ++from;
      std::size_t to = from;
      while (to < items.size() && chunk_of(to) == v) ++to;
      if ((children >> v & 1) != 0) Write(items.subspan(from, to - from), at + kStride, value[v], child++, out);
      from = to;
    }
  }
};

std::unique_ptr<const Routes> Routes::Build(const std::vector<Route>& routes) {
  auto built = std::make_unique<Routes>();
  std::array<std::vector<Builder::Item>, 2> families;
  built->entries_.push_back(Entry{});
  built->prefixes_.reserve(routes.size());
  // Many prefixes lead to few peers: entries are shared.
  std::map<std::pair<std::optional<PeerId>, std::vector<PeerId>>, std::uint32_t> known;
  for (const Route& route : routes) {
    const auto [at, fresh] =
        known.insert({{route.outbound, route.inbound}, static_cast<std::uint32_t>(built->entries_.size())});
    if (fresh) built->entries_.push_back(Entry{route.outbound, route.inbound});
    const std::uint32_t entry = at->second;
    built->prefixes_.push_back(Prefix{route.address, route.length, entry});
    const Key key = KeyOf(route.address.family, route.address.octets.data());
    families[route.address.family == 4 ? 0 : 1].push_back(Builder::Item{key, route.length, entry});
  }
  built->nodes_.resize(2);
  for (std::uint32_t i = 0; i < 2; ++i) {
    std::stable_sort(families[i].begin(), families[i].end(), [](const auto& a, const auto& b) {
      return std::tie(a.key.high, a.key.low, a.length) < std::tie(b.key.high, b.key.low, b.length);
    });
    Builder::Write(families[i], 0, 0, i, built.get());
  }
  return built;
}

std::uint32_t Routes::Lookup(std::uint32_t root, std::uint64_t high, std::uint64_t low) const {
  const Node* node = &nodes_[root];
  unsigned at = 0;
  while (true) {
    if (node->changes == 0) {
      const Lone& lone = lones_[node->first_child];
      const bool covered = (high & lone.high_mask) == lone.high && (low & lone.low_mask) == lone.low;
      return covered ? lone.entry : lone.otherwise;
    }
    const unsigned v = Chunk(high, low, at);
    const std::uint64_t bit = std::uint64_t{1} << v;
    const std::uint64_t up_to = bit | (bit - 1);
    if ((node->children & bit) == 0) {
      return leaves_[node->first_leaf + static_cast<unsigned>(std::popcount(node->changes & up_to)) - 1];
    }
    node = &nodes_[node->first_child + static_cast<unsigned>(std::popcount(node->children & (bit - 1)))];
    at += kStride;
  }
}

const Routes::Entry* Routes::Find(std::uint8_t version, const std::uint8_t* address) const {
  const Key key = KeyOf(version, address);
  const std::uint32_t entry = Lookup(version == 4 ? 0 : 1, key.high, key.low);
  return entry == 0 ? nullptr : &entries_[entry];
}

std::vector<Route> Routes::All() const {
  std::vector<Route> routes;
  routes.reserve(prefixes_.size());
  for (const Prefix& prefix : prefixes_) {
    const Entry& entry = entries_[prefix.entry];
    routes.push_back(Route{prefix.address, prefix.length, entry.outbound, entry.inbound});
  }
  return routes;
}

std::size_t Routes::Footprint() const {
  return nodes_.size() * sizeof(Node) + lones_.size() * sizeof(Lone) + leaves_.size() * sizeof(std::uint32_t) +
         entries_.size() * sizeof(Entry) + prefixes_.size() * sizeof(Prefix);
}

}  // namespace dtunnel
