// Raw packets from one host to the other, compared octet by octet.
#pragma once

#include "hosts.h"
#include "ledger.h"

namespace dtunnel::soak {

// Sends bursts of a PacketMaker for plan.seconds and judges what arrives. One thread of its own per direction; sockets
// are opened in the constructor, which changes the calling thread's namespace.
class RawTraffic {
 public:
  RawTraffic(const Host& from, const Host& to, const Plan& plan, std::uint64_t seed);
  Verdict Run();

 private:
  void Send(const Octets& frame);
  std::size_t Receive(Ledger* ledger);

  const Host from_;
  const Host to_;
  const Plan plan_;
  const std::uint64_t seed_;
  int sender_ = -1;
  int receiver_ = -1;
};

}  // namespace dtunnel::soak
