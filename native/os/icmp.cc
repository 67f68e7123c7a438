#include "os/icmp.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/bytes.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/socket_address.h"

namespace dtunnel {
namespace {

constexpr std::size_t kHeader = 8;  // type, code, checksum, id, sequence

struct PingSocket {
  Fd fd;
  bool raw = false;
};

Result<PingSocket> OpenPingSocket(bool v6) {
  const int family = v6 ? AF_INET6 : AF_INET;
  const int protocol = v6 ? static_cast<int>(IPPROTO_ICMPV6) : static_cast<int>(IPPROTO_ICMP);
  Fd ping(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (ping.valid()) return PingSocket{std::move(ping), false};
  Fd raw(::socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (!raw.valid()) return LastError("socket");
  return PingSocket{std::move(raw), true};
}

std::uint16_t InternetChecksum(Bytes data) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < data.size(); i += 2) sum += Load16(&data[i]);
  if (data.size() % 2 != 0) sum += static_cast<std::uint32_t>(data.back()) << 8;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

// The sequence number of an echo reply to `id`, or -1. A ping socket's kernel has matched the id already.
int ReplySequence(Bytes in, const PingSocket& socket, bool v6, std::uint16_t id) {
  if (socket.raw && !v6) {  // raw(7): IPv4 raw sockets deliver the IP header too
    const std::size_t header = in.empty() ? 0 : static_cast<std::size_t>(in[0] & 15) * 4;
    if (in.size() < header) return -1;
    in = in.subspan(header);
  }
  if (in.size() < kHeader) return -1;
  const std::uint8_t reply = v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY;
  if (in[0] != reply || (socket.raw && Load16(&in[4]) != id)) return -1;
  return Load16(&in[6]);
}

}  // namespace

Result<IcmpEchoReport> IcmpEcho(const IpAddress& address, const IcmpEchoOptions& options) {
  const bool v6 = address.family == 6;
  Result<PingSocket> opened = OpenPingSocket(v6);
  if (!opened) return opened.error();
  const PingSocket& socket = opened.value();
  if (options.dont_fragment) {
    // ip(7): PROBE sets DF and ignores what the kernel has learned about the path.
    const int probe = v6 ? IPV6_PMTUDISC_PROBE : IP_PMTUDISC_PROBE;
    const int level = v6 ? static_cast<int>(IPPROTO_IPV6) : static_cast<int>(IPPROTO_IP);
    const int option = v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER;
    if (::setsockopt(socket.fd.get(), level, option, &probe, sizeof probe) != 0) return LastError("setsockopt");
  }
  sockaddr_storage to{};
  const socklen_t to_size = EncodeSocketAddress(Endpoint{address, 0}, &to);
  const auto id = static_cast<std::uint16_t>(NowNs() >> 10);

  std::vector<std::uint8_t> request(kHeader + options.payload_bytes);
  std::vector<std::uint8_t> answer(request.size() + 256);
  std::vector<std::uint64_t> sent_at(options.count);
  std::vector<bool> answered(options.count);
  IcmpEchoReport report;
  std::uint64_t deadline = NowNs();
  std::uint64_t next_send = deadline;
  while (true) {
    std::uint64_t now = NowNs();
    if (report.sent < options.count && now >= next_send) {
      request[0] = v6 ? static_cast<std::uint8_t>(ICMP6_ECHO_REQUEST) : static_cast<std::uint8_t>(ICMP_ECHO);
      Store16(&request[2], 0);
      Store16(&request[4], id);
      Store16(&request[6], static_cast<std::uint16_t>(report.sent));
      if (!v6) Store16(&request[2], InternetChecksum(request));  // the kernel completes ICMPv6's (RFC 3542 §3.1)
      sent_at[report.sent++] = now;
      if (::sendto(socket.fd.get(), request.data(), request.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                   to_size) < 0) {
        report.last_error = errno;
      }
      next_send = now + options.interval_ms * 1'000'000ull;
      deadline = now + options.timeout_ms * 1'000'000ull;
    }
    const bool all_sent = report.sent == options.count;
    if (all_sent && (report.rtt_ms.size() == options.count || now >= deadline)) return report;
    const std::uint64_t until = all_sent ? deadline : next_send;
    pollfd wait{socket.fd.get(), POLLIN, 0};
    const std::uint64_t left_ms = until > now ? (until - now + 999'999) / 1'000'000 : 0;
    if (::poll(&wait, 1, static_cast<int>(left_ms)) <= 0) continue;
    const ssize_t size = ::recv(socket.fd.get(), answer.data(), answer.size(), 0);
    now = NowNs();
    if (size < 0) continue;
    const int sequence = ReplySequence(Bytes(answer.data(), static_cast<std::size_t>(size)), socket, v6, id);
    if (sequence < 0 || static_cast<std::uint32_t>(sequence) >= report.sent) continue;
    const auto index = static_cast<std::size_t>(sequence);
    if (answered[index]) continue;
    answered[index] = true;
    report.rtt_ms.push_back(static_cast<double>(now - sent_at[index]) / 1e6);
  }
}

}  // namespace dtunnel
