// IP addresses and UDP endpoints as plain values.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace dtunnel {

// An IPv4 or IPv6 address in network order; family 0 means none. Octets behind an IPv4 address are zero, so that
// equality is a comparison of the whole.
struct IpAddress {
  std::uint8_t family = 0;  // 0, 4 or 6
  std::array<std::uint8_t, 16> octets{};

  static IpAddress V4(const std::uint8_t* p) {
    IpAddress a;
    a.family = 4;
    std::memcpy(a.octets.data(), p, 4);
    return a;
  }
  static IpAddress V6(const std::uint8_t* p) {
    IpAddress a;
    a.family = 6;
    std::memcpy(a.octets.data(), p, 16);
    return a;
  }

  std::size_t size() const { return family == 4 ? 4 : family == 6 ? 16 : 0; }
  Bytes bytes() const { return Bytes(octets.data(), size()); }
  bool operator==(const IpAddress&) const = default;
};

struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;

  bool operator==(const Endpoint&) const = default;
};

// Where datagrams of a session travel. A `local` of family 0 lets the kernel choose the source address.
struct Path {
  Endpoint remote;
  IpAddress local;
};

}  // namespace dtunnel
