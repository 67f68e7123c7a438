// What a plane is opened with, and the bounds it works within.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/endpoint.h"
#include "crypto/aead.h"

namespace dtunnel {

using PeerId = std::uint32_t;
using Slot = std::uint32_t;

inline constexpr std::uint32_t kMaxLanes = 16;
inline constexpr std::uint32_t kMaxSlots = 1u << 24;  // three octets of our connection ids
inline constexpr std::uint32_t kMaxPeers = 1u << 20;
// Candidates that a record without connection id is tried against: current, next, previous and one more.
inline constexpr std::size_t kMaxTrialOpens = 4;
// Largest inner packet, and largest UDP payload over IPv4.
inline constexpr std::size_t kMaxPacketSize = 65535;
inline constexpr std::size_t kMaxDatagramSize = 65507;

// Bits a second that a peer may be limited to.
inline constexpr std::uint64_t kMinRateLimit = 1000;
inline constexpr std::uint64_t kMaxRateLimit = std::uint64_t{1} << 53;

// In the order of Offload in src/plane/stats.ts.
enum class Offload : std::uint8_t { kTunTso, kTunUso, kTunCoalesceTcp, kTunCoalesceUdp, kUdpSegment, kUdpGro };
inline constexpr std::size_t kOffloads = 6;

using OffloadSet = std::uint32_t;
constexpr OffloadSet BitOf(Offload offload) { return OffloadSet{1} << static_cast<unsigned>(offload); }

// No address: the wildcards of both families, on one port.
struct ListenSpec {
  IpAddress address;
  std::uint16_t port = 0;
};

struct PlaneConfig {
  std::string device_name;
  std::uint32_t device_mtu = 1500;
  std::vector<ListenSpec> listen;
  std::uint32_t lanes = 1;
  AeadPreference crypto = AeadPreference::kAuto;
  std::optional<std::uint32_t> mark;
  OffloadSet disabled = 0;
  bool realtime = false;
};

}  // namespace dtunnel
