#include "tcp_traffic.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "packets.h"

namespace dtunnel::soak {
namespace {

// Small buffers: what several streams have on the way together must fit in every queue.
constexpr int kBuffer = 96 << 10;

// Octet `at` of stream `seed`.
std::uint8_t OctetAt(std::uint64_t seed, std::uint64_t at) {
  std::uint64_t z = seed * 0x9e3779b97f4a7c15 + at / 8;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z ^= z >> 31;
  return static_cast<std::uint8_t>(z >> (at % 8 * 8));
}

void Patience(int fd, double seconds) {
  timeval time{static_cast<time_t>(seconds), 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

}  // namespace

void TcpVerdict::Add(const TcpVerdict& other) {
  streams += other.streams;
  octets += other.octets;
  damaged += other.damaged;
  incomplete += other.incomplete;
}

TcpTraffic::TcpTraffic(const Host& from, const Host& to, const Plan& plan, int family, std::uint16_t port,
                       std::uint64_t seed)
    : plan_(plan), seed_(seed) {
  to.Enter();
  const sockaddr_storage address = to.Address(family, port);
  const int listener = Open(family, SOCK_STREAM, 0);
  Option(listener, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
  Option(listener, SOL_SOCKET, SO_RCVBUF, kBuffer, "SO_RCVBUF");
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), SizeOf(address)) != 0 || ::listen(listener, 1) != 0) {
    Fail("listen");
  }
  from.Enter();
  writer_ = Open(family, SOCK_STREAM, 0);
  Option(writer_, SOL_SOCKET, SO_SNDBUF, kBuffer, "SO_SNDBUF");
  if (seed % 2 == 0) Option(writer_, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
  if (::connect(writer_, reinterpret_cast<const sockaddr*>(&address), SizeOf(address)) != 0) Fail("connect");
  reader_ = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (reader_ < 0) Fail("accept");
  Option(reader_, SOL_SOCKET, SO_OOBINLINE, 1, "SO_OOBINLINE");
  ::close(listener);
  for (const int fd : {writer_, reader_}) Patience(fd, 60);
}

void TcpTraffic::Write() {
  Random random(seed_);
  std::vector<std::uint8_t> data(65'536);
  std::uint64_t at = 0;
  const double end = Now() + plan_.seconds;
  while (Now() < end) {
    const std::size_t sizes[] = {1, 2, 100, 1000, 1448, 5000, 30'000, 65'536};
    const std::size_t size = sizes[random.Below(std::size(sizes))];
    for (std::size_t i = 0; i < size; ++i) data[i] = OctetAt(seed_, at + i);
    const int flags = MSG_NOSIGNAL | (random.Chance(16) ? MSG_OOB : 0) | (random.Chance(4) ? MSG_MORE : 0);
    const ssize_t sent = ::send(writer_, data.data(), size, flags);
    if (sent < 0) break;  // the reader finds out that something is missing
    at += static_cast<std::uint64_t>(sent);
  }
  written_ = at;
  ::shutdown(writer_, SHUT_WR);
}

TcpVerdict TcpTraffic::Read() {
  Random random(seed_ + 1);
  std::vector<std::uint8_t> data(65'536);
  TcpVerdict verdict;
  verdict.streams = 1;
  bool damaged = false;
  std::uint64_t at = 0;
  while (true) {
    // Now and then the window closes.
    if (seed_ % 3 == 0 && random.Chance(200)) ::usleep(20'000);
    const std::size_t size = random.Chance(3) ? 1 + random.Below(2000) : data.size();
    const ssize_t got = ::recv(reader_, data.data(), size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      if (got < 0 || at != written_) verdict.incomplete = 1;
      break;
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i) {
      if (data[i] != OctetAt(seed_, at + i)) damaged = true;
    }
    at += static_cast<std::uint64_t>(got);
  }
  verdict.octets = at;
  verdict.damaged = damaged ? 1 : 0;
  ::close(reader_);
  ::close(writer_);
  return verdict;
}

}  // namespace dtunnel::soak
