#include "ledger.h"

#include <algorithm>

namespace dtunnel::soak {
namespace {

constexpr std::size_t kRecent = 256;
constexpr std::size_t kExamples = 6;

}  // namespace

void Verdict::Add(const Verdict& other) {
  sent += other.sent;
  intact += other.intact;
  lost += other.lost;
  late += other.late;
  twice += other.twice;
  damaged += other.damaged;
  marked += other.marked;
  for (const std::string& example : other.examples) {
    if (examples.size() < kExamples) examples.push_back(example);
  }
}

void Ledger::Sent(const std::string& flow, Octets packet, const char* kind) {
  flows_[flow].expected.push_back(Entry{std::move(packet), kind, false});
  ++outstanding_;
  ++verdict_.sent;
}

void Ledger::Arrived(const std::string& flow, const Octets& packet, const std::vector<Octets>& unmarked) {
  const auto found = flows_.find(flow);
  if (found == flows_.end()) return Foreign(packet);
  if (Take(&found->second, packet)) return;
  for (const Octets& candidate : unmarked) {
    if (Take(&found->second, candidate)) {
      ++verdict_.marked;
      return;
    }
  }
  const Flow& known = found->second;
  if (std::find(known.recent.begin(), known.recent.end(), packet) != known.recent.end()) {
    ++verdict_.twice;
    Example("twice: " + Hex(packet));
    return;
  }
  ++verdict_.damaged;
  std::string text = "damaged (" + std::to_string(packet.size()) + " octets): " + Hex(packet);
  if (!known.expected.empty()) {
    const Entry& next = known.expected.front();
    const auto differ = std::mismatch(packet.begin(), packet.end(), next.packet.begin(), next.packet.end());
    text += "; expected next (" + std::string(next.kind) + ", " + std::to_string(next.packet.size()) +
            " octets, first difference at " + std::to_string(differ.first - packet.begin()) + "): " + Hex(next.packet);
  }
  Example(std::move(text));
}

bool Ledger::Take(Flow* flow, const Octets& packet) {
  // Of equal packets (empty datagrams, bare acknowledgments) one that nothing has overtaken: where losses are allowed, the
  // overtaken one is lost.
  const auto matching = [&](bool overtaken) {
    return std::find_if(flow->expected.begin(), flow->expected.end(), [&](const Entry& entry) {
      return entry.overtaken == overtaken && entry.packet == packet;
    });
  };
  auto at = matching(false);
  if (at == flow->expected.end()) at = matching(true);
  if (at == flow->expected.end()) return false;
  if (at->overtaken) {
    ++verdict_.late;
    Example("late (" + std::string(at->kind) + "): " + Hex(packet));
  }
  for (auto before = flow->expected.begin(); before != at; ++before) before->overtaken = true;
  flow->recent.push_back(std::move(at->packet));
  if (flow->recent.size() > kRecent) flow->recent.pop_front();
  flow->expected.erase(at);
  --outstanding_;
  ++verdict_.intact;
  return true;
}

void Ledger::Foreign(const Octets& packet) {
  ++verdict_.damaged;
  Example("foreign (" + std::to_string(packet.size()) + " octets): " + Hex(packet));
}

void Ledger::GiveUp() {
  for (auto& [name, flow] : flows_) {
    verdict_.lost += flow.expected.size();
    if (!flow.expected.empty()) {
      const Entry& first = flow.expected.front();
      Example("lost (" + std::string(first.kind) + ", " + std::to_string(first.packet.size()) +
              " octets): " + Hex(first.packet));
    }
    flow.expected.clear();
  }
  outstanding_ = 0;
}

void Ledger::Example(std::string text) {
  if (verdict_.examples.size() < kExamples) verdict_.examples.push_back(std::move(text));
}

std::string Hex(const Octets& octets, std::size_t limit) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < octets.size() && i < limit; ++i) {
    text += kDigits[octets[i] >> 4];
    text += kDigits[octets[i] & 15];
  }
  if (octets.size() > limit) text += "…";
  return text;
}

}  // namespace dtunnel::soak
