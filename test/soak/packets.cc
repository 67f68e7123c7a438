#include "packets.h"

#include <algorithm>
#include <cstring>

namespace dtunnel::soak {

std::uint64_t Random::Next() {
  std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

void Random::Fill(std::uint8_t* out, std::size_t size) {
  while (size != 0) {
    const std::uint64_t word = Next();
    const std::size_t n = std::min<std::size_t>(size, 8);
    std::memcpy(out, &word, n);
    out += n;
    size -= n;
  }
}

std::uint16_t Get16(const Octets& p, std::size_t at) { return static_cast<std::uint16_t>(p[at] << 8 | p[at + 1]); }
std::uint32_t Get32(const Octets& p, std::size_t at) {
  return static_cast<std::uint32_t>(Get16(p, at)) << 16 | Get16(p, at + 2);
}
void Put16(Octets* p, std::size_t at, std::uint16_t v) {
  (*p)[at] = static_cast<std::uint8_t>(v >> 8);
  (*p)[at + 1] = static_cast<std::uint8_t>(v);
}
void Put32(Octets* p, std::size_t at, std::uint32_t v) {
  Put16(p, at, static_cast<std::uint16_t>(v >> 16));
  Put16(p, at + 2, static_cast<std::uint16_t>(v));
}

std::uint32_t Sum(const std::uint8_t* data, std::size_t size) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < size; i += 2) sum += static_cast<std::uint32_t>(data[i] << 8 | data[i + 1]);
  if (size % 2 != 0) sum += static_cast<std::uint32_t>(data[size - 1] << 8);
  return sum;
}

