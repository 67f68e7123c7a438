#include <cstring>

#include "test/check.h"

// Runs every test, or those whose name contains the argument. The last line is "N passed, M failed".
int main(int argc, char** argv) {
  using namespace dtunnel::test;
  int passed = 0;
  int failed = 0;
  for (const Case& test : Cases()) {
    if (argc > 1 && std::strstr(test.name.c_str(), argv[1]) == nullptr) continue;
    const int before = Failures();
    test.body();
    const bool ok = Failures() == before;
    ok ? ++passed : ++failed;
    std::printf("%s %s\n", ok ? "ok    " : "FAILED", test.name.c_str());
    std::fflush(stdout);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed != 0 ? 0 : 1;
}
