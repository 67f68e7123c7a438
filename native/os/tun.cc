#include "os/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstring>

namespace dtunnel {
namespace {

// Linux 6.2; Debian 12's headers are older.
constexpr unsigned kUso4 = 0x20;
constexpr unsigned kUso6 = 0x40;
constexpr unsigned kTso = TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

// struct virtio_net_hdr without the fields of later versions of virtio.
constexpr int kVnetHdrOctets = 10;

// Packets the device queues for us while we are busy. Smaller drops bursts without lowering the delay under load, since
// nothing pushes back into the sender.
constexpr int kQueueLength = 1000;

// What TUNSETIFF was told, of what TUNGETIFF says.
constexpr int kKindFlags = IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE | IFF_DETACH_QUEUE;

Result<Fd> OpenQueue(std::string* name, bool multi_queue) {
  Fd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return LastError("open");
  ifreq request{};
  std::memcpy(request.ifr_name, name->data(), name->size());
  request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | (multi_queue ? IFF_MULTI_QUEUE : 0));
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) return LastError("TUNSETIFF");
  *name = std::string(request.ifr_name, ::strnlen(request.ifr_name, IFNAMSIZ));
  int size = kVnetHdrOctets;
  if (::ioctl(fd.get(), TUNSETVNETHDRSZ, &size) != 0) return LastError("TUNSETVNETHDRSZ");
  return fd;
}

Status SetInterface(int control, const std::string& name, unsigned long request, const char* what, int value) {
  ifreq change{};
  std::memcpy(change.ifr_name, name.data(), name.size());
  if (request == SIOCSIFMTU) {
    change.ifr_mtu = value;
  } else {
    change.ifr_qlen = value;
  }
  if (::ioctl(control, request, &change) != 0) return LastError(what);
  return Done{};
}

}  // namespace

Result<Tun> Tun::Open(const TunOptions& options) {
  if (options.name.size() >= IFNAMSIZ) return Error{ENAMETOOLONG, "TUNSETIFF"};
  Tun tun;
  tun.name_ = options.name;
  for (std::size_t i = 0; i < DescriptorsOf(options.queues); ++i) {
    Result<Fd> queue = OpenQueue(&tun.name_, options.queues > 1);
    if (!queue) return queue.error();
    ifreq request{};
    request.ifr_flags = IFF_DETACH_QUEUE;
    if (i >= options.queues && ::ioctl(queue.value().get(), TUNSETQUEUE, &request) != 0) return LastError("TUNSETQUEUE");
    tun.queues_.push_back(std::move(queue.value()));
  }
  const Status ready = tun.SetUp(options);
  if (!ready) return ready.error();
  return tun;
}

Result<Tun> Tun::Adopt(const std::string& name, std::vector<Fd> queues, bool tso, bool uso) {
  const int device_kind = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | (queues.size() > 1 ? IFF_MULTI_QUEUE : 0);
  for (const Fd& queue : queues) {
    const bool writes_only = queues.size() > 1 && static_cast<std::size_t>(&queue - queues.data()) >= queues.size() / 2;
    const int kind = device_kind | (writes_only ? IFF_DETACH_QUEUE : 0);
    ifreq request{};
    int header = 0;
    struct stat status {};
    // ioctl numbers mean other things to other drivers: nothing but a character device is asked.
    if (::fstat(queue.get(), &status) != 0 || !S_ISCHR(status.st_mode) ||
        ::ioctl(queue.get(), TUNGETIFF, &request) != 0 || ::ioctl(queue.get(), TUNGETVNETHDRSZ, &header) != 0) {
      return Error{EINVAL, kInheritedDescriptor};
    }
    const bool same_name = name == std::string(request.ifr_name, ::strnlen(request.ifr_name, IFNAMSIZ));
    if (!same_name || (request.ifr_flags & kKindFlags) != kind || header != kVnetHdrOctets) {
      return Error{EINVAL, kInheritedDescriptor};
    }
  }
  Tun tun;
  tun.name_ = name;
  tun.queues_ = std::move(queues);
  tun.tso_ = tso;
  tun.uso_ = uso;
  return tun;
}

std::vector<int> Tun::descriptors() const {
  std::vector<int> all;
  for (const Fd& queue : queues_) all.push_back(queue.get());
  return all;
}

Status Tun::SetUp(const TunOptions& options) {
  // Offloads belong to the device, not to the queue. Kernels before 6.2 refuse the UDP bits with EINVAL.
  const unsigned tso = options.want_tso ? kTso : 0;
  const unsigned uso = options.want_tso && options.want_uso ? kUso4 | kUso6 : 0;
  const int fd = queues_[0].get();
  uso_ = uso != 0 && ::ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | tso | uso) == 0;
  tso_ = tso != 0 && (uso_ || ::ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | tso) == 0);
  if (!tso_ && ::ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM) != 0) return LastError("TUNSETOFFLOAD");

  const Fd control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!control.valid()) return LastError("socket");
  const Status mtu = SetInterface(control.get(), name_, SIOCSIFMTU, "SIOCSIFMTU", static_cast<int>(options.mtu));
  if (!mtu) return mtu;
  const Status length = SetInterface(control.get(), name_, SIOCSIFTXQLEN, "SIOCSIFTXQLEN", kQueueLength);
  // This one ioctl wants the capability in the first user namespace (dev_ioctl() in the kernel): in any other the
  // driver's own length (500) has to do.
  if (!length && length.error().code != EPERM) return length;
  return Done{};
}

}  // namespace dtunnel
