#include "os/udp.h"

#include <netinet/udp.h>
#include <poll.h>

#include <cstring>

#include "os/socket_address.h"

namespace dtunnel {
namespace {

// Linux 4.18 and 5.0; from linux/udp.h.
constexpr int kUdpSegment = 103;
constexpr int kUdpGro = 104;
// What a fast path delivers while the receiving thread waits for a processor; net.core.rmem_max limits it without
// CAP_NET_ADMIN.
constexpr int kSocketBuffer = 8 << 20;

Status SetOption(int fd, int level, int option, int value, const char* what) {
  if (::setsockopt(fd, level, option, &value, sizeof value) != 0) return LastError(what);
  return Done{};
}

std::optional<int> OptionOf(int fd, int level, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(fd, level, option, &value, &size) != 0) return std::nullopt;
  return value;
}

void SetBuffer(int fd, int forced, int ordinary) {
  if (!SetOption(fd, SOL_SOCKET, forced, kSocketBuffer, "")) {
    [[maybe_unused]] const Status capped = SetOption(fd, SOL_SOCKET, ordinary, kSocketBuffer, "");
  }
}

// Appends one control message; `at` is the offset of the next.
template <typename T>
std::size_t AppendControl(std::uint8_t* control, std::size_t at, int level, int type, const T& value) {
  cmsghdr header{};
  header.cmsg_level = level;
  header.cmsg_type = type;
  header.cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(control + at, &header, sizeof header);
  std::memcpy(control + at + CMSG_LEN(0), &value, sizeof value);
  return at + CMSG_SPACE(sizeof value);
}

}  // namespace

Result<UdpSocket> UdpSocket::Open(const UdpOptions& options) {
  UdpSocket socket;
  const int family = options.bind.address.family == 4 ? AF_INET : AF_INET6;
  socket.fd_ = Fd(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.fd_.valid()) return LastError("socket");
  const Status configured = socket.Configure(options);
  if (!configured) return configured.error();
  sockaddr_storage address{};
  socklen_t size = EncodeSocketAddress(options.bind, &address);
  if (::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&address), size) != 0) return LastError("bind");
  size = sizeof address;
  if (::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return LastError("getsockname");
  socket.local_ = DecodeSocketAddress(address);
  return socket;
}

Result<UdpSocket> UdpSocket::Adopt(Fd fd, const Endpoint& local, std::uint32_t overflows) {
  const Error other{EINVAL, kInheritedDescriptor};
  const int family = local.address.family == 4 ? AF_INET : AF_INET6;
  if (OptionOf(fd.get(), SOL_SOCKET, SO_DOMAIN) != family) return other;
  if (OptionOf(fd.get(), SOL_SOCKET, SO_TYPE) != SOCK_DGRAM) return other;
  if (OptionOf(fd.get(), SOL_SOCKET, SO_PROTOCOL) != IPPROTO_UDP) return other;
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return LastError("getsockname");
  if (DecodeSocketAddress(address) != local) return other;
  UdpSocket socket;
  socket.gro_ = OptionOf(fd.get(), IPPROTO_UDP, kUdpGro) == 1;
  socket.fd_ = std::move(fd);
  socket.local_ = local;
  socket.overflows_ = overflows;
  return socket;
}

