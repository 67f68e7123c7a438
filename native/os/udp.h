// UDP sockets with batches, segmentation (UDP_SEGMENT) and receive coalescing (UDP_GRO): udp(7), ip(7), ipv6(7).
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/endpoint.h"
#include "base/result.h"
#include "os/fd.h"

namespace dtunnel {

struct UdpOptions {
  Endpoint bind;  // family 4 or 6; an address of zeros is the wildcard
  std::optional<std::uint32_t> mark;
  bool gro = true;
  bool share_port = false;     // SO_REUSEPORT
  bool share_address = false;  // SO_REUSEADDR
};

// One bound, non-blocking socket. An IPv6 socket is IPv6 only: a daemon on "any address" has one of each family, since
// IPv4 through an IPv6 socket would need the mapped forms of address, source selection and error everywhere.
class UdpSocket {
 public:
  static Result<UdpSocket> Open(const UdpOptions& options);
  // Goes on with a socket that another process set up; EINVAL of "inherited descriptor" when it is none that is bound to
  // `local`. `overflows`: as many have been counted.
  static Result<UdpSocket> Adopt(Fd fd, const Endpoint& local, std::uint32_t overflows);

  int fd() const { return fd_.get(); }
  const Endpoint& local() const { return local_; }  // with the real port
  bool gro() const { return gro_; }
  // Marks what is sent from now on (SO_MARK, socket(7)); 0: nothing is marked. Any thread may be sending.
  Status SetMark(std::uint32_t mark) const;
  // Whether sockets that say so too may be bound to addresses that overlap with ours (SO_REUSEADDR, socket(7)).
  Status ShareAddress(bool share) const;
  // For good: the kernel looks for another socket for what arrives from now on; what waits here still does, and sending
  // works as before. EINVAL of "connect" when the address we are bound to is gone.
  Status Deafen() const;
  bool deaf() const;
  bool HasInput() const;

  // The receiving thread: how many more the socket has dropped, `total` so far, since it was asked last.
  std::uint32_t CountOverflows(std::uint32_t total) {
    const std::uint32_t more = total - overflows_;
    overflows_ = total;
    return more;
  }
  std::uint32_t overflows() const { return overflows_; }

 private:
  UdpSocket() = default;
  Status Configure(const UdpOptions& options);

  Fd fd_;
  Endpoint local_;
  bool gro_ = false;
  std::uint32_t overflows_ = 0;  // counted; the receiving thread's
};

// Where and how to send, in the form the kernel wants: built once per path, shared by threads, immutable.
struct SendTarget {
  int fd = -1;
  sockaddr_storage remote{};
  socklen_t remote_size = 0;
  IpAddress source;  // family 0: the kernel chooses

  static SendTarget Make(int fd, const Path& path);
};

// The octets of ancillary data one message may carry: segment size, source address, traffic class.
inline constexpr std::size_t kSendControlSize = 96;

// Fills `out` with a message of `data` to `target`. segment_size 0: one datagram. `control` lives as long as `out`.
void PrepareMessage(const SendTarget& target, iovec* data, std::size_t segment_size, std::uint8_t traffic_class,
                    std::array<std::uint8_t, kSendControlSize>* control, msghdr* out);

// Sends one datagram now. Any thread.
Status SendDatagram(const SendTarget& target, Bytes datagram, std::uint8_t traffic_class);

// One received message: `data` is `count` datagrams of `stride` octets, the last perhaps shorter.
struct ReceivedMessage {
  Bytes data;
  std::size_t stride = 0;
  Endpoint remote;
  IpAddress local;
  std::uint8_t ecn = 0;
  std::uint32_t overflows = 0;  // datagrams the socket has dropped so far (SO_RXQ_OVFL)

  std::size_t count() const { return stride == 0 ? 1 : (data.size() + stride - 1) / stride; }
};

// Receives batches into buffers of its own. Single-threaded.
class UdpReceiver {
 public:
  UdpReceiver();
  UdpReceiver(const UdpReceiver&) = delete;
  UdpReceiver& operator=(const UdpReceiver&) = delete;

  // Takes what is there, at most `most` messages (1 … kMessages), without blocking: how many, 0 when there is none, or the error.
  Result<std::size_t> Receive(const UdpSocket& socket, std::size_t most);
  // Message `index` of the last Receive; its data is valid until the next.
  ReceivedMessage Message(std::size_t index) const;

  static std::size_t Footprint();

  static constexpr std::size_t kMessages = 4;

 private:
  static constexpr std::size_t kMessageSize = 65536;
  static constexpr std::size_t kControlSize = 128;

  std::unique_ptr<std::uint8_t[]> memory_;
  std::uint8_t* data_ = nullptr;
  std::array<mmsghdr, kMessages> headers_{};
  std::array<iovec, kMessages> vectors_{};
  std::array<sockaddr_storage, kMessages> names_{};
  std::array<std::array<std::uint8_t, kControlSize>, kMessages> controls_{};
};

}  // namespace dtunnel
