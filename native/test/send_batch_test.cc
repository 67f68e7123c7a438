// What SendBatch makes of records, judged by what arrives: real sockets on loopback.
#include "plane/send_batch.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "test/check.h"

namespace dtunnel::test {
namespace {

constexpr std::size_t kLimit = 1232;

// A batch and whoever it sends to.
class Line {
 public:
  explicit Line(OffloadSet offloads = BitOf(Offload::kUdpSegment)) : offloads_(offloads) {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof any;
    const int room = 4 << 20;
    const int on = 1;
    ::setsockopt(in_.get(), IPPROTO_IP, IP_RECVTOS, &on, sizeof on);
    for (const Fd* fd : {&out_, &in_}) {
      Expect(::bind(fd->get(), reinterpret_cast<const sockaddr*>(&any), size) == 0, "bind");
      // What there is without root holds 180 datagrams.
      for (const int option : {SO_RCVBUF, SO_RCVBUFFORCE}) ::setsockopt(fd->get(), SOL_SOCKET, option, &room, sizeof room);
    }
    Expect(::getsockname(in_.get(), reinterpret_cast<sockaddr*>(&any), &size) == 0, "getsockname");
    Path path;
    const std::uint8_t octets[4] = {127, 0, 0, 1};
    path.remote = Endpoint{IpAddress::V4(octets), ntohs(any.sin_port)};
    target_ = SendTarget::Make(out_.get(), path);
  }

  int out() const { return out_.get(); }
  const ThreadCounters& counters() const { return counters_; }
  const PeerCounters& peer() const { return peer_; }
  bool segments() const { return offloads_.Has(Offload::kUdpSegment); }
  const std::vector<std::uint8_t>& sent() const { return sent_; }
  // Of the datagrams that came last.
  const std::vector<std::uint8_t>& traffic_classes() const { return traffic_classes_; }

  // Queues a record of octets that name its place in the stream; how many its datagram then has.
  std::size_t Queue(std::size_t size, std::size_t limit = kLimit, std::uint8_t traffic_class = 0) {
    const SendBatch::Place place = batch_.Reserve({.target = target_,
                                                   .peer = &peer_,
                                                   .traffic_class = traffic_class,
                                                   .size = size,
                                                   .inner = size - 1,
                                                   .max_datagram = limit});
    for (std::size_t i = 0; i < size; ++i) {
      place.at[i] = static_cast<std::uint8_t>(sent_.size() * 2654435761u >> 13);
      sent_.push_back(place.at[i]);
    }
    return place.datagram;
  }

  // Sends what is queued; the sizes of the datagrams that came, whose octets must be those that were queued.
  std::vector<std::size_t> Arrived() {
    batch_.Flush();
    std::vector<std::size_t> sizes;
    std::vector<std::uint8_t> octets(65536);
    std::size_t at = 0;
    traffic_classes_.clear();
    for (;;) {
      iovec vector{octets.data(), octets.size()};
      alignas(cmsghdr) std::array<std::uint8_t, 64> control;
      msghdr message{};
      message.msg_iov = &vector;
      message.msg_iovlen = 1;
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      const ssize_t size = ::recvmsg(in_.get(), &message, MSG_DONTWAIT);
      if (size < 0) break;
      const cmsghdr* tos = CMSG_FIRSTHDR(&message);
      traffic_classes_.push_back(tos == nullptr ? 0xff : *CMSG_DATA(tos));
      sizes.push_back(static_cast<std::size_t>(size));
      const bool fits = at + sizes.back() <= sent_.size();
      if (!Expect(fits && std::equal(octets.begin(), octets.begin() + size, sent_.begin() + static_cast<long>(at)),
                  "datagram " + std::to_string(sizes.size()))) {
        break;
      }
      at += sizes.back();
    }
    ExpectEqual(at, sent_.size());
    return sizes;
  }

