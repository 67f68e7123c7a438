// Random handover states for tests and fuzzers.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "plane/handover.h"
#include "test/random.h"

namespace dtunnel::test {

inline IpAddress RandomAddress(Random* random) {
  IpAddress address;
  address.family = random->Chance(2) ? 4 : 6;
  for (std::size_t i = 0; i < address.size(); ++i) address.octets[i] = static_cast<std::uint8_t>(random->Next());
  return address;
}

inline Endpoint RandomEndpoint(Random* random) {
  return Endpoint{RandomAddress(random), static_cast<std::uint16_t>(random->Next())};
}

// A state with something of everything and at least one session; `memory` keeps what its views show and has room for 1000.
inline Handover RandomHandover(Random* random, Slot sessions, std::vector<std::vector<std::uint8_t>>* memory) {
  const auto keep = [&](std::size_t size) { return Bytes(memory->emplace_back(random->Octets(size))); };
  const auto fill = [&](auto* words) {
    for (auto& word : *words) word = static_cast<std::remove_reference_t<decltype(word)>>(random->Next());
  };
  Handover h;
  h.device_name = "dt" + std::to_string(random->Below(1000));
  h.tso = random->Chance(2);
  h.uso = random->Chance(2);
  h.offloads = static_cast<OffloadSet>(random->Below(1u << kOffloads));
  if (random->Chance(2)) h.mark = static_cast<std::uint32_t>(random->Next());
  h.lanes = static_cast<std::uint32_t>(1 + random->Below(4));
  h.listening = static_cast<std::uint32_t>(1 + random->Below(3));
  h.overlapping = static_cast<std::uint32_t>(random->Below(3));
  for (std::size_t i = 0; i < SocketsOf(h.lanes, h.listening) + SocketsOf(h.lanes, h.overlapping); ++i) {
    h.sockets.push_back(HandoverSocket{RandomEndpoint(random), static_cast<std::uint32_t>(random->Next())});
  }
  fill(&h.counters);
  fill(&h.buckets);
  for (PeerId id = 0; id < 4; ++id) {
    HandoverPeer peer;
    peer.id = id * 7;
    if (random->Chance(2)) peer.options = PeerOptions{PeerOptions::Dscp::kFixed, 12, false, false};
    if (random->Chance(2)) peer.limit = HandoverLimit{1000 + random->Below(1'000'000'000), random->Next(), random->Next()};
    fill(&peer.counters);
    h.peers.push_back(peer);
  }
  for (Slot slot = 1; slot <= sessions; ++slot) {
    HandoverSession s;
    s.slot = slot << 16 | slot;
    s.peer = h.peers[slot % 4].id;
    s.epoch = static_cast<std::uint16_t>(slot);
    if (random->Chance(2)) {
      s.our_id = keep(kOurConnectionIdSize);
      Store32(memory->back().data(), s.slot << 8 | 5u);
    }
    s.peer_id = keep(random->Below(20));
    for (RecordKeys* keys : {&s.read, &s.write}) {
      keys->algorithm = static_cast<AeadAlgorithm>(random->Below(kAeadAlgorithms));
      keys->key = keep(AeadKeySize(keys->algorithm));
      keys->iv = keep(ImplicitIvSize(keys->algorithm));
    }
    s.next_number = RecordNumber{s.epoch} << kSequenceBits | random->Below(1u << 30);
    ReplayWindow window;
    for (int i = 0; i < 300; ++i) window.Commit(100 * slot + random->Below(9000));
    s.window = window.Save();
    s.path.remote = RandomEndpoint(random);
    if (random->Chance(2)) s.path.local = s.path.remote.address;
    if (random->Chance(2)) s.previous = RandomEndpoint(random);
    s.max_packet = static_cast<std::uint32_t>(random->Below(65536));
    s.packs = random->Chance(2);
    s.confirmed = random->Chance(2);
    s.many_ports = random->Chance(2);
    s.moved_ns = random->Next();
    s.own_path_ns = random->Next();
    fill(&s.counters);
    if (random->Chance(2)) h.peers[slot % 4].active = s.slot;
    h.sessions.push_back(s);
  }
  for (int i = 0; i < 20; ++i) {
    Route route;
    route.address = RandomAddress(random);
    route.length = static_cast<std::uint8_t>(random->Below(route.address.size() * 8 + 1));
    if (random->Chance(2)) route.outbound = static_cast<PeerId>(random->Below(kMaxPeers));
    for (std::uint64_t n = random->Below(3); n != 0; --n) route.inbound.push_back(static_cast<PeerId>(random->Below(100)));
    h.routes.push_back(route);
  }
  return h;
}

}  // namespace dtunnel::test
