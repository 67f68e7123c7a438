// TCP streams whose every octet depends on its position.
#pragma once

#include "hosts.h"

namespace dtunnel::soak {

struct TcpVerdict {
  std::uint64_t streams = 0;
  std::uint64_t octets = 0;      // arrived as sent
  std::uint64_t damaged = 0;     // streams with a wrong octet
  std::uint64_t incomplete = 0;  // streams that ended early, stalled, or brought too much

  void Add(const TcpVerdict& other);
};

// One stream with a thread at each end. Its style (by `seed`): size of writes, urgent data, a reader that dawdles. The
// connection is made in the constructor, which changes namespaces.
class TcpTraffic {
 public:
  TcpTraffic(const Host& from, const Host& to, const Plan& plan, int family, std::uint16_t port, std::uint64_t seed);
  // The two ends; each returns when the stream is over.
  void Write();
  TcpVerdict Read();

 private:
  const Plan plan_;
  const std::uint64_t seed_;
  int writer_ = -1;
  int reader_ = -1;
  std::atomic<std::uint64_t> written_{0};  // final once the reader sees the end
};

}  // namespace dtunnel::soak
