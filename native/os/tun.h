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

// Owns the device: it vanishes with the last queue. Descriptors are non-blocking and each is used by one lane's threads; a
// read or write is atomic per packet, so that other threads may write too.
//
// A device with one queue is written through it. With several, the kernel lets a flow follow the queue that its answers are
// written to (tun_flow_update() in the driver; "a very small possibility of OOO during switching", it says), and would move
// flows between lanes for ever: each lane writes through a queue of its own that is detached (TUNSETQUEUE), which teaches
// the kernel nothing, and every flow stays where its hash puts it.
class Tun {
 public:
  static Result<Tun> Open(const TunOptions& options);

  // Goes on with the descriptors that another process opened, in the order of `descriptors`, of which each must be one of
  // the device `name`: EINVAL of "inherited descriptor" otherwise. The device stays as it is.
  static Result<Tun> Adopt(const std::string& name, std::vector<Fd> queues, bool tso, bool uso);
  // How many a device with `queues` queues has.
  static std::size_t DescriptorsOf(std::size_t queues) { return queues == 1 ? 1 : 2 * queues; }

  const std::string& name() const { return name_; }
  // What lane `index` reads from, and what it writes to.
  int reader(std::size_t index) const { return queues_[index].get(); }
  int writer(std::size_t index) const { return queues_.size() == 1 ? reader(0) : queues_[queues_.size() / 2 + index].get(); }
  // All of them: the readers, then the writers where those are others.
  std::vector<int> descriptors() const;
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
