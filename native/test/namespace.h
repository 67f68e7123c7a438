// A network namespace of the test's own.
#pragma once

#include <sched.h>

#include <cstdio>
#include <cstdlib>

namespace dtunnel::test {

// Moves this thread into a new one. False, after saying so: it may not.
inline bool Namespace() {
  if (::unshare(CLONE_NEWNET) == 0 && std::system("ip link set lo up") == 0) return true;  // NOLINT(cert-env33-c)
  std::printf("  skipped: needs root and iproute2\n");
  return false;
}

}  // namespace dtunnel::test
