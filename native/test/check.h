// A minimal test runner: tests are objects, expectations are functions.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <source_location>
#include <string>
#include <vector>

#include "test/random.h"

namespace dtunnel::test {

struct Case {
  std::string name;
  std::function<void()> body;
};

inline std::vector<Case>& Cases() {
  static std::vector<Case> cases;
  return cases;
}

inline int& Failures() {
  static int failures = 0;
  return failures;
}

// Registers a test; declare one per law.
struct Test {
  Test(std::string name, std::function<void()> body) { Cases().push_back({std::move(name), std::move(body)}); }
};

inline bool Expect(bool holds, const std::string& what = "", std::source_location at = std::source_location::current()) {
  if (!holds) {
    ++Failures();
    std::printf("  %s:%u: expectation failed %s\n", at.file_name(), at.line(), what.c_str());
  }
  return holds;
}

template <typename A, typename B>
bool ExpectEqual(const A& a, const B& b, std::source_location at = std::source_location::current()) {
  if (a == b) return true;
  ++Failures();
  if constexpr (std::is_arithmetic_v<A> && std::is_arithmetic_v<B>) {
    std::printf("  %s:%u: %lld is not %lld\n", at.file_name(), at.line(), static_cast<long long>(a),
                static_cast<long long>(b));
  } else {
    std::printf("  %s:%u: values differ\n", at.file_name(), at.line());
  }
  return false;
}

}  // namespace dtunnel::test