std::uint16_t Fold(std::uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

Layout LayoutOf(const Octets& p) {
  Layout out;
  if (p[0] >> 4 == 4) {
    out.protocol = p[9];
    out.transport = static_cast<std::size_t>(p[0] & 15) * 4;
    out.fragment = (Get16(p, 6) & 0x3fff) != 0;
    return out;
  }
  out.v6 = true;
  out.protocol = p[6];
  out.transport = 40;
  // RFC 8200 §4: hop-by-hop, routing, destination options; a fragment header ends the search.
  while (out.protocol == 0 || out.protocol == 43 || out.protocol == 60) {
    if (out.transport + 8 > p.size()) break;
    out.protocol = p[out.transport];
    out.transport += (p[out.transport + 1] + std::size_t{1}) * 8;
  }
  out.fragment = out.protocol == 44;
  return out;
}

std::uint32_t PseudoSum(const Octets& p, std::uint8_t protocol, std::size_t size) {
  const std::uint32_t addresses = p[0] >> 4 == 4 ? Sum(&p[12], 8) : Sum(&p[8], 32);
  return addresses + protocol + static_cast<std::uint32_t>(size >> 16) + static_cast<std::uint32_t>(size & 0xffff);
}

void FinishIp(Octets* packet) {
  Octets& p = *packet;
  if (p[0] >> 4 == 6) {
    Put16(packet, 4, static_cast<std::uint16_t>(p.size() - 40));
    return;
  }
  Put16(packet, 2, static_cast<std::uint16_t>(p.size()));
  Put16(packet, 10, 0);
  Put16(packet, 10, static_cast<std::uint16_t>(~Fold(Sum(p.data(), static_cast<std::size_t>(p[0] & 15) * 4))));
}

void FinishTransport(Octets* packet) {
  const Layout layout = LayoutOf(*packet);
  const bool tcp = layout.protocol == 6;
  if (layout.fragment || (!tcp && layout.protocol != 17)) return;
  const std::size_t size = packet->size() - layout.transport;
  const std::size_t field = layout.transport + (tcp ? 16 : 6);
  if (!tcp) Put16(packet, layout.transport + 4, static_cast<std::uint16_t>(size));
  Put16(packet, field, 0);
  const std::uint32_t pseudo = PseudoSum(*packet, layout.protocol, size);
  auto sum = static_cast<std::uint16_t>(~Fold(pseudo + Sum(packet->data() + layout.transport, size)));
  if (!tcp && sum == 0) sum = 0xffff;  // RFC 768
  Put16(packet, field, sum);
}

std::vector<Octets> Segment(const Octets& super, const Gso& gso) {
  if (gso.segment == 0) {
    Octets whole = super;
    if (gso.partial) FinishTransport(&whole);
    return {whole};
  }
  const Layout layout = LayoutOf(super);
  const bool tcp = layout.protocol == 6;
  const std::size_t headers = layout.transport + (tcp ? static_cast<std::size_t>(super[layout.transport + 12] >> 4) * 4 : 8);
  std::vector<Octets> out;
  for (std::size_t at = headers; at < super.size(); at += gso.segment) {
    const std::size_t payload = std::min<std::size_t>(gso.segment, super.size() - at);
    const bool last = at + payload == super.size();
    Octets one(super.begin(), super.begin() + static_cast<std::ptrdiff_t>(headers));
    one.insert(one.end(), super.begin() + static_cast<std::ptrdiff_t>(at),
               super.begin() + static_cast<std::ptrdiff_t>(at + payload));
    if (!layout.v6) Put16(&one, 4, static_cast<std::uint16_t>(Get16(super, 4) + out.size()));
    if (tcp) {
      Put32(&one, layout.transport + 4, Get32(super, layout.transport + 4) + static_cast<std::uint32_t>(at - headers));
      std::uint8_t& flags = one[layout.transport + 13];
      if (!last) flags &= static_cast<std::uint8_t>(~0x09);     // FIN and PSH belong to the end of the data
      if (!out.empty()) flags &= static_cast<std::uint8_t>(~0x80);  // RFC 3168 §6.1.2: CWR once
    }
    FinishIp(&one);
    FinishTransport(&one);
    out.push_back(std::move(one));
  }
  return out;
}

Octets Comparable(const Octets& packet, std::uint8_t hops) {
  Octets p = packet;
  if (p[0] >> 4 == 6) {
    p[7] = static_cast<std::uint8_t>(p[7] - hops);
    return p;
  }
  if (Fold(Sum(p.data(), static_cast<std::size_t>(p[0] & 15) * 4)) != 0xffff) return {};
  p[8] = static_cast<std::uint8_t>(p[8] - hops);
  Put16(&p, 10, 0);
  const std::uint16_t fragment = Get16(p, 6);
  if ((fragment & 0x4000) != 0 && (fragment & 0x3fff) == 0) Put16(&p, 4, 0);
  return p;
}

std::vector<Octets> Unmarked(const Octets& packet) {
  const bool v6 = packet[0] >> 4 == 6;
  const std::size_t at = 1;
  const int shift = v6 ? 4 : 0;
  if ((packet[at] >> shift & 3) != 3) return {};
  std::vector<Octets> out;
  for (const int ecn : {1, 2}) {
    Octets one = packet;
    one[at] = static_cast<std::uint8_t>((one[at] & ~(3 << shift)) | ecn << shift);
    out.push_back(std::move(one));
  }
  return out;
}

Octets Decapsulated(const Octets& packet, int outer) {
  const int shift = packet[0] >> 4 == 6 ? 4 : 0;
  const int inner = packet[1] >> shift & 3;
  // Rows: what the inner field says (Not-ECT, ECT(1), ECT(0), CE); columns: the outer one; −1: drop.
  static constexpr int kTable[4][4] = {{0, 0, 0, -1}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
  const int left = kTable[inner][outer];
  if (left < 0) return {};
  Octets out = packet;
  out[1] = static_cast<std::uint8_t>((out[1] & ~(3 << shift)) | left << shift);
  return out;
}

std::string FlowOf(const Octets& p) {
  const Layout layout = LayoutOf(p);
  std::string key;
  key += static_cast<char>(layout.protocol);
  const std::size_t from = layout.v6 ? 8 : 12;
  const std::size_t size = layout.v6 ? 32 : 8;
  key.append(reinterpret_cast<const char*>(&p[from]), size);
  if (!layout.fragment && (layout.protocol == 6 || layout.protocol == 17) && p.size() >= layout.transport + 4) {
    key.append(reinterpret_cast<const char*>(&p[layout.transport]), 4);
  }
  return key;
}

}  // namespace dtunnel::soak
