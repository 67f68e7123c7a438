// Check: for what only a mistake in this program can break. Never for input.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <source_location>

namespace dtunnel {

inline void Check(bool condition, const char* what, std::source_location at = std::source_location::current()) {
  if (condition) [[likely]]
    return;
  std::fprintf(stderr, "dtunnel: invariant violated: %s (%s:%u)\n", what, at.file_name(), at.line());
  std::abort();
}

}  // namespace dtunnel
