#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "packet/checksum.h"
#include "packet/fragment.h"
#include "packet/icmp_error.h"
#include "packet/ip.h"
#include "packet/record.h"
#include "packet/replay_window.h"
#include "packet/split.h"
#include "test/check.h"
#include "test/packets.h"

namespace dtunnel::test {
namespace {

std::uint16_t Checksum(const std::vector<std::uint8_t>& data) {
  std::uint16_t stored = 0;
  std::uint8_t octets[2];
  StoreChecksum(AddChecksum(data.data(), data.size(), 0), octets);
  stored = Load16(octets);
  return stored;
}

const Test kChecksum{"checksum agrees with the naive sum for every size and alignment", [] {
  Random random(1);
  for (std::size_t size = 0; size < 700; ++size) {
    std::vector<std::uint8_t> data = random.Octets(size);
    if (random.Chance(4)) std::fill(data.begin(), data.end(), std::uint8_t{0xff});
    ExpectEqual(Checksum(data), NaiveChecksum(data));
  }
  for (const std::size_t size : {1480u, 9000u, 65535u}) {
    const auto data = random.Octets(size);
    ExpectEqual(Checksum(data), NaiveChecksum(data));
  }
}};

const Test kAdjust{"an adjusted checksum equals a recomputed one (RFC 1624)", [] {
  Random random(2);
  for (int i = 0; i < 20000; ++i) {
    auto data = random.Octets(20);
    if (random.Chance(3)) std::fill(data.begin(), data.end(), std::uint8_t{0});
    data[10] = data[11] = 0;
    Store16(&data[10], NaiveChecksum(data));
    const auto before = Load16(&data[4]);
    const auto after = static_cast<std::uint16_t>(random.Next());
    Store16(&data[4], after);
    AdjustChecksum(&data[10], before, after);
    // 0 and ffff are the same sum; verification is what counts.
    ExpectEqual(NaiveChecksum(data), 0);
  }
}};

const Test kRecord{"a written record header is read back, and every truncation is short", [] {
  Random random(3);
  for (int i = 0; i < 2000; ++i) {
    const bool with_id = random.Chance(2);
    const auto id = random.Octets(with_id ? 8 : 0);
    const auto type = static_cast<std::uint8_t>(20 + random.Below(5));
    const RecordNumber number = random.Next() | RecordNumber{1} << kSequenceBits;
    const std::size_t fragment = random.Below(100);
    std::vector<std::uint8_t> octets(kPlainHeaderSize + id.size() + fragment);
    ExpectEqual(WriteRecordHeader(type, number, id, fragment, octets.data()), octets.size() - fragment);
    RecordHeader header;
    Expect(ParseRecordHeader(octets, &header) == RecordFault::kNone);
    ExpectEqual(header.type, with_id ? kConnectionId : type);
    Expect(header.number == number && header.size == octets.size() && header.fragment.size() == fragment);
    Expect(std::equal(id.begin(), id.end(), header.connection_id.begin(), header.connection_id.end()));
    for (std::size_t cut = 0; cut < octets.size(); ++cut) {
      Expect(ParseRecordHeader(Bytes(octets).first(cut), &header) == RecordFault::kShort);
    }
  }
}};

const Test kRecordFaults{"other protocols, versions and plaintext DTLS 1.0 are told apart", [] {
  std::vector<std::uint8_t> r(13);
  RecordHeader header;
  WriteRecordHeader(22, 0, {}, 0, r.data());
  r[2] = 0xff;
  Expect(ParseRecordHeader(r, &header) == RecordFault::kNone, "an initial ClientHello may be marked DTLS 1.0");
  r[4] = 1;
  Expect(ParseRecordHeader(r, &header) == RecordFault::kBadVersion, "a protected record may not");
  r[2] = 0xfc;
  Expect(ParseRecordHeader(r, &header) == RecordFault::kBadVersion);
  for (int type = 0; type < 256; ++type) {
    r[0] = static_cast<std::uint8_t>(type);
    if (type < 20 || type > 25) Expect(ParseRecordHeader(r, &header) == RecordFault::kNotDtls);
  }
}};

const Test kAdditional{"additional data of a connection-id record follows RFC 9146 §5.3", [] {
  const std::uint8_t id[] = {0xaa, 0xbb};
  AdditionalData data;
  MakeAdditionalData(23, 0x0001000000000005, id, 0x1234, &data);
  const std::vector<std::uint8_t> expected = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 25,   2,    25,  0xfe, 0xfd,
                                              0,    1,    0,    0,    0,    0,    0,    5,    0xaa, 0xbb, 0x12, 0x34};
  Expect(std::equal(expected.begin(), expected.end(), data.bytes().begin(), data.bytes().end()));
}};

const Test kSplit{"splitting yields exactly the packets a network card would (random flows)", [] {
  Random random(4);
  for (int i = 0; i < 3000; ++i) {
    Flow flow;
    flow.v6 = random.Chance(2);
    flow.tcp = random.Chance(2);
    flow.id = static_cast<std::uint16_t>(random.Next());
    flow.dont_fragment = random.Chance(2);
    flow.sequence = static_cast<std::uint32_t>(random.Next());
    flow.flags = static_cast<std::uint8_t>(kTcpAck | (random.Next() & (kTcpPsh | kTcpFin | kTcpCwr | kTcpEce)));
    flow.options = random.Octets(4 * random.Below(11));
    const std::size_t mss = random.Chance(3) ? 1 + random.Below(60) : 1 + random.Below(1500);
    const auto payload = random.Octets(1 + random.Below(std::min<std::size_t>(mss * 70, 60000)));
    VnetHdr hdr;
    Packet super = MakeSuperPacket(flow, payload, mss, &hdr);
    super.resize(super.size() + 1);  // the octet behind may be borrowed
    auto splitter = Splitter::Create(MutableBytes(super).first(super.size() - 1), hdr);
    if (!Expect(splitter.has_value())) continue;
    const auto expected = NaiveSegments(flow, payload, mss);
    ExpectEqual(splitter->count(), expected.size());
    for (const Packet& want : expected) {
      const MutableBytes got = splitter->Next();
      Expect(std::equal(got.begin(), got.end(), want.begin(), want.end()));
    }
    Expect(splitter->Next().empty());
  }
}};

const Test kSplitRefuses{"a header that does not fit its packet is refused", [] {
  Random random(5);
  int made = 0;
  for (int i = 0; i < 20000; ++i) {
    Packet packet = random.Octets(random.Below(200));
    if (!packet.empty()) packet[0] = static_cast<std::uint8_t>(random.Chance(2) ? 0x45 : 0x60);
    VnetHdr hdr;
    hdr.flags = 1;
    hdr.gso_type = static_cast<std::uint8_t>(random.Below(6));
    hdr.gso_size = static_cast<std::uint16_t>(random.Below(100));
    hdr.checksum_start = static_cast<std::uint16_t>(random.Below(60));
    auto splitter = Splitter::Create(packet, hdr);
    if (!splitter) continue;
    ++made;
    while (!splitter->Next().empty()) {
    }
  }
  Expect(made > 0, "some were plausible");
}};

const Test kPartial{"a partial checksum is completed, and a zero UDP checksum becomes ones", [] {
  Random random(6);
  bool saw_ones = false;
  for (int i = 0; i < 200000 && !saw_ones; ++i) {
    Flow flow;
    flow.tcp = false;
    const Packet want = MakePacket(flow, random.Octets(2));
    saw_ones = Load16(&want[26]) == 0xffff;
    if (!saw_ones && i > 100) continue;
    Packet got = want;
    const std::uint16_t partial = FoldChecksum(PseudoHeaderSum(got.data(), kProtocolUdp, 10));
    std::memcpy(&got[26], &partial, 2);
    VnetHdr hdr;
    hdr.flags = 1;
    hdr.checksum_start = 20;
    hdr.checksum_offset = 6;
    Expect(CompleteChecksum(got, hdr));
    Expect(got == want);
    hdr.checksum_offset = 5000;
    Expect(!CompleteChecksum(got, hdr));
  }
  Expect(saw_ones);
}};

// The law of RFC 6347 §4.1.2.6 with a set that forgets nothing.
struct NaiveWindow {
  std::set<std::uint64_t> seen;
  std::uint64_t edge = 0;
  bool Accept(std::uint64_t n) {
    if (n < edge && edge - n > ReplayWindow::kWidth) return false;
    if (!seen.insert(n).second) return false;
    edge = std::max(edge, n + 1);
    return true;
  }
};

const Test kReplay{"the window accepts exactly what a set would (random walks, jumps, the end of the epoch)", [] {
  Random random(7);
  for (const std::uint64_t start : {std::uint64_t{0}, std::uint64_t{1} << 37, kSequenceMask - 30000}) {
    ReplayWindow window;
    NaiveWindow naive;
    std::uint64_t at = start;
    for (int i = 0; i < 200000; ++i) {
      std::uint64_t n = at;
      switch (random.Below(8)) {
        case 0:
          n = at - std::min<std::uint64_t>(at, random.Below(9000));
          break;
        case 1:
          n = at - std::min<std::uint64_t>(at, random.Below(70));
          break;
        case 2:
          if (random.Chance(300)) at += random.Below(20000);
          n = at;
          break;
        default:
          n = at++;
      }
      if (n > kSequenceMask) break;
      const bool accept = naive.Accept(n);
      const bool checked = window.Check(n);
      const auto outcome = window.Commit(n).outcome;
      const bool accepted = outcome == ReplayWindow::Outcome::kNewest || outcome == ReplayWindow::Outcome::kLate;
      if (!Expect(checked == accept && accepted == accept)) return;
      ExpectEqual(window.edge(), naive.edge);
    }
  }
}};

const Test kReplayEdges{"both edges of the window are exact", [] {
  for (const std::uint64_t n : {std::uint64_t{8191}, std::uint64_t{8192}, std::uint64_t{1} << 31, std::uint64_t{1} << 32,
                                std::uint64_t{1} << 47}) {
    ReplayWindow window;
    window.Commit(n);
    Expect(!window.Check(n));
    Expect(window.Check(n - ReplayWindow::kWidth + 1));
    if (n >= ReplayWindow::kWidth) Expect(!window.Check(n - ReplayWindow::kWidth));
    Expect(window.Check(n + 1));
    Expect(window.Check(n + (std::uint64_t{1} << 40)));
  }
}};

const Test kReplayChecks{"a check never moves the window", [] {
  ReplayWindow window;
  window.Commit(5);
  Expect(window.Check(kSequenceMask));
  Expect(window.Check(4));
  ExpectEqual(window.edge(), 6u);
}};

const Test kReplayLost{"numbers are judged lost once, when they fall behind", [] {
  Random random(8);
  ReplayWindow window;
  window.Preset(0);
  std::uint64_t lost = 0;
  std::uint64_t dropped = 0;
  constexpr std::uint64_t kLast = 50000;
  constexpr std::uint64_t kLastDropped = kLast - ReplayWindow::kLossDistance - 1;
  for (std::uint64_t n = 1; n <= kLast; ++n) {
    if (n <= kLastDropped && random.Chance(10)) {
      ++dropped;
      if (random.Chance(50)) {
        const std::uint64_t jump = std::min<std::uint64_t>(random.Below(20000), kLastDropped - n);
        dropped += jump;
        n += jump;
      }
      continue;
    }
    lost += window.Commit(n).lost;
  }
  ExpectEqual(lost, dropped);
}};

const Test kReplayThreads{"of threads that commit the same numbers exactly one wins each", [] {
  ReplayWindow window;
  constexpr int kThreads = 4;
  constexpr std::uint64_t kNumbers = 100000;
  std::array<std::uint64_t, kThreads> accepted{};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t n = 0; n < kNumbers; ++n) {
        const auto outcome = window.Commit(n).outcome;
        if (outcome == ReplayWindow::Outcome::kNewest || outcome == ReplayWindow::Outcome::kLate) ++accepted[t];
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::uint64_t sum = 0;
  for (const auto a : accepted) sum += a;
  ExpectEqual(sum, kNumbers);
}};

const Test kFragment{"fragments reassemble to the packet, also fragments of a fragment", [] {
  Random random(9);
  for (int i = 0; i < 2000; ++i) {
    Flow flow;
    flow.tcp = false;
    flow.dont_fragment = false;
    const auto payload = random.Octets(1 + random.Below(4000));
    Packet packet = MakePacket(flow, payload);
    std::vector<std::uint8_t> scratch(65535);
    std::vector<Packet> parts = {packet};
    for (int round = 0; round < 2; ++round) {
      const std::size_t max = 68 + random.Below(1400);
      std::vector<Packet> next;
      for (const Packet& part : parts) {
        auto fragments = Ipv4Fragmenter::Create(part, max, scratch);
        if (!Expect(fragments.has_value())) return;
        std::size_t count = 0;
        for (MutableBytes f = fragments->Next(); !f.empty(); f = fragments->Next(), ++count) {
          Expect(f.size() <= max && Load16(&f[2]) == f.size());
          ExpectEqual(NaiveChecksum(std::vector<std::uint8_t>(f.begin(), f.begin() + 20)), 0);
          next.emplace_back(f.begin(), f.end());
        }
        ExpectEqual(count, fragments->count());
      }
      parts = next;
    }
    std::vector<std::uint8_t> whole(packet.size() - 20);
    std::size_t total = 0;
    for (std::size_t k = 0; k < parts.size(); ++k) {
      const Packet& part = parts[k];
      const std::size_t offset = (Load16(&part[6]) & 0x1fffu) * 8;
      ExpectEqual((Load16(&part[6]) & 0x2000) != 0, k + 1 != parts.size());
      std::copy(part.begin() + 20, part.end(), whole.begin() + static_cast<std::ptrdiff_t>(offset));
      total += part.size() - 20;
    }
    ExpectEqual(total, whole.size());
    Expect(std::equal(whole.begin(), whole.end(), packet.begin() + 20, packet.end()));
  }
}};

const Test kMss{"the MSS of a SYN is lowered, never raised, with a right checksum", [] {
  Random random(10);
  for (int i = 0; i < 4000; ++i) {
    Flow flow;
    flow.v6 = random.Chance(2);
    flow.flags = kTcpSyn;
    const auto mss = static_cast<std::uint16_t>(random.Below(3000));
    // The option at any place, even or odd, among others.
    flow.options.assign(random.Below(8), 1);
    flow.options.insert(flow.options.end(), {2, 4, static_cast<std::uint8_t>(mss >> 8), static_cast<std::uint8_t>(mss)});
    while (flow.options.size() % 4 != 0) flow.options.push_back(0);
    Packet packet = MakePacket(flow, {});
    const Packet before = packet;
    const std::size_t limit = 1400;
    const bool lowered = ClampMss(packet, *ParseIp(packet, false), limit, false);
    const std::size_t fits = limit - (flow.v6 ? 60 : 40);
    ExpectEqual(lowered, mss > fits);
    if (!lowered) {
      Expect(packet == before);
      continue;
    }
    Packet want = packet;
    FinishTransport(&want, flow.v6, true);
    Expect(packet == want);
  }
  Flow data;
  data.options = {2, 4, 10, 0};
  Packet packet = MakePacket(data, {});
  Expect(!ClampMss(packet, *ParseIp(packet, false), 500, false), "only SYNs");
}};

const Test kEcn{"outer marks reach the inner packet by RFC 6040 §4.2", [] {
  // Rows: inner; columns: outer; -1 is "drop".
  constexpr int kExpected[4][4] = {{0, 0, 0, -1}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
  for (std::uint8_t inner = 0; inner < 4; ++inner) {
    for (std::uint8_t outer = 0; outer < 4; ++outer) {
      for (const bool v6 : {false, true}) {
        Flow flow;
        flow.v6 = v6;
        flow.traffic_class = static_cast<std::uint8_t>(0xb8 | inner);
        Packet packet = MakePacket(flow, {1, 2, 3});
        const int expected = kExpected[inner][outer];
        ExpectEqual(DecapsulateEcn(packet.data(), outer), expected >= 0);
        if (expected < 0) continue;
        flow.traffic_class = static_cast<std::uint8_t>(0xb8 | expected);
        Expect(packet == MakePacket(flow, {1, 2, 3}));
      }
    }
  }
}};

const Test kTooBig{"packet-too-big quotes the packet and comes from its destination", [] {
  for (const bool v6 : {false, true}) {
    Flow flow;
    flow.v6 = v6;
    const Packet packet = MakePacket(flow, std::vector<std::uint8_t>(1400, 5));
    std::array<std::uint8_t, kMaxIcmpError> out;
    const std::size_t size = WritePacketTooBig(packet, *ParseIp(packet, false), 1280, &out);
    if (!Expect(size != 0)) continue;
    const auto parsed = ParseIp(Bytes(out).first(size), false);
    if (!Expect(parsed.has_value())) continue;
    const std::size_t source = v6 ? 8 : 12;
    Expect(std::memcmp(parsed->source, packet.data() + source + (v6 ? 16 : 4), v6 ? 16 : 4) == 0);
    Expect(std::memcmp(parsed->destination, packet.data() + source, v6 ? 16 : 4) == 0);
    const std::size_t header = v6 ? 40 : 20;
    ExpectEqual(out[header], v6 ? 2 : 3);
    ExpectEqual(v6 ? Load32(&out[header + 4]) : Load16(&out[header + 6]), 1280u);
    Expect(std::equal(out.begin() + static_cast<std::ptrdiff_t>(header + 8),
                      out.begin() + static_cast<std::ptrdiff_t>(size), packet.begin()));
    // An ICMP error is not answered with another.
    const Packet error(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(size));
    ExpectEqual(WritePacketTooBig(error, *ParseIp(error, false), 500, &out), 0u);
  }
  Flow group;
  Packet packet = MakePacket(group, std::vector<std::uint8_t>(100));
  packet[16] = 224;
  std::array<std::uint8_t, kMaxIcmpError> out;
  ExpectEqual(WritePacketTooBig(packet, *ParseIp(packet, false), 500, &out), 0u);
}};

const Test kParse{"parsing never reads outside (random octets)", [] {
  Random random(11);
  for (int i = 0; i < 200000; ++i) {
    Packet packet = random.Octets(random.Below(90));
    if (!packet.empty() && !random.Chance(5)) {
      packet[0] = random.Chance(2) ? static_cast<std::uint8_t>(0x40 | random.Below(16)) : 0x60;
      if (packet.size() >= 6) {
        Store16(&packet[packet[0] >> 4 == 4 ? 2 : 4],
                static_cast<std::uint16_t>(packet.size() - (packet[0] >> 4 == 4 ? 0 : 40)));
      }
    }
    const auto ip = ParseIp(packet, false);
    if (!ip) continue;
    if (const auto transport = ParseTransport(packet, *ip)) Expect(transport->at + transport->size <= packet.size());
    ClampMss(packet, *ip, 100, false);
    std::array<std::uint8_t, kMaxIcmpError> out;
    WritePacketTooBig(packet, *ip, 100, &out);
  }
}};

}  // namespace
}  // namespace dtunnel::test
