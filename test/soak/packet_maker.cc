#include "packet_maker.h"

#include <algorithm>

namespace dtunnel::soak {
namespace {

constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32, kEce = 64, kCwr = 128;
constexpr std::size_t kFlows = 32;
constexpr std::uint8_t kPairs = 3;  // address pairs: few, so that many flows share one

}  // namespace

PacketMaker::PacketMaker(const Host& from, const Host& to, const Plan& plan, std::uint64_t seed)
    : from_(from), to_(to), plan_(plan), random_(seed) {
  for (std::size_t i = 0; i < kFlows; ++i) {
    Flow flow;
    flow.v6 = i % 2 == 0;
    flow.tcp = i / 2 % 2 == 0;
    flow.pair = static_cast<std::uint8_t>(1 + i / 4 % kPairs);
    flow.source_port = static_cast<std::uint16_t>(2000 + i);
    flow.destination_port = static_cast<std::uint16_t>(3000 + i % 5);
    flow.sequence = static_cast<std::uint32_t>(random_.Next());
    flow.acknowledgment = static_cast<std::uint32_t>(random_.Next());
    flow.id = static_cast<std::uint16_t>(random_.Next());
    flows_.push_back(flow);
  }
}

std::vector<Item> PacketMaker::Burst() {
  if (!random_.Chance(3)) return FlowBurst();
  // Several bursts interleaved, each in its order.
  std::vector<std::vector<Item>> parts;
  for (std::size_t i = 2 + random_.Below(6); i != 0; --i) parts.push_back(FlowBurst());
  std::vector<Item> out;
  while (!parts.empty()) {
    const std::size_t which = random_.Below(parts.size());
    for (std::size_t run = 1 + random_.Below(3); run != 0 && !parts[which].empty(); --run) {
      out.push_back(std::move(parts[which].front()));
      parts[which].erase(parts[which].begin());
    }
    if (parts[which].empty()) parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(which));
  }
  return out;
}

std::vector<Item> PacketMaker::FlowBurst() {
  Flow* flow = &flows_[random_.Below(flows_.size())];
  switch (random_.Below(12)) {
    case 0:
      return Oddity(flow);
    case 1:
      return Fragments(flow);
    case 2:
    case 3:
      return Super(flow);
    default:
      return flow->tcp ? TcpRun(flow) : UdpRun(flow);
  }
}

// Something of the flow changes for good.
void PacketMaker::Perturb(Flow* flow) {
  switch (random_.Below(9)) {
    case 0:
      flow->acknowledgment += static_cast<std::uint32_t>(random_.Below(3000));
      break;
    case 1:
      flow->window = static_cast<std::uint16_t>(random_.Next());
      break;
    case 2:
      flow->traffic_class = static_cast<std::uint8_t>(random_.Next());
      break;
    case 3:
      flow->hop_limit = static_cast<std::uint8_t>(3 + random_.Below(253));
      break;
    case 4:
      // DF, none, and the reserved bit with either (RFC 791 §3.1 wants it zero; a router does not judge).
      flow->fragment_field = static_cast<std::uint16_t>(random_.Below(4) << 14 & (random_.Chance(8) ? 0xc000 : 0x4000));
      break;
    case 5:
      flow->label = static_cast<std::uint32_t>(random_.Below(1 << 20));
      break;
    case 6:
      flow->id = static_cast<std::uint16_t>(random_.Chance(2) ? 0xfff8 : random_.Next());
      break;
    case 7:
      flow->sequence += static_cast<std::uint32_t>(random_.Below(5000)) - 2500;
      break;
    default: {
      // Timestamps (RFC 7323), nothing, or a selective acknowledgment (RFC 2018).
      const std::uint64_t kind = random_.Below(3);
      flow->options = kind == 0 ? Octets{} : kind == 1 ? Octets{1, 1, 8, 10} : Octets{1, 1, 5, 10};
      const std::size_t words = flow->options.size();
      flow->options.resize(words + (kind == 0 ? 0 : 8));
      random_.Fill(flow->options.data() + words, flow->options.size() - words);
    }
  }
}