Status UdpSocket::Configure(const UdpOptions& options) {
  const int fd = fd_.get();
  const bool v4 = options.bind.address.family == 4;
  const int level = v4 ? static_cast<int>(IPPROTO_IP) : static_cast<int>(IPPROTO_IPV6);
  struct Setting {
    int level, option, value;
    const char* name;
  };
  const Setting common[] = {
      {level, v4 ? IP_PKTINFO : IPV6_RECVPKTINFO, 1, v4 ? "IP_PKTINFO" : "IPV6_RECVPKTINFO"},
      {level, v4 ? IP_RECVTOS : IPV6_RECVTCLASS, 1, v4 ? "IP_RECVTOS" : "IPV6_RECVTCLASS"},
      // DF on every datagram, and no belief in what the kernel learned from ICMP: path MTU is ours (RFC 8899 §4.1).
      {level, v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, v4 ? IP_PMTUDISC_PROBE : IPV6_PMTUDISC_PROBE, "MTU_DISCOVER"},
      {SOL_SOCKET, SO_RXQ_OVFL, 1, "SO_RXQ_OVFL"},
  };
  for (const Setting& s : common) {
    const Status set = SetOption(fd, s.level, s.option, s.value, s.name);
    if (!set) return set;
  }
  if (!v4) {
    const Status only = SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY");
    if (!only) return only;
  }
  if (options.share_port) {
    const Status shared = SetOption(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT");
    if (!shared) return shared;
  }
  if (options.share_address) {
    const Status shared = ShareAddress(true);
    if (!shared) return shared;
  }
  if (options.mark) {
    const Status marked = SetMark(*options.mark);
    if (!marked) return marked;
  }
  SetBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
  SetBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
  gro_ = options.gro && static_cast<bool>(SetOption(fd, IPPROTO_UDP, kUdpGro, 1, "UDP_GRO"));
  return Done{};
}

Status UdpSocket::SetMark(std::uint32_t mark) const {
  return SetOption(fd_.get(), SOL_SOCKET, SO_MARK, static_cast<int>(mark), "SO_MARK");
}

Status UdpSocket::ShareAddress(bool share) const {
  return SetOption(fd_.get(), SOL_SOCKET, SO_REUSEADDR, share ? 1 : 0, "SO_REUSEADDR");
}

// A connected socket matches what its remote sends and nothing else (udp(7)), and connecting leaves its queue alone: so it
// is connected to the discard port of its own address (RFC 863), which nobody sends from. Never undone: taking a
// connection back (AF_UNSPEC) would also take away a port that the kernel had chosen.
Status UdpSocket::Deafen() const {
  sockaddr_storage nobody{};
  const socklen_t size = EncodeSocketAddress(Endpoint{local_.address, 9}, &nobody);
  if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&nobody), size) != 0) return LastError("connect");
  return Done{};
}

bool UdpSocket::deaf() const {
  sockaddr_storage nobody{};
  socklen_t size = sizeof nobody;
  return ::getpeername(fd_.get(), reinterpret_cast<sockaddr*>(&nobody), &size) == 0;
}

bool UdpSocket::HasInput() const {
  pollfd input{fd_.get(), POLLIN, 0};
  return ::poll(&input, 1, 0) == 1 && (input.revents & POLLIN) != 0;
}

SendTarget SendTarget::Make(int fd, const Path& path) {
  SendTarget target;
  target.fd = fd;
  target.remote_size = EncodeSocketAddress(path.remote, &target.remote);
  target.source = path.local;
  return target;
}

