// Other programs, run without a copy of this process.
#include <csignal>

#include "os/clock.h"
#include "os/program.h"
#include "test/check.h"

namespace dtunnel::test {
namespace {

ProgramRequest Shell(std::string script, std::string input = "", std::uint32_t timeout_ms = 20'000) {
  ProgramRequest request;
  request.file = "/bin/sh";
  request.arguments = {"-c", std::move(script)};
  request.environment = {"WHO=dtunnel"};
  request.input = std::move(input);
  request.timeout_ms = timeout_ms;
  return request;
}

const Test kWhole("program: its arguments, environment, input, outputs and status", [] {
  Result<ProgramOutcome> run = RunProgram(Shell("echo $WHO; cat; echo bad >&2; exit 3", "a line\n"));
  if (!Expect(static_cast<bool>(run))) return;
  const ProgramOutcome& outcome = run.value();
  Expect(outcome.output == "dtunnel\na line\n", outcome.output);
  Expect(outcome.errors == "bad\n", outcome.errors);
  ExpectEqual(outcome.status, 3);
  Expect(!outcome.late);
});

const Test kLarge("program: more than any buffer holds, both ways at once", [] {
  const std::string input(3 << 20, 'x');
  Result<ProgramOutcome> run = RunProgram(Shell("cat; cat /dev/null", input));
  if (!Expect(static_cast<bool>(run))) return;
  Expect(run.value().output == input);
  ExpectEqual(run.value().status, 0);
});

const Test kEarly("program: one that ends without reading its input", [] {
  Result<ProgramOutcome> run = RunProgram(Shell("exit 4", std::string(3 << 20, 'x')));
  if (!Expect(static_cast<bool>(run))) return;
  ExpectEqual(run.value().status, 4);
});

const Test kMissing("program: one that is not there", [] {
  ProgramRequest request = Shell("");
  request.file = "/nonexistent/ip";
  Result<ProgramOutcome> run = RunProgram(request);
  Expect(!run && run.error().code == ENOENT);
});

const Test kLate("program: one that takes too long is killed, and what it left running is not waited for", [] {
  const std::uint64_t began = NowNs();
  Result<ProgramOutcome> run = RunProgram(Shell("echo early; sleep 30 & sleep 30", "", 200));
  if (!Expect(static_cast<bool>(run))) return;
  Expect(run.value().late);
  Expect(run.value().output == "early\n");
  ExpectEqual(run.value().status, -1);
  // Half of what it would have taken: this machine may be busy.
  Expect(NowNs() - began < 15'000'000'000);
});

const Test kSignals("program: ignores no signal because this process does", [] {
  const auto before = std::signal(SIGTERM, SIG_IGN);
  Result<ProgramOutcome> run = RunProgram(Shell("kill -TERM $$; echo survived"));
  std::signal(SIGTERM, before);
  if (!Expect(static_cast<bool>(run))) return;
  Expect(run.value().output.empty(), run.value().output);
  ExpectEqual(run.value().status, -1);
});

}  // namespace
}  // namespace dtunnel::test