std::size_t PacketMaker::Room(const Flow& flow) const {
  return plan_.largest - (flow.v6 ? 40 : 20) - (flow.tcp ? 20 + flow.options.size() : 8);
}

std::vector<Item> PacketMaker::TcpRun(Flow* flow) {
  const std::size_t room = Room(*flow);
  const std::size_t sizes[] = {1, 7, 19, 20, 21, 31, 32, 33, 64, 100, 536, 999, room - 1, room};
  std::size_t size = sizes[random_.Below(std::size(sizes))];
  std::vector<Item> out;
  for (std::size_t count = 1 + random_.Below(40); count != 0; --count) {
    if (random_.Chance(14)) Perturb(flow);
    size = std::min(size, Room(*flow));
    std::uint8_t flags = kAck;
    std::size_t payload = size;
    switch (random_.Below(40)) {
      case 0: flags |= kPsh; break;
      case 1: flags |= kFin; break;
      case 2: flags |= kUrg; break;
      case 3: flags |= kCwr; break;
      case 4: flags |= kEce; break;
      case 5: flags |= kEce | kCwr | kPsh; break;
      case 6: payload = 0; break;
      case 7: payload = 1 + random_.Below(Room(*flow)); break;
      case 8: flags = kRst; break;
      case 9: flags = static_cast<std::uint8_t>(random_.Next() & ~(kSyn)); break;
      default: break;
    }
    Octets packet = Tcp(flow, flags, payload);
    flow->sequence += static_cast<std::uint32_t>(payload);
    if (random_.Chance(60)) packet[LayoutOf(packet).transport + 16] ^= 0x5a;  // arrives as broken as it left
    out.push_back({std::move(packet), {}, "tcp"});
  }
  return out;
}

std::vector<Item> PacketMaker::UdpRun(Flow* flow) {
  const std::size_t room = Room(*flow);
  const std::size_t sizes[] = {0, 1, 2, 12, 19, 20, 21, 27, 28, 29, 64, 200, 548, 1200, room - 1, room};
  std::size_t size = sizes[random_.Below(std::size(sizes))];
  const bool mixed = random_.Chance(3);
  std::vector<Item> out;
  for (std::size_t count = 1 + random_.Below(80); count != 0; --count) {
    if (random_.Chance(20)) Perturb(flow);
    if (mixed && random_.Chance(4)) size = sizes[random_.Below(std::size(sizes))];
    Octets packet = Udp(flow, size);
    const std::size_t at = LayoutOf(packet).transport;
    if (random_.Chance(40)) Put16(&packet, at + 6, 0);  // no checksum (over IPv6: RFC 6935)
    if (random_.Chance(60)) packet[at + 7] ^= 0x5a;
    if (random_.Chance(80)) Put16(&packet, at + 4, static_cast<std::uint16_t>(8 + random_.Below(size + 9)));
    out.push_back({std::move(packet), {}, "udp"});
  }
  return out;
}

