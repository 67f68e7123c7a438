// Tun: a TUN device with checksum and segmentation offloads (Linux tun driver: IFF_VNET_HDR, TUNSETOFFLOAD).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "os/fd.h"

namespace dtunnel {

struct TunOptions {
  std::string name;
  std::uint32_t mtu = 1500;
  std::uint32_t queues = 1;
  bool want_tso = true;
  bool want_uso = true;
};

// Owns the device: it vanishes with the last queue. Queues are non-blocking and each is used by one lane's threads; a
// read or write of a queue is atomic per packet, so that other threads may write too.
class Tun {
 public:
  static Result<Tun> Open(const TunOptions& options);

  // Goes on with the queues that another process opened, of which each must be one of the device `name`: EINVAL of
  // "inherited descriptor" otherwise. The device stays as it is.
  static Result<Tun> Adopt(const std::string& name, std::vector<Fd> queues, bool tso, bool uso);

  const std::string& name() const { return name_; }
  std::size_t queues() const { return queues_.size(); }
  int queue(std::size_t index) const { return queues_[index].get(); }
  // What the kernel granted.
  bool tso() const { return tso_; }
  bool uso() const { return uso_; }

 private:
  Tun() = default;
  Status SetUp(const TunOptions& options);

  std::string name_;
  std::vector<Fd> queues_;
  bool tso_ = false;
  bool uso_ = false;
};

}  // namespace dtunnel
