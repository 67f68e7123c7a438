// Ledger: what was sent in each flow and has not arrived yet, and the verdict on what arrives.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

namespace dtunnel::soak {

using Octets = std::vector<std::uint8_t>;

// Sums over all flows of a kind of traffic. Everything but `sent`, `intact` and `marked` should be zero.
struct Verdict {
  std::uint64_t sent = 0;
  std::uint64_t intact = 0;
  std::uint64_t lost = 0;
  std::uint64_t late = 0;      // arrived after a later one of its flow
  std::uint64_t twice = 0;
  std::uint64_t damaged = 0;   // arrived, but nothing like it was sent
  std::uint64_t marked = 0;    // intact but for an ECN mark that the path may set
  std::vector<std::string> examples;

  void Add(const Verdict& other);
};

// Flows keep their order; octets are compared in full. Single-threaded.
class Ledger {
 public:
  // `kind` is what examples call it.
  void Sent(const std::string& flow, Octets packet, const char* kind = "");
  // `marks_ok`: a packet that differs from what was sent only in that its ECN field went from capable to marked is intact;
  // `unmarked` is then the packet with either mark put back.
  void Arrived(const std::string& flow, const Octets& packet, const std::vector<Octets>& unmarked = {});
  // Something arrived that belongs to no flow.
  void Foreign(const Octets& packet);
  // Counts everything outstanding as lost.
  void GiveUp();

  std::size_t outstanding() const { return outstanding_; }
  const Verdict& verdict() const { return verdict_; }

 private:
  struct Entry {
    Octets packet;
    const char* kind = "";
    bool overtaken = false;
  };
  struct Flow {
    std::deque<Entry> expected;
    std::deque<Octets> recent;  // arrived last, to tell a duplicate from damage
  };

  bool Take(Flow* flow, const Octets& packet);
  void Example(std::string text);

  std::unordered_map<std::string, Flow> flows_;
  std::size_t outstanding_ = 0;
  Verdict verdict_;
};

// Octets in hexadecimal, the first `limit` of them.
std::string Hex(const Octets& octets, std::size_t limit = 96);

}  // namespace dtunnel::soak
