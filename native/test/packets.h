// Inner packets for tests, built the slow and obvious way: what the fast code is compared with.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "packet/ip.h"
#include "packet/vnet_hdr.h"

namespace dtunnel::test {

using Packet = std::vector<std::uint8_t>;

// RFC 1071 §4.1, word by word.
inline std::uint16_t NaiveChecksum(const std::vector<std::uint8_t>& data) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < data.size(); i += 2) {
    sum += static_cast<std::uint32_t>(data[i]) << 8 | (i + 1 < data.size() ? data[i + 1] : 0u);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(~sum);
}

struct Flow {
  bool v6 = false;
  bool tcp = true;
  std::uint8_t traffic_class = 0;
  std::uint8_t ttl = 64;
  bool dont_fragment = true;
  std::uint16_t id = 1;
  std::uint8_t host = 1;  // last octet of the source
  std::uint16_t source_port = 1000;
  std::uint16_t destination_port = 2000;
  std::uint32_t sequence = 1;
  std::uint32_t ack = 7;
  std::uint16_t window = 500;
  std::uint8_t flags = kTcpAck;
  std::vector<std::uint8_t> options;  // of TCP, a multiple of 4
};

inline std::size_t HeaderSize(const Flow& f) {
  return (f.v6 ? 40u : 20u) + (f.tcp ? 20u + f.options.size() : 8u);
}

inline void FinishTransport(Packet* p, bool v6, bool tcp) {
  const std::size_t at = v6 ? 40 : 20;
  const std::size_t field = at + (tcp ? 16 : 6);
  (*p)[field] = (*p)[field + 1] = 0;
  std::vector<std::uint8_t> pseudo;
  const std::size_t addresses = v6 ? 8 : 12;
  pseudo.insert(pseudo.end(), p->begin() + static_cast<std::ptrdiff_t>(addresses),
                p->begin() + static_cast<std::ptrdiff_t>(addresses + (v6 ? 32 : 8)));
  const std::size_t length = p->size() - at;
  for (int shift = 24; shift >= 0; shift -= 8) pseudo.push_back(static_cast<std::uint8_t>(length >> shift));
  pseudo.insert(pseudo.end(), {0, 0, 0, tcp ? kProtocolTcp : kProtocolUdp});
  pseudo.insert(pseudo.end(), p->begin() + static_cast<std::ptrdiff_t>(at), p->end());
  std::uint16_t sum = NaiveChecksum(pseudo);
  if (sum == 0 && !tcp) sum = 0xffff;
  Store16(p->data() + field, sum);
}

inline void FinishIp(Packet* p, bool v6) {
  if (v6) {
    Store16(p->data() + 4, static_cast<std::uint16_t>(p->size() - 40));
    return;
  }
  Store16(p->data() + 2, static_cast<std::uint16_t>(p->size()));
  (*p)[10] = (*p)[11] = 0;
  Store16(p->data() + 10, NaiveChecksum(std::vector<std::uint8_t>(p->begin(), p->begin() + 20)));
}

// One complete packet of the flow.
inline Packet MakePacket(const Flow& f, const std::vector<std::uint8_t>& payload) {
  Packet p(HeaderSize(f) + payload.size());
  const std::size_t at = f.v6 ? 40 : 20;
  if (f.v6) {
    p[0] = static_cast<std::uint8_t>(0x60 | f.traffic_class >> 4);
    p[1] = static_cast<std::uint8_t>(f.traffic_class << 4);
    p[6] = f.tcp ? kProtocolTcp : kProtocolUdp;
    p[7] = f.ttl;
    p[8] = p[24] = 0xfd;
    p[23] = f.host;
    p[39] = 99;
  } else {
    p[0] = 0x45;
    p[1] = f.traffic_class;
    Store16(&p[4], f.id);
    p[6] = f.dont_fragment ? 0x40 : 0;
    p[8] = f.ttl;
    p[9] = f.tcp ? kProtocolTcp : kProtocolUdp;
    p[12] = p[16] = 10;
    p[15] = f.host;
    p[19] = 99;
  }
  Store16(&p[at], f.source_port);
  Store16(&p[at + 2], f.destination_port);
  if (f.tcp) {
    Store32(&p[at + 4], f.sequence);
    Store32(&p[at + 8], f.ack);
    p[at + 12] = static_cast<std::uint8_t>((20 + f.options.size()) / 4 << 4);
    p[at + 13] = f.flags;
    Store16(&p[at + 14], f.window);
    if (!f.options.empty()) std::memcpy(&p[at + 20], f.options.data(), f.options.size());
  } else {
    Store16(&p[at + 4], static_cast<std::uint16_t>(8 + payload.size()));
  }
  if (!payload.empty()) std::memcpy(&p[HeaderSize(f)], payload.data(), payload.size());
  FinishIp(&p, f.v6);
  FinishTransport(&p, f.v6, f.tcp);
  return p;
}

// The packets that a super packet of `payload` stands for.
inline std::vector<Packet> NaiveSegments(const Flow& flow, const std::vector<std::uint8_t>& payload, std::size_t mss) {
  std::vector<Packet> segments;
  for (std::size_t at = 0; at < payload.size(); at += mss) {
    const std::size_t size = std::min(mss, payload.size() - at);
    Flow f = flow;
    f.sequence = flow.sequence + static_cast<std::uint32_t>(at);
    f.id = static_cast<std::uint16_t>(flow.id + segments.size());
    if (at + size != payload.size()) f.flags &= static_cast<std::uint8_t>(~(kTcpPsh | kTcpFin));
    if (at != 0) f.flags &= static_cast<std::uint8_t>(~kTcpCwr);
    segments.push_back(MakePacket(
        f, std::vector<std::uint8_t>(payload.begin() + static_cast<std::ptrdiff_t>(at),
                                     payload.begin() + static_cast<std::ptrdiff_t>(at + size))));
  }
  return segments;
}

// The super packet itself, as the TUN device hands it over: the transport checksum is the pseudo header's.
inline Packet MakeSuperPacket(const Flow& flow, const std::vector<std::uint8_t>& payload, std::size_t mss,
                              VnetHdr* hdr) {
  Packet p = MakePacket(flow, payload);
  const std::size_t at = flow.v6 ? 40 : 20;
  hdr->flags = kVnetNeedsChecksum;
  hdr->gso_type = !flow.tcp ? kGsoUdp : flow.v6 ? kGsoTcp6 : kGsoTcp4;
  hdr->gso_size = static_cast<std::uint16_t>(mss);
  hdr->checksum_start = static_cast<std::uint16_t>(at);
  hdr->checksum_offset = flow.tcp ? 16 : 6;
  hdr->header_size = 3;  // wrong on purpose: forwarded packets carry nonsense
  return p;
}

}  // namespace dtunnel::test
