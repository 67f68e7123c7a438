// Seeded randomness for tests and fuzzers.
#pragma once

#include <cstdint>
#include <vector>

namespace dtunnel::test {

// splitmix64: the same numbers everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t Next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  std::uint64_t Below(std::uint64_t bound) { return Next() % bound; }
  bool Chance(std::uint64_t in) { return Below(in) == 0; }
  std::vector<std::uint8_t> Octets(std::size_t size) {
    std::vector<std::uint8_t> octets(size);
    for (auto& o : octets) o = static_cast<std::uint8_t>(Next());
    return octets;
  }

 private:
  std::uint64_t state_;
};

}  // namespace dtunnel::test