void PrepareMessage(const SendTarget& target, iovec* data, std::size_t segment_size, std::uint8_t traffic_class,
                    std::array<std::uint8_t, kSendControlSize>* control, msghdr* out) {
  const bool v4 = target.remote.ss_family == AF_INET;
  std::uint8_t* at = control->data();
  std::size_t used = 0;
  if (segment_size != 0) {
    used = AppendControl(at, used, IPPROTO_UDP, kUdpSegment, static_cast<std::uint16_t>(segment_size));
  }
  if (target.source.family == 4) {
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, target.source.octets.data(), 4);
    used = AppendControl(at, used, IPPROTO_IP, IP_PKTINFO, info);
  } else if (target.source.family == 6) {
    in6_pktinfo info{};
    std::memcpy(&info.ipi6_addr, target.source.octets.data(), 16);
    used = AppendControl(at, used, IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
  if (traffic_class != 0) {
    const int value = traffic_class;
    used = v4 ? AppendControl(at, used, IPPROTO_IP, IP_TOS, value)
              : AppendControl(at, used, IPPROTO_IPV6, IPV6_TCLASS, value);
  }
  *out = msghdr{};
  // sendmsg(2) does not write to the name although its type says so.
  out->msg_name = const_cast<sockaddr_storage*>(&target.remote);
  out->msg_namelen = target.remote_size;
  out->msg_iov = data;
  out->msg_iovlen = 1;
  out->msg_control = used == 0 ? nullptr : at;
  out->msg_controllen = used;
}

Status SendDatagram(const SendTarget& target, Bytes datagram, std::uint8_t traffic_class) {
  std::array<std::uint8_t, kSendControlSize> control;
  iovec data{const_cast<std::uint8_t*>(datagram.data()), datagram.size()};
  msghdr message;
  PrepareMessage(target, &data, 0, traffic_class, &control, &message);
  if (::sendmsg(target.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return LastError("sendmsg");
  return Done{};
}

UdpReceiver::UdpReceiver() : memory_(std::make_unique_for_overwrite<std::uint8_t[]>(Footprint())) {
  const auto base = reinterpret_cast<std::uintptr_t>(memory_.get());
  data_ = memory_.get() + ((4096 - base % 4096) % 4096);
}

std::size_t UdpReceiver::Footprint() { return kMessages * kMessageSize + 4096; }

Result<std::size_t> UdpReceiver::Receive(const UdpSocket& socket, std::size_t most) {
  for (std::size_t i = 0; i < most; ++i) {
    vectors_[i] = iovec{data_ + i * kMessageSize, kMessageSize};
    msghdr& header = headers_[i].msg_hdr;
    header.msg_name = &names_[i];
    header.msg_namelen = sizeof names_[i];
    header.msg_iov = &vectors_[i];
    header.msg_iovlen = 1;
    header.msg_control = controls_[i].data();
    header.msg_controllen = kControlSize;
    header.msg_flags = 0;
  }
  const int count = ::recvmmsg(socket.fd(), headers_.data(), static_cast<unsigned>(most), MSG_DONTWAIT, nullptr);
  if (count < 0) {
    if (errno == EAGAIN || errno == EINTR) return std::size_t{0};
    return LastError("recvmmsg");
  }
  return static_cast<std::size_t>(count);
}

ReceivedMessage UdpReceiver::Message(std::size_t index) const {
  const mmsghdr& header = headers_[index];
  ReceivedMessage message;
  message.data = Bytes(data_ + index * kMessageSize, header.msg_len);
  message.stride = header.msg_len;
  message.remote = DecodeSocketAddress(names_[index]);
  const std::uint8_t* control = controls_[index].data();
  std::size_t at = 0;
  // cmsg(3): headers are aligned; the kernel has checked the lengths, and we check them again.
  while (at + sizeof(cmsghdr) <= header.msg_hdr.msg_controllen) {
    cmsghdr c;
    std::memcpy(&c, control + at, sizeof c);
    if (c.cmsg_len < sizeof c || at + c.cmsg_len > header.msg_hdr.msg_controllen) break;
    const std::uint8_t* value = control + at + CMSG_LEN(0);
    if (c.cmsg_level == IPPROTO_UDP && c.cmsg_type == kUdpGro) {
      int stride = 0;
      std::memcpy(&stride, value, sizeof stride);
      if (stride > 0) message.stride = static_cast<std::size_t>(stride);
    } else if (c.cmsg_level == IPPROTO_IP && c.cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, value, sizeof info);
      message.local = IpAddress::V4(reinterpret_cast<const std::uint8_t*>(&info.ipi_addr));
    } else if (c.cmsg_level == IPPROTO_IPV6 && c.cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, value, sizeof info);
      message.local = IpAddress::V6(reinterpret_cast<const std::uint8_t*>(&info.ipi6_addr));
    } else if (c.cmsg_level == IPPROTO_IP && c.cmsg_type == IP_TOS) {
      message.ecn = *value & 3;
    } else if (c.cmsg_level == IPPROTO_IPV6 && c.cmsg_type == IPV6_TCLASS) {
      int traffic_class = 0;
      std::memcpy(&traffic_class, value, sizeof traffic_class);
      message.ecn = static_cast<std::uint8_t>(traffic_class & 3);
    } else if (c.cmsg_level == SOL_SOCKET && c.cmsg_type == SO_RXQ_OVFL) {
      std::memcpy(&message.overflows, value, sizeof message.overflows);
    }
    at += CMSG_ALIGN(c.cmsg_len);
  }
  return message;
}

}  // namespace dtunnel
