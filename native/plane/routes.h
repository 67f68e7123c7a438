// Routes: longest-prefix match over IPv4 and IPv6, immutable once built.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/endpoint.h"
#include "plane/config.h"

namespace dtunnel {

// One prefix. `outbound`: who gets packets to it; `inbound`: who may send from it.
struct Route {
  IpAddress address;
  std::uint8_t length = 0;
  std::optional<PeerId> outbound;
  std::vector<PeerId> inbound;
};

// A compressed multibit trie with six bits a level: a node holds two 64-bit maps, of children and of where the value
// changes, and population counts turn them into array indices. Where only one prefix is left below, it is compared
// whole instead of bit by bit. 100,000 prefixes fit in the outer caches.
class Routes {
 public:
  static std::unique_ptr<const Routes> Build(const std::vector<Route>& routes);

  struct Entry {
    std::optional<PeerId> outbound;
    std::vector<PeerId> inbound;

    bool Allows(PeerId sender) const {
      for (const PeerId peer : inbound) {
        if (peer == sender) return true;
      }
      return false;
    }
  };

  // The entry of the longest prefix that covers `address` (4 or 16 octets by `version`), or null.
  const Entry* Find(std::uint8_t version, const std::uint8_t* address) const;

  // What it was built from.
  std::vector<Route> All() const;

  std::size_t Footprint() const;

 private:
  // Bit v of a map stands for value v of the six bits.
  struct Node {
    std::uint64_t children = 0;  // values with a child node
    std::uint64_t changes = 0;   // values whose leaf differs from that of the value before, bit 0 always set; 0: `lone`
    std::uint32_t first_child = 0;  // of `changes` 0: the lone prefix
    std::uint32_t first_leaf = 0;
  };
  // The only prefix below a node.
  struct Lone {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    std::uint64_t high_mask = 0;
    std::uint64_t low_mask = 0;
    std::uint32_t entry = 0;
    std::uint32_t otherwise = 0;
  };
  struct Prefix {
    IpAddress address;
    std::uint8_t length = 0;
    std::uint32_t entry = 0;
  };
  struct Builder;

  std::uint32_t Lookup(std::uint32_t root, std::uint64_t high, std::uint64_t low) const;

  std::vector<Node> nodes_;            // 0: root of IPv4, 1: root of IPv6
  std::vector<Lone> lones_;
  std::vector<std::uint32_t> leaves_;  // indices into entries_; 0 is "no route"
  std::vector<Entry> entries_;
  std::vector<Prefix> prefixes_;       // as given: the trie does not yield them back
};

}  // namespace dtunnel