 private:
  Fd out_{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  Fd in_{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  ThreadCounters counters_;
  PeerCounters peer_;
  Offloads offloads_;
  SendBatch batch_{&counters_, &offloads_, [](Offload, int) {}};
  SendTarget target_;
  std::vector<std::uint8_t> sent_;
  std::vector<std::uint8_t> traffic_classes_;
};

using Sizes = std::vector<std::size_t>;

const Test kShare{"small records share a datagram up to the limit, and their datagrams a message", [] {
  Line line;
  Sizes places;
  for (int i = 0; i < 20; ++i) places.push_back(line.Queue(129));
  ExpectEqual(places[0], 129u);
  ExpectEqual(places[8], 9u * 129u);
  ExpectEqual(places[9], 129u);
  Expect(line.Arrived() == Sizes{9 * 129, 9 * 129, 2 * 129});
  ExpectEqual(line.counters().udp_transmit_calls.value(), 1u);
  ExpectEqual(line.counters().udp_transmit_datagrams.value(), 3u);
  ExpectEqual(line.counters().udp_transmit_bytes.value(), 20u * 129u);
  ExpectEqual(line.peer().transmit_packets.value(), 20u);
  ExpectEqual(line.peer().transmit_bytes.value(), 20u * 128u);
}};

const Test kAlone{"without a limit every record has its datagram", [] {
  Line line;
  for (const std::size_t size : {129, 129, 129, 60, 1400}) ExpectEqual(line.Queue(size, 0), size);
  Expect(line.Arrived() == Sizes{129, 129, 129, 60, 1400});
  // More than a message of the kernel may have.
  Line many;
  for (int i = 0; i < 170; ++i) many.Queue(60, 0);
  Expect(many.Arrived() == Sizes(170, 60));
  Expect(many.segments(), "segmentation was given up");
}};

const Test kMixed{"records of different sizes share, large ones stand alone, and what follows a short end joins it", [] {
  Line line;
  for (const std::size_t size : {101, 613, 101, 1365, 101, 101, 613}) line.Queue(size);
  Expect(line.Arrived() == Sizes{815, 1365, 815});
  Line train;
  for (const std::size_t size : {1430, 1430, 700, 101, 101, 1430}) train.Queue(size);
  Expect(train.Arrived() == Sizes{1430, 1430, 902, 1430});
}};

const Test kMarks{"records of different traffic classes never share", [] {
  Line line;
  line.Queue(100, kLimit, 0);
  line.Queue(100, kLimit, 1);
  line.Queue(100, kLimit, 1);
  Expect(line.Arrived() == Sizes{100, 200});
  Expect(line.traffic_classes() == std::vector<std::uint8_t>{0, 1});
}};

const Test kMany{"more messages than a batch holds: those there are go out first", [] {
  Line line;
  for (int i = 0; i < 300; ++i) line.Queue(40, kLimit, static_cast<std::uint8_t>(i % 2));
  Expect(line.Arrived() == Sizes(300, 40));
  ExpectEqual(line.counters().udp_transmit_calls.value(), 2u);
}};

const Test kRefused{"where segmentation is refused, datagrams go one by one with their marks, are counted so, and it is given up", [] {
  Line line;
  const int on = 1;
  // Linux segments no datagram without a checksum: EINVAL.
  Expect(::setsockopt(line.out(), SOL_SOCKET, SO_NO_CHECK, &on, sizeof on) == 0);
  for (int i = 0; i < 25; ++i) line.Queue(129, kLimit, 0x2e << 2 | 2);
  Expect(line.Arrived() == Sizes{9 * 129, 9 * 129, 7 * 129});
  Expect(line.traffic_classes() == std::vector<std::uint8_t>(3, 0x2e << 2 | 2));
  ExpectEqual(line.peer().transmit_packets.value(), 25u);
  ExpectEqual(line.counters().udp_transmit_datagrams.value(), 3u);
  Expect(!line.segments());
}};

const Test kRandom{"whatever comes arrives whole and in order, in datagrams within the limit or of one record", [] {
  for (const OffloadSet offloads : {BitOf(Offload::kUdpSegment), OffloadSet{0}}) {
    Random random(offloads + 1);
    for (int round = 0; round < 200; ++round) {
      Line line(offloads);
      std::vector<std::size_t> ends;  // of records
      const std::size_t common = 40 + random.Below(700);
      const std::uint64_t count = 1 + random.Below(170);
      for (std::uint64_t i = 0; i < count; ++i) {
        const std::size_t size = random.Chance(2) ? common : 40 + random.Below(1400);
        line.Queue(size, random.Chance(20) ? 0 : kLimit, random.Chance(30) ? 1 : 0);
        ends.push_back(line.sent().size());
      }
      std::size_t at = 0;
      std::uint64_t datagrams = 0;
      for (const std::size_t size : line.Arrived()) {
        const auto first = std::upper_bound(ends.begin(), ends.end(), at);
        at += size;
        const auto last = std::find(first, ends.end(), at);
        Expect(last != ends.end() && (last == first || size <= kLimit), std::to_string(size));
        ++datagrams;
      }
      ExpectEqual(line.counters().udp_transmit_datagrams.value(), datagrams);
      ExpectEqual(line.counters().udp_transmit_bytes.value(), line.sent().size());
      ExpectEqual(line.peer().transmit_packets.value(), count);
      ExpectEqual(line.peer().transmit_bytes.value(), line.sent().size() - count);
    }
  }
}};

}  // namespace
}  // namespace dtunnel::test
