// The two LAN hosts between which traffic runs, each in a network namespace of its own.
#pragma once

#include <net/ethernet.h>
#include <netinet/in.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "ledger.h"

namespace dtunnel::soak {

// One host: its namespace (a path), its device there, its networks ("10.1", "fd10:1": the host is .0.2 and ::2; the
// upper half of each, 128.x and ::8000:0:0:x, is for raw packets), and the Ethernet address of its gateway.
struct Host {
  std::string netns;
  std::string device;
  std::string network4;
  std::string network6;
  std::array<std::uint8_t, ETH_ALEN> gateway{};
  std::array<std::uint8_t, ETH_ALEN> own{};

  // Parses NETNS,DEVICE,NETWORK4,NETWORK6,GATEWAYMAC and moves to the namespace to look the device up; exits on failure.
  static Host Parse(const std::string& text);
  // The calling thread works in the host's namespace from now on.
  void Enter() const;

  sockaddr_storage Address(int family, std::uint16_t port) const;
  // Another address of its network, for a sender who shares it with nobody.
  sockaddr_storage OwnAddress4() const;
  std::array<std::uint8_t, 4> Raw4(std::uint8_t number) const;
  std::array<std::uint8_t, 16> Raw6(std::uint8_t number) const;
};

// How every kind of traffic runs.
struct Plan {
  std::uint64_t seed = 1;
  double seconds = 3;
  std::size_t largest = 1400;  // IP packet that crosses the tunnel whole
  std::size_t window = 200;    // packets of one sender on the way at once, so that no queue overflows
  bool lossy = false;          // the path drops and marks: losses and marks are no fault
  int outer_ecn = -1;          // the mark that every outer packet arrives with; -1: the one it left with
  double patience = 10;        // seconds without any arrival until what is outstanding counts as lost
};

// Ends the process with `what` and errno's text.
[[noreturn]] void Fail(const std::string& what);
int Open(int family, int type, int protocol);
void Option(int fd, int level, int name, int value, const char* what);
socklen_t SizeOf(const sockaddr_storage& address);

// Seconds since start, monotonic.
double Now();

}  // namespace dtunnel::soak
