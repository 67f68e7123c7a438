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

// Whether the record may go into the message as far as its receiver is concerned.
bool SendBatch::Continues(const Message& m, const Record& record) {
  return m.target == &record.target && m.peer == record.peer && m.traffic_class == record.traffic_class &&
         m.size + record.size <= kMaxDatagramSize;
}

bool SendBatch::FitsDatagram(const Message& m, const Record& record) {
  const std::size_t size = m.last_size + record.size;
  return size <= record.max_datagram && (m.datagrams == 1 || size <= m.segment);
}

// udp(7): only the last segment may be shorter.
bool SendBatch::FitsMessage(const Message& m, const Record& record) const {
  return m.last_size == m.segment && m.last_packets == m.packets_each && record.size <= m.segment &&
         m.datagrams < kMaxSegments && offloads_->Has(Offload::kUdpSegment);
}

SendBatch::Place SendBatch::Reserve(const Record& record) {
  if (count_ != 0) {
    Message& m = messages_[count_ - 1];
    const bool continues = Continues(m, record);
    const bool shares = continues && FitsDatagram(m, record);
    if (shares || (continues && FitsMessage(m, record))) {
      if (!shares) {
        ++m.datagrams;
        m.last_size = 0;
        m.last_packets = 0;
      }
      std::uint8_t* at = data_ + m.offset + m.size;
      m.size += static_cast<std::uint32_t>(record.size);
      m.inner += record.inner;
      ++m.packets;
      m.last_size = static_cast<std::uint16_t>(m.last_size + record.size);
      ++m.last_packets;
      if (m.datagrams == 1) {
        m.segment = m.last_size;
        m.packets_each = m.last_packets;
      }
      used_ += record.size;
      return {at, m.last_size};
    }
    // Sending here, with every message finished, leaves an empty buffer: nothing has to be moved, and the next records
    // are written where the cache is warm.
    if (used_ >= kFlushSize || count_ == kMaxMessages || used_ + record.size > kCapacity) Flush();
  }
  const auto size = static_cast<std::uint16_t>(record.size);
  messages_[count_++] = Message{.target = &record.target,
                                .peer = record.peer,
                                .offset = static_cast<std::uint32_t>(used_),
                                .size = size,
                                .inner = record.inner,
                                .packets = 1,
                                .datagrams = 1,
                                .segment = size,
                                .packets_each = 1,
                                .last_size = size,
                                .last_packets = 1,
                                .traffic_class = record.traffic_class};
  std::uint8_t* at = data_ + used_;
  used_ += record.size;
  return {at, record.size};
}

void SendBatch::Flush() {
  for (std::size_t i = 0; i < count_; ++i) {
    const Message& m = messages_[i];
    vectors_[i] = iovec{data_ + m.offset, m.size};
    PrepareMessage(*m.target, &vectors_[i], m.datagrams > 1 ? m.segment : 0, m.traffic_class, &controls_[i],
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
  if (m.datagrams > 1 && (error == EIO || error == EINVAL || error == EMSGSIZE)) {
    SendSingly(m);
  } else {
    GiveUp(m, error);
  }
  return 1;
}

// Segmentation failed: EIO where the device lacks checksum offload, EINVAL and EMSGSIZE by kernel version, and also
// when a datagram is larger than the device's MTU. Only if the datagrams pass one by one was segmentation to blame.
void SendBatch::SendSingly(const Message& m) {
  std::size_t at = 0;
  std::size_t passed = 0;
  int error = 0;
  while (at < m.size) {
    const std::size_t size = std::min<std::size_t>(m.segment, m.size - at);
    counters_->udp_transmit_calls.Add();
    const Status sent = SendDatagram(*m.target, Bytes(data_ + m.offset + at, size), m.traffic_class);
    at += size;
    if (sent) {
      passed += at == m.size ? m.last_packets : m.packets_each;
      counters_->udp_transmit_datagrams.Add();
      counters_->udp_transmit_bytes.Add(size);
    } else {
      error = sent.error().code;
    }
  }
  if (passed == m.packets && offloads_->Disable(Offload::kUdpSegment)) on_disabled_(Offload::kUdpSegment, error);
  m.peer->transmit_packets.Add(passed);
  m.peer->transmit_bytes.Add(m.inner * passed / m.packets);
  if (passed != m.packets) m.peer->drops_out.Add(Drop::kSendError, m.packets - passed);
}

void SendBatch::GiveUp(const Message& m, int error) {
  m.peer->drops_out.Add(error == EAGAIN || error == ENOBUFS ? Drop::kQueueFull : Drop::kSendError, m.packets);
}

void SendBatch::CountSent(const Message& m) {
  counters_->udp_transmit_datagrams.Add(m.datagrams);
  counters_->udp_transmit_bytes.Add(m.size);
  m.peer->transmit_packets.Add(m.packets);
  m.peer->transmit_bytes.Add(m.inner);
}

}  // namespace dtunnel
