#include <algorithm>
#include <map>
#include <set>

#include "packet/coalesce.h"
#include "packet/split.h"
#include "test/check.h"
#include "test/packets.h"

namespace dtunnel::test {
namespace {

// Cuts what the coalescer writes apart again, as the kernel will.
class Collector : public PacketSink {
 public:
  std::vector<Packet> packets;
  std::size_t writes = 0;
  std::uint64_t inner_octets = 0;

  void WritePacket(const VnetHdr& hdr, MutableBytes packet, std::uint32_t count, std::uint64_t octets,
                   const void*) override {
    ++writes;
    inner_octets += octets;
    if (hdr.gso_type == kGsoNone) {
      ExpectEqual(count, 1u);
      packets.emplace_back(packet.begin(), packet.end());
      return;
    }
    // What the kernel requires: the pseudo header's sum in place, lengths of the whole.
    Packet super(packet.begin(), packet.end());
    VnetHdr plain = hdr;
    plain.gso_type &= static_cast<std::uint8_t>(~kGsoEcnBit);
    auto splitter = Splitter::Create(super, plain);
    if (!Expect(splitter.has_value())) return;
    ExpectEqual(splitter->count(), count);
    for (MutableBytes s = splitter->Next(); !s.empty(); s = splitter->Next()) packets.emplace_back(s.begin(), s.end());
  }
};

void Feed(Coalescer* coalescer, const Packet& packet, const void* owner) {
  std::uint8_t* at = coalescer->Land(packet.size() + 30);
  std::memcpy(at, packet.data(), packet.size());
  std::memset(at + packet.size(), 0xee, 30);  // padding and tag of the record
  if (!coalescer->TryAppend(packet.size(), owner)) coalescer->Add(packet.size(), owner);
}

// The flow of a packet: what must keep its order.
std::string FlowKey(const Packet& p) {
  const bool v6 = p[0] >> 4 == 6;
  const std::size_t at = v6 ? 40 : 20;
  std::string key(p.begin() + (v6 ? 8 : 12), p.begin() + (v6 ? 40 : 20));
  key += static_cast<char>(v6 ? p[6] : p[9]);
  if (p.size() >= at + 4) key.append(p.begin() + static_cast<std::ptrdiff_t>(at), p.begin() + static_cast<std::ptrdiff_t>(at + 4));
  return key;
}

// RFC 6864 §4.1: the identification of an atomic IPv4 packet means nothing and is counted up by segmentation.
Packet WithoutId(Packet p) {
  if (p[0] >> 4 == 4 && (p[6] & 0x40) != 0) {
    Store16(&p[4], 0);
    Store16(&p[10], 0);
  }
  return p;
}

Packet RandomPacket(Random* random, std::vector<Flow>* flows) {
  Flow& flow = (*flows)[random->Below(flows->size())];
  Flow shown = flow;
  const std::size_t usual = 100 + 100 * (flow.source_port % 4);
  std::size_t size = random->Chance(10) ? 1 + random->Below(usual) : usual;
  if (random->Chance(30)) size = 0;
  if (random->Chance(30)) shown.flags |= kTcpPsh;
  if (random->Chance(60)) shown.flags |= kTcpFin;
  if (random->Chance(60)) shown.flags |= kTcpCwr;
  if (random->Chance(60)) shown.flags |= kTcpSyn;
  if (random->Chance(40)) flow.ack += 10;
  if (random->Chance(60)) flow.ttl ^= 1;
  if (random->Chance(60)) flow.traffic_class ^= 3;
  if (random->Chance(60)) flow.sequence += 77;
  if (random->Chance(80)) flow.id += 5;
  const Packet packet = MakePacket(shown, random->Octets(size));
  flow.sequence += static_cast<std::uint32_t>(size);
  ++flow.id;
  return packet;
}

const Test kRoundTrip{"coalesced and cut apart again, every flow is what it was, in order", [] {
  Random random(21);
  std::size_t packets = 0;
  std::size_t writes = 0;
  for (int round = 0; round < 400; ++round) {
    std::vector<Flow> flows;
    for (std::uint16_t i = 0; i < 1 + random.Below(7); ++i) {
      Flow f;
      f.v6 = random.Chance(2);
      f.tcp = random.Chance(2);
      f.dont_fragment = random.Chance(2);
      f.host = static_cast<std::uint8_t>(1 + i % 2);
      f.source_port = static_cast<std::uint16_t>(1000 + i);
      f.options = random.Octets(4 * random.Below(4));
      flows.push_back(f);
    }
    Collector out;
    Coalescer coalescer(&out);
    std::map<std::string, std::vector<Packet>> sent;
    std::uint64_t octets = 0;
    const int owner = 0;
    for (int i = 0; i < 300; ++i) {
      Packet packet = RandomPacket(&random, &flows);
      if (random.Chance(50)) packet[packet.size() - 1] ^= 1;  // damaged inside: must arrive as damaged
      if (random.Chance(80) && packet[0] >> 4 == 4) packet[10] ^= 1;
      sent[FlowKey(packet)].push_back(WithoutId(packet));
      octets += packet.size();
      Feed(&coalescer, packet, &owner);
      if (random.Chance(60)) coalescer.Flush();
      if (random.Chance(20)) coalescer.FlushAllButLast();
    }
    coalescer.Flush();
    Expect(coalescer.empty());
    std::map<std::string, std::vector<Packet>> received;
    for (const Packet& packet : out.packets) received[FlowKey(packet)].push_back(WithoutId(packet));
    if (!Expect(sent == received, "round " + std::to_string(round))) return;
    ExpectEqual(out.inner_octets, octets);
    packets += out.packets.size();
    writes += out.writes;
  }
  Expect(writes * 3 < packets * 2, "something was joined");
}};

const Test kJoins{"a bulk flow becomes full super packets", [] {
  Flow flow;
  Collector out;
  Coalescer coalescer(&out);
  for (int i = 0; i < 90; ++i) {
    Feed(&coalescer, MakePacket(flow, std::vector<std::uint8_t>(1395, static_cast<std::uint8_t>(i))), nullptr);
    flow.sequence += 1395;
    ++flow.id;
  }
  coalescer.Flush();
  ExpectEqual(out.writes, 2u);  // 46 × 1395 octets are the most that fit in 65535
  ExpectEqual(out.packets.size(), 90u);
}};

const Test kBurst{"at the end of a burst everything leaves but the flow that may go on", [] {
  Flow alone;
  alone.tcp = false;
  alone.source_port = 99;
  Flow busy;
  Collector out;
  Coalescer coalescer(&out);
  const auto more = [&] {
    Feed(&coalescer, MakePacket(busy, std::vector<std::uint8_t>(1000)), nullptr);
    busy.sequence += 1000;
    ++busy.id;
  };
  more();
  Feed(&coalescer, MakePacket(alone, std::vector<std::uint8_t>(64)), nullptr);
  more();
  coalescer.FlushAllButLast();
  ExpectEqual(out.packets.size(), 1u);
  Expect(Load16(&out.packets[0][20]) == 99);
  more();
  coalescer.FlushAllButLast();
  ExpectEqual(out.writes, 1u);
  coalescer.Flush();
  ExpectEqual(out.writes, 2u);
  ExpectEqual(out.packets.size(), 4u);
  // Nothing is left to be kept.
  coalescer.FlushAllButLast();
  ExpectEqual(out.writes, 2u);
}};

const Test kOwners{"packets of different peers are never joined", [] {
  Flow flow;
  Collector out;
  Coalescer coalescer(&out);
  const int owners[2] = {};
  for (int i = 0; i < 10; ++i) {
    Feed(&coalescer, MakePacket(flow, std::vector<std::uint8_t>(500)), &owners[i % 2]);
    flow.sequence += 500;
    ++flow.id;
  }
  coalescer.Flush();
  ExpectEqual(out.writes, 10u);
}};

const Test kAbandon{"an abandoned landing leaves the super packet as it was", [] {
  Random random(22);
  Flow flow;
  Collector out;
  Coalescer coalescer(&out);
  std::vector<Packet> sent;
  for (int i = 0; i < 20; ++i) {
    const auto forged = random.Octets(600);
    std::memcpy(coalescer.Land(600), forged.data(), forged.size());
    coalescer.Abandon();
    sent.push_back(MakePacket(flow, random.Octets(500)));
    Feed(&coalescer, sent.back(), nullptr);
    flow.sequence += 500;
    ++flow.id;
  }
  coalescer.Flush();
  Expect(out.packets == sent);
  ExpectEqual(out.writes, 1u);
}};

const Test kSwitches{"a switched-off kind is written one by one", [] {
  for (const bool tcp : {false, true}) {
    Flow flow;
    flow.tcp = tcp;
    Collector out;
    Coalescer coalescer(&out);
    coalescer.SetRules(CoalesceRules{!tcp, tcp});
    for (int i = 0; i < 5; ++i) {
      Feed(&coalescer, MakePacket(flow, std::vector<std::uint8_t>(500)), nullptr);
      flow.sequence += 500;
      ++flow.id;
    }
    coalescer.Flush();
    ExpectEqual(out.writes, 5u);
  }
}};

const Test kUdpLimit{"a UDP super packet has at most 64 segments and no zero checksum", [] {
  Flow flow;
  flow.tcp = false;
  Collector out;
  Coalescer coalescer(&out);
  for (int i = 0; i < 130; ++i) {
    Feed(&coalescer, MakePacket(flow, std::vector<std::uint8_t>(18)), nullptr);
    ++flow.id;
  }
  Packet unsummed = MakePacket(flow, std::vector<std::uint8_t>(18));
  Store16(&unsummed[26], 0);
  Feed(&coalescer, unsummed, nullptr);
  coalescer.Flush();
  ExpectEqual(out.writes, 4u);
  Expect(out.packets.back() == unsummed);
}};

const Test kAnyOctets{"random octets pass through unharmed", [] {
  Random random(23);
  Collector out;
  Coalescer coalescer(&out);
  std::multiset<Packet> sent;
  for (int i = 0; i < 20000; ++i) {
    Packet packet = random.Octets(1 + random.Below(80));
    packet[0] = static_cast<std::uint8_t>(random.Chance(2) ? 0x45 : 0x60);
    if (packet.size() > 20) packet[9] = random.Chance(2) ? kProtocolTcp : kProtocolUdp;
    sent.insert(packet);
    Feed(&coalescer, packet, nullptr);
  }
  coalescer.Flush();
  Expect(std::multiset<Packet>(out.packets.begin(), out.packets.end()) == sent);
}};

}  // namespace
}  // namespace dtunnel::test
