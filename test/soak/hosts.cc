#include "hosts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace dtunnel::soak {

void Fail(const std::string& what) {
  std::fprintf(stderr, "traffic: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

double Now() {
  using Clock = std::chrono::steady_clock;
  static const Clock::time_point start = Clock::now();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

int Open(int family, int type, int protocol) {
  const int fd = ::socket(family, type | SOCK_CLOEXEC, protocol);
  if (fd < 0) Fail("socket");
  return fd;
}

void Option(int fd, int level, int name, int value, const char* what) {
  if (::setsockopt(fd, level, name, &value, sizeof value) != 0) Fail(what);
}

socklen_t SizeOf(const sockaddr_storage& address) {
  return address.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
}

Host Host::Parse(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  Host host;
  if (words.size() != 5 || std::sscanf(words[4].c_str(), "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &host.gateway[0],
                                       &host.gateway[1], &host.gateway[2], &host.gateway[3], &host.gateway[4],
                                       &host.gateway[5]) != 6) {
    errno = EINVAL;
    Fail("host " + text);
  }
  host.netns = words[0];
  host.device = words[1];
  host.network4 = words[2];
  host.network6 = words[3];
  host.Enter();
  const int fd = Open(AF_INET, SOCK_DGRAM, 0);
  ifreq request{};
  std::strncpy(request.ifr_name, host.device.c_str(), IFNAMSIZ - 1);
  if (::ioctl(fd, SIOCGIFHWADDR, &request) != 0) Fail(host.device);
  std::memcpy(host.own.data(), request.ifr_hwaddr.sa_data, ETH_ALEN);
  ::close(fd);
  return host;
}

void Host::Enter() const {
  const int fd = ::open(netns.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) Fail(netns);
  if (::setns(fd, CLONE_NEWNET) != 0) Fail("setns " + netns);
  ::close(fd);
}

sockaddr_storage Host::Address(int family, std::uint16_t port) const {
  sockaddr_storage out{};
  if (family == AF_INET) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&out);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    ::inet_pton(AF_INET, (network4 + ".0.2").c_str(), &v4->sin_addr);
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&out);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    ::inet_pton(AF_INET6, (network6 + "::2").c_str(), &v6->sin6_addr);
  }
  return out;
}

sockaddr_storage Host::OwnAddress4() const {
  sockaddr_storage out = Address(AF_INET, 0);
  ::inet_pton(AF_INET, (network4 + ".0.3").c_str(), &reinterpret_cast<sockaddr_in*>(&out)->sin_addr);
  return out;
}

std::array<std::uint8_t, 4> Host::Raw4(std::uint8_t number) const {
  std::array<std::uint8_t, 4> out{};
  ::inet_pton(AF_INET, (network4 + ".128." + std::to_string(number)).c_str(), out.data());
  return out;
}

std::array<std::uint8_t, 16> Host::Raw6(std::uint8_t number) const {
  std::array<std::uint8_t, 16> out{};
  ::inet_pton(AF_INET6, (network6 + "::8000:0:0:0").c_str(), out.data());
  out[15] = number;
  return out;
}

}  // namespace dtunnel::soak
