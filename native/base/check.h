// Check: for what only a mistake in this program can break. Never for input.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace dtunnel {

// `file` and `line` are the caller's: builtins that GCC and clang share (clang 14 has no std::source_location).
inline void Check(bool condition, const char* what, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  if (condition) [[likely]]
    return;
  std::fprintf(stderr, "dtunnel: invariant violated: %s (%s:%d)\n", what, file, line);
  std::abort();
}

}  // namespace dtunnel
