// ICMP echo ("ping"), for reachability tests: Node has no ICMP.
#pragma once

#include <cstdint>
#include <vector>

#include "base/endpoint.h"
#include "base/result.h"

namespace dtunnel {

struct IcmpEchoOptions {
  std::uint32_t count = 1;
  std::uint32_t interval_ms = 200;  // between requests
  std::uint32_t timeout_ms = 1000;  // for each answer
  std::uint32_t payload_bytes = 56;
  bool dont_fragment = false;
};

struct IcmpEchoReport {
  std::uint32_t sent = 0;
  std::vector<double> rtt_ms;  // of the answers, in order of arrival
  int last_error = 0;          // errno of the last refused send, e.g. EMSGSIZE; 0: none
};

// Sends echo requests to `address` and collects the answers, blocking. Uses an unprivileged ping socket
// (net.ipv4.ping_group_range), or a raw one where the process may.
Result<IcmpEchoReport> IcmpEcho(const IpAddress& address, const IcmpEchoOptions& options);

}  // namespace dtunnel
