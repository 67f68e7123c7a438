// Handover: all that a plane knows, as a value, and that value as octets for the process that goes on with it.
//
// The document, integers big-endian, a flag one octet of 0 or 1, an address its family (0, 4, 6) and its octets:
//
//   octets  magic "dtun", version (2), then what the sizes below follow from: drop reasons (1), unattributed reasons (1),
//           offloads (1), blocks of a replay window (2)
//   body    device: name (1 + n), TSO and USO granted (flags), offloads in use (4); mark: flag, value (4)
//           lanes (1), listening sockets of a lane (1), those that only overlap (1); for every socket, in the order of
//           the descriptors, its endpoint and the overflows counted (4)
//           counters of the plane (8 each), the three token buckets (8 each)
//           peers (4): id (4), DSCP kind (1) and value (1), ECN, MSS (flags), limit: flag, bits a second (8), both
//             buckets (8 each); active slot: flag, slot (3); counters (8 each)
//           sessions (4), oldest first: slot (3), peer (4), epoch (2), our id: flag, 8 octets; peer's id (1 + n);
//             read and write keys: algorithm (1), key, iv; next record number (8); window: edge (8), first (8), blocks (4 each);
//             path: remote, local, endpoint before; largest packet (2); packs, confirmed, many ports (flags);
//             last move, last record on its path (8 each); counters (8 each)
//           routes (4): address, length (1), outbound: flag, peer (4); inbound (4): peer (4) each
//   digest  SHA-256 of everything before: damage, not forgery, is what it finds, for whoever can write the document
//           has the keys in it
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/endpoint.h"
#include "base/result.h"
#include "os/tun.h"
#include "packet/record.h"
#include "packet/replay_window.h"
#include "plane/config.h"
#include "plane/record_protection.h"
#include "plane/routes.h"
#include "plane/sessions.h"
#include "plane/stats.h"

namespace dtunnel {

struct HandoverSocket {
  Endpoint local;
  std::uint32_t overflows = 0;
};

struct HandoverLimit {
  std::uint64_t bits_per_second = 0;
  std::uint64_t out = 0;
  std::uint64_t in = 0;
};

struct HandoverPeer {
  PeerId id = 0;
  PeerOptions options;
  std::optional<HandoverLimit> limit;
  std::optional<Slot> active;
  std::array<std::uint64_t, kPeerCounterWords> counters{};
};

// Keys and ids are views: of a running session's memory where a plane wrote this, of the document where it was read.
struct HandoverSession {
  Slot slot = 0;
  PeerId peer = 0;
  std::uint16_t epoch = 0;
  Bytes our_id;
  Bytes peer_id;
  RecordKeys read;
  RecordKeys write;
  RecordNumber next_number = 0;
  ReplayWindow::Saved window;
  Path path;
  Endpoint previous;
  std::uint32_t max_packet = 0;
  bool packs = false;
  bool confirmed = false;
  bool many_ports = false;
  std::uint64_t moved_ns = 0;
  std::uint64_t own_path_ns = 0;
  std::array<std::uint64_t, kSessionCounterWords> counters{};
};

struct Handover {
  std::string device_name;
  bool tso = false;
  bool uso = false;
  OffloadSet offloads = 0;
  std::optional<std::uint32_t> mark;
  std::uint32_t lanes = 1;
  std::uint32_t listening = 0;    // sockets of each lane
  std::uint32_t overlapping = 0;  // of those that are still received from after a rebind
  std::vector<HandoverSocket> sockets;
  std::array<std::uint64_t, kThreadCounterWords> counters{};
  std::array<std::uint64_t, 3> buckets{};  // ICMP errors, handshakes, unknown records
  std::vector<HandoverPeer> peers;         // by id
  std::vector<HandoverSession> sessions;   // in order of installation
  std::vector<Route> routes;

  // Descriptors that belong to it: the device's, then the sockets.
  std::size_t descriptors() const { return Tun::DescriptorsOf(lanes) + sockets.size(); }
};

// Sockets that `lanes` lanes have for `listening` endpoints: every lane but the first sends from one of its own each.
inline std::size_t SocketsOf(std::uint32_t lanes, std::uint32_t listening) {
  return std::size_t{listening} * (2 * std::size_t{lanes} - 1);
}

std::size_t HandoverSize(const Handover& handover);
// Writes HandoverSize octets to `out`. False: no digest could be made.
[[nodiscard]] bool WriteHandover(const Handover& handover, MutableBytes out);

// Hostile octets: whatever they are, the answer is a Handover that holds all the rules above, or a refusal:
// EPROTONOSUPPORT when another version wrote them, EBADMSG otherwise. Views in it are of `document`.
Result<Handover> ReadHandover(Bytes document);
// The same without looking at the digest, for fuzzing.
Result<Handover> ReadHandoverUnchecked(Bytes document);

}  // namespace dtunnel
