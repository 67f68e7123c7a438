#include "plane/send_batch.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>

namespace dtunnel {
namespace {

// How long a full socket may hold the thread before the message is dropped: the device behind it is stuck.
constexpr int kFullSocketWaitMs = 100;

}  // namespace

SendBatch::SendBatch(ThreadCounters* counters, Offloads* offloads, std::function<void(Offload, int)> on_disabled)
    : counters_(counters),
      offloads_(offloads),
      on_disabled_(std::move(on_disabled)),
      memory_(std::make_unique_for_overwrite<std::uint8_t[]>(Footprint())) {
  const auto base = reinterpret_cast<std::uintptr_t>(memory_.get());
  data_ = memory_.get() + ((4096 - base % 4096) % 4096);
}

bool SendBatch::Fits(const Message& m, const SendTarget& target, const PeerCounters* peer, std::uint8_t traffic_class,
                     std::size_t size) const {
  return !m.closed && m.target == &target && m.peer == peer && m.traffic_class == traffic_class && size <= m.segment &&
         m.count < kMaxSegments && m.size + size <= kMaxDatagramSize && offloads_->Has(Offload::kUdpSegment);
}

std::uint8_t* SendBatch::Reserve(const SendTarget& target, PeerCounters* peer, std::uint8_t traffic_class,
                                 std::size_t size, std::size_t inner) {
  if (count_ != 0) {
    Message& last = messages_[count_ - 1];
    if (Fits(last, target, peer, traffic_class, size)) {
      std::uint8_t* at = data_ + last.offset + last.size;
      last.size += static_cast<std::uint32_t>(size);
      last.inner += inner;
      ++last.count;
      last.closed = size < last.segment;  // udp(7): only the last segment may be shorter
      used_ += size;
      return at;
    }
    // Sending here, with every message finished, leaves an empty buffer: nothing has to be moved, and the next records
    // are written where the cache is warm.
    if (used_ >= kFlushSize || count_ == kMaxMessages || used_ + size > kCapacity) Flush();
  }
  Message& m = messages_[count_++];
  m.target = &target;
  m.peer = peer;
  m.offset = static_cast<std::uint32_t>(used_);
  m.size = static_cast<std::uint32_t>(size);
  m.inner = inner;
  m.segment = static_cast<std::uint16_t>(size);
  m.count = 1;
  m.traffic_class = traffic_class;
  m.closed = false;
  used_ += size;
  return data_ + m.offset;
}

void SendBatch::Flush() {
  for (std::size_t i = 0; i < count_; ++i) {
    const Message& m = messages_[i];
    vectors_[i] = iovec{data_ + m.offset, m.size};
    PrepareMessage(*m.target, &vectors_[i], m.count > 1 ? m.segment : 0, m.traffic_class, &controls_[i],
                   &headers_[i].msg_hdr);
  }
  std::size_t sent = 0;
  while (sent < count_) sent += SendFrom(sent);
  count_ = 0;
  used_ = 0;
}

// Sends messages from `first` on that share its socket; returns how many are dealt with.
std::size_t SendBatch::SendFrom(std::size_t first) {
  const int fd = messages_[first].target->fd;
  std::size_t end = first + 1;
  while (end < count_ && messages_[end].target->fd == fd) ++end;
  counters_->udp_transmit_calls.Add();
  const int sent =
      ::sendmmsg(fd, &headers_[first], static_cast<unsigned>(end - first), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent > 0) {
    for (std::size_t i = first; i < first + static_cast<std::size_t>(sent); ++i) CountSent(messages_[i]);
    return static_cast<std::size_t>(sent);
  }
  const int error = errno;
  if (error == EINTR) return 0;
  if (error == EAGAIN || error == ENOBUFS) {
    // The device's queue leans back on us, and we on the TUN queue, which drops at its tail.
    pollfd wait{fd, POLLOUT, 0};
    if (::poll(&wait, 1, kFullSocketWaitMs) > 0 && error == EAGAIN) return 0;
  }
  const Message& m = messages_[first];
  if (m.count > 1 && (error == EIO || error == EINVAL || error == EMSGSIZE)) {
    SendSingly(m);
  } else {
    GiveUp(m, error);
  }
  return 1;
}

// Segmentation failed: EIO where the device lacks checksum offload, EINVAL and EMSGSIZE by kernel version, and also
// when a record is larger than the device's MTU. Only if the records pass one by one was segmentation to blame.
void SendBatch::SendSingly(const Message& m) {
  std::size_t at = 0;
  std::size_t passed = 0;
  int error = 0;
  while (at < m.size) {
    const std::size_t size = std::min<std::size_t>(m.segment, m.size - at);
    counters_->udp_transmit_calls.Add();
    const Status sent = SendDatagram(*m.target, Bytes(data_ + m.offset + at, size));
    if (sent) {
      ++passed;
      counters_->udp_transmit_datagrams.Add();
      counters_->udp_transmit_bytes.Add(size);
    } else {
      error = sent.error().code;
    }
    at += size;
  }
  if (passed == m.count && offloads_->Disable(Offload::kUdpSegment)) on_disabled_(Offload::kUdpSegment, error);
  m.peer->transmit_packets.Add(passed);
  m.peer->transmit_bytes.Add(passed == 0 ? 0 : m.inner * passed / m.count);
  if (passed != m.count) m.peer->drops_out.Add(Drop::kSendError, m.count - passed);
}

void SendBatch::GiveUp(const Message& m, int error) {
  m.peer->drops_out.Add(error == EAGAIN || error == ENOBUFS ? Drop::kQueueFull : Drop::kSendError, m.count);
}

void SendBatch::CountSent(const Message& m) {
  counters_->udp_transmit_datagrams.Add(m.count);
  counters_->udp_transmit_bytes.Add(m.size);
  m.peer->transmit_packets.Add(m.count);
  m.peer->transmit_bytes.Add(m.inner);
}

}  // namespace dtunnel