// A super packet, as a host with a capable card sends it; or one packet with its checksum left to the card.
std::vector<Item> PacketMaker::Super(Flow* flow) {
  const std::size_t room = Room(*flow);
  Item item;
  item.kind = flow->tcp ? "tcp super" : "udp super";
  item.gso.partial = true;
  std::size_t payload = 1 + random_.Below(room);
  if (!random_.Chance(5)) {
    const std::size_t sizes[] = {1, 8, 20, 64, 100, 536, 1000, room - 1, room};
    const std::size_t segment = sizes[random_.Below(std::size(sizes))];
    item.gso.segment = static_cast<std::uint16_t>(segment);
    payload = segment + 1 + random_.Below(std::min<std::size_t>(segment * 63, 60'000));
  }
  const std::uint8_t flags = kAck | static_cast<std::uint8_t>(random_.Next() & (kPsh | kFin | kEce | kCwr));
  item.packet = flow->tcp ? Tcp(flow, flags, payload) : Udp(flow, payload);
  const Layout layout = LayoutOf(item.packet);
  if (flow->tcp) flow->sequence += static_cast<std::uint32_t>(payload);
  if (item.gso.segment != 0) flow->id = static_cast<std::uint16_t>(flow->id + (payload - 1) / item.gso.segment);
  Put16(&item.packet, layout.transport + (flow->tcp ? 16 : 6),
        Fold(PseudoSum(item.packet, layout.protocol, item.packet.size() - layout.transport)));
  std::vector<Item> out;
  out.push_back(std::move(item));
  return out;
}

std::vector<Item> PacketMaker::Oddity(Flow* flow) {
  std::vector<Item> out;
  const auto add = [&](Octets packet, const char* kind) { out.push_back({std::move(packet), {}, kind}); };
  const auto plain = [&](std::uint8_t protocol, std::size_t payload, const Octets& options = {}) {
    Octets packet = Ip(flow, protocol, options);
    Append(&packet, payload);
    FinishIp(&packet);
    return packet;
  };
  // IPv4: an unknown option that goes into fragments, no-operations and the end; IPv6: destination options with padding.
  const Octets options = flow->v6 ? Octets{0, 0, 1, 4, 0, 0, 0, 0} : Octets{0x9e, 4, 7, 7, 1, 1, 1, 0};
  for (std::size_t count = 1 + random_.Below(4); count != 0; --count) {
    switch (random_.Below(11)) {
      case 0: {
        Octets echo = plain(flow->v6 ? 58 : 1, 8 + random_.Below(600));
        const std::size_t at = LayoutOf(echo).transport;
        Put16(&echo, at, flow->v6 ? 0x8000 : 0x0800);
        Put16(&echo, at + 2, 0);
        const std::uint32_t pseudo = flow->v6 ? PseudoSum(echo, 58, echo.size() - at) : 0;
        Put16(&echo, at + 2, static_cast<std::uint16_t>(~Fold(pseudo + Sum(&echo[at], echo.size() - at))));
        add(std::move(echo), "echo");
        break;
      }
      case 1: add(plain(253, 0), "empty"); break;
      case 2: add(plain(253, random_.Below(plan_.largest - 40)), "unknown protocol"); break;
      case 3: add(Udp(flow, random_.Below(500), options), "udp behind options"); break;
      case 4: add(Tcp(flow, kAck, random_.Below(500), options), "tcp behind options"); break;
      case 5: {
        Octets syn;
        const Octets kept = flow->options;
        flow->options = {2, 4, 2, 24, 1, 3, 3, 7, 4, 2, 0, 0};  // MSS 536, window scale, SACK permitted
        syn = Tcp(flow, static_cast<std::uint8_t>(kSyn | (random_.Chance(2) ? kAck : 0)), random_.Below(3));
        flow->options = kept;
        add(std::move(syn), "syn");
        break;
      }
      case 6: add(plain(6, random_.Below(20)), "cut tcp header"); break;
      case 7: add(plain(17, random_.Below(8)), "cut udp header"); break;
      case 8: {
        Octets packet = Tcp(flow, kAck, 10 + random_.Below(30));
        packet[LayoutOf(packet).transport + 12] = static_cast<std::uint8_t>(random_.Next());
        FinishTransport(&packet);
        add(std::move(packet), "tcp with any data offset");
        break;
      }
      case 9: add(flow->v6 ? plain(59, 0) : plain(2, 8), "no next header"); break;
      default: add(plain(flow->v6 ? 58 : 1, random_.Below(8)), "cut icmp"); break;
    }
  }
  return out;
}

// A datagram in fragments, some of them twice as small, in order or backwards.
std::vector<Item> PacketMaker::Fragments(Flow* flow) {
  Octets payload(500 + random_.Below(5000));
  random_.Fill(payload.data(), payload.size());
  const auto id = static_cast<std::uint32_t>(random_.Next());
  std::vector<Item> out;
  for (std::size_t at = 0; at < payload.size();) {
    const std::size_t step = std::min((8 + random_.Below(plan_.largest - 60)) & ~std::size_t{7}, payload.size() - at);
    const bool last = at + step == payload.size();
    Octets packet;
    if (flow->v6) {
      packet = Ip(flow, 44);
      packet.resize(48);
      packet[40] = 17;
      Put16(&packet, 42, static_cast<std::uint16_t>(at | (last ? 0 : 1)));
      Put32(&packet, 44, id);
    } else {
      packet = Ip(flow, 17);
      Put16(&packet, 4, static_cast<std::uint16_t>(id));
      Put16(&packet, 6, static_cast<std::uint16_t>((last ? 0 : 0x2000) | at / 8));
    }
    packet.insert(packet.end(), payload.begin() + static_cast<std::ptrdiff_t>(at),
                  payload.begin() + static_cast<std::ptrdiff_t>(at + step));
    FinishIp(&packet);
    out.push_back({std::move(packet), {}, "fragment"});
    at += step;
  }
  if (random_.Chance(3)) std::reverse(out.begin(), out.end());
  return out;
}

Octets PacketMaker::Ip(Flow* flow, std::uint8_t protocol, const Octets& options) {
  Octets p;
  if (flow->v6) {
    p.assign(40, 0);
    Put32(&p, 0, 0x60000000u | static_cast<std::uint32_t>(flow->traffic_class) << 20 | flow->label);
    p[6] = options.empty() ? protocol : 60;
    p[7] = flow->hop_limit;
    const auto source = from_.Raw6(flow->pair);
    const auto destination = to_.Raw6(flow->pair);
    std::copy(source.begin(), source.end(), p.begin() + 8);
    std::copy(destination.begin(), destination.end(), p.begin() + 24);
    p.insert(p.end(), options.begin(), options.end());
    if (!options.empty()) p[40] = protocol;
    return p;
  }
  p.assign(20, 0);
  p[0] = static_cast<std::uint8_t>(0x45 + options.size() / 4);
  p[1] = flow->traffic_class;
  Put16(&p, 4, flow->id++);
  Put16(&p, 6, flow->fragment_field);
  p[8] = flow->hop_limit;
  p[9] = protocol;
  const auto source = from_.Raw4(flow->pair);
  const auto destination = to_.Raw4(flow->pair);
  std::copy(source.begin(), source.end(), p.begin() + 12);
  std::copy(destination.begin(), destination.end(), p.begin() + 16);
  p.insert(p.end(), options.begin(), options.end());
  return p;
}

Octets PacketMaker::Tcp(Flow* flow, std::uint8_t flags, std::size_t payload, const Octets& ip_options) {
  Octets p = Ip(flow, 6, ip_options);
  const std::size_t at = p.size();
  p.resize(at + 20);
  Put16(&p, at, flow->source_port);
  Put16(&p, at + 2, flow->destination_port);
  Put32(&p, at + 4, flow->sequence);
  Put32(&p, at + 8, flow->acknowledgment);
  p[at + 12] = static_cast<std::uint8_t>((20 + flow->options.size()) / 4 << 4);
  p[at + 13] = flags;
  Put16(&p, at + 14, flow->window);
  if ((flags & kUrg) != 0) Put16(&p, at + 18, static_cast<std::uint16_t>(random_.Next()));
  p.insert(p.end(), flow->options.begin(), flow->options.end());
  Append(&p, payload);
  FinishIp(&p);
  FinishTransport(&p);
  return p;
}

Octets PacketMaker::Udp(Flow* flow, std::size_t payload, const Octets& ip_options) {
  Octets p = Ip(flow, 17, ip_options);
  const std::size_t at = p.size();
  p.resize(at + 8);
  Put16(&p, at, flow->source_port);
  Put16(&p, at + 2, flow->destination_port);
  Append(&p, payload);
  FinishIp(&p);
  FinishTransport(&p);
  return p;
}

void PacketMaker::Append(Octets* packet, std::size_t random) {
  const std::size_t at = packet->size();
  packet->resize(at + random);
  random_.Fill(packet->data() + at, random);
}

}  // namespace dtunnel::soak
