// RunProgram: another program's whole life, without a copy of this process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace dtunnel {

struct ProgramRequest {
  std::string file;                    // absolute path
  std::vector<std::string> arguments;  // behind the program's name
  std::vector<std::string> environment;  // NAME=value
  std::string input;
  std::uint32_t timeout_ms = 0;
};

struct ProgramOutcome {
  int status = -1;     // -1: ended by a signal
  bool late = false;   // killed when its time was over
  std::string output;
  std::string errors;
};

// Runs `request` to its end and collects what it writes, up to 64 MiB in all. Blocks the calling thread, no other one:
// fork() would copy the page tables of the whole heap, and every thread would pay for a copy of each page that it writes
// next, milliseconds in which packets wait; posix_spawn(3) shares the memory until the program is there.
// An error is that of the call that failed: ENOENT, EACCES, ENOMEM, EFBIG (it wrote too much)…
Result<ProgramOutcome> RunProgram(const ProgramRequest& request);

}  // namespace dtunnel
