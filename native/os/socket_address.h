// Endpoint to and from the kernel's socket addresses.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "base/endpoint.h"

namespace dtunnel {

// Writes `endpoint` into `out`; returns the length to pass to the kernel.
inline socklen_t EncodeSocketAddress(const Endpoint& endpoint, sockaddr_storage* out) {
  if (endpoint.address.family == 4) {
    sockaddr_in sin{};
    sin.sin_family = AF_INET;
    sin.sin_port = htons(endpoint.port);
    std::memcpy(&sin.sin_addr, endpoint.address.octets.data(), 4);
    std::memcpy(out, &sin, sizeof sin);
    return sizeof sin;
  }
  sockaddr_in6 sin6{};
  sin6.sin6_family = AF_INET6;
  sin6.sin6_port = htons(endpoint.port);
  std::memcpy(&sin6.sin6_addr, endpoint.address.octets.data(), 16);
  std::memcpy(out, &sin6, sizeof sin6);
  return sizeof sin6;
}

// The endpoint in `in`; family 0 when it is neither IPv4 nor IPv6.
inline Endpoint DecodeSocketAddress(const sockaddr_storage& in) {
  Endpoint endpoint;
  if (in.ss_family == AF_INET) {
    sockaddr_in sin;
    std::memcpy(&sin, &in, sizeof sin);
    endpoint.address = IpAddress::V4(reinterpret_cast<const std::uint8_t*>(&sin.sin_addr));
    endpoint.port = ntohs(sin.sin_port);
  } else if (in.ss_family == AF_INET6) {
    sockaddr_in6 sin6;
    std::memcpy(&sin6, &in, sizeof sin6);
    endpoint.address = IpAddress::V6(reinterpret_cast<const std::uint8_t*>(&sin6.sin6_addr));
    endpoint.port = ntohs(sin6.sin6_port);
  }
  return endpoint;
}

}  // namespace dtunnel
