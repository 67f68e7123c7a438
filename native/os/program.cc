#include "os/program.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>

#include "os/clock.h"
#include "os/fd.h"

namespace dtunnel {
namespace {

constexpr std::size_t kMaxOutput = 64u << 20;
// Between two looks for the end of a program that has closed its outputs: usually it is ending.
constexpr std::uint64_t kLookEveryNs = 100'000;

struct Pipe {
  Fd ours;
  Fd theirs;
};

// A pair of sockets, since only those can be written to without SIGPIPE when the other end is gone.
Result<Pipe> MakePipe() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return LastError("socketpair");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

std::vector<char*> PointersTo(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  // execve(2) does not write to them although its type says so.
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Starts the program; descriptors 0, 1 and 2 are `ends`, every other one of ours is closed on exec.
Result<pid_t> Spawn(const ProgramRequest& request, const std::array<Pipe, 3>& ends) {
  std::vector<std::string> words = request.arguments;
  words.insert(words.begin(), request.file);
  const std::vector<char*> arguments = PointersTo(words);
  const std::vector<char*> environment = PointersTo(request.environment);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  // What Node holds open is above 2 (it opens those three itself when nobody else did), so none is overwritten.
  for (int fd = 0; fd < 3; ++fd) {
    ::posix_spawn_file_actions_adddup2(&actions, ends[static_cast<std::size_t>(fd)].theirs.get(), fd);
  }
  // Node ignores SIGPIPE, and a thread may block signals: both would be the program's as well.
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  const int failure =
      ::posix_spawn(&pid, request.file.c_str(), &actions, &attributes, arguments.data(), environment.data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) return Error{failure, "posix_spawn"};
  return pid;
}

// A child that is waited for, whatever happens.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    Kill();
    Wait(0);
  }

  void Kill() const {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
  }
  // Whether it has ended; `status` is then its exit status, or -1.
  bool Ended() { return Wait(WNOHANG); }
  int status() const { return status_; }

 private:
  bool Wait(int flags) {
    if (pid_ <= 0) return true;
    int state = 0;
    pid_t ended = 0;
    do {
      ended = ::waitpid(pid_, &state, flags);
    } while (ended < 0 && errno == EINTR);
    if (ended == 0) return false;
    if (ended == pid_ && WIFEXITED(state)) status_ = WEXITSTATUS(state);
    pid_ = 0;
    return true;
  }

  pid_t pid_;  // 0: it has ended
  int status_ = -1;
};

// What is still to be written and read.
class Exchange {
 public:
  Exchange(const std::string& input, Fd to, Fd from_output, Fd from_errors)
      : input_(input), to_(std::move(to)), from_{std::move(from_output), std::move(from_errors)} {
    if (input_.empty()) to_ = Fd();
  }

  // Both outputs are closed.
  bool done() const { return !from_[0].valid() && !from_[1].valid(); }
  std::string& text(std::size_t of) { return texts_[of]; }

  // Waits at most `ns` for something to do, and does it.
  Status Step(std::uint64_t ns) {
    const timespec limit{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
    std::array<pollfd, 3> waits{pollfd{to_.get(), POLLOUT, 0}, pollfd{from_[0].get(), POLLIN, 0},
                                pollfd{from_[1].get(), POLLIN, 0}};
    if (::ppoll(waits.data(), waits.size(), &limit, nullptr) < 0) {
      if (errno == EINTR) return Done{};
      return LastError("ppoll");
    }
    if (waits[0].revents != 0) Write();
    for (std::size_t i = 0; i < from_.size(); ++i) {
      if (waits[i + 1].revents == 0) continue;
      const Status read = Read(i);
      if (!read) return read;
    }
    return Done{};
  }

 private:
  void Write() {
    const ssize_t sent =
        ::send(to_.get(), input_.data() + written_, input_.size() - written_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) written_ += static_cast<std::size_t>(sent);
    // A program that does not read to the end says why by its status.
    const bool refused = sent < 0 && errno != EAGAIN && errno != EINTR;
    if (refused || written_ == input_.size()) to_ = Fd();
  }

  Status Read(std::size_t of) {
    std::array<char, 16384> piece;
    const ssize_t size = ::recv(from_[of].get(), piece.data(), piece.size(), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return Done{};
    if (size <= 0) {
      from_[of] = Fd();
      return Done{};
    }
    texts_[of].append(piece.data(), static_cast<std::size_t>(size));
    if (texts_[0].size() + texts_[1].size() > kMaxOutput) return Error{EFBIG, "recv"};
    return Done{};
  }

  const std::string& input_;
  std::size_t written_ = 0;
  Fd to_;
  std::array<Fd, 2> from_;
  std::array<std::string, 2> texts_;
};

}  // namespace

Result<ProgramOutcome> RunProgram(const ProgramRequest& request) {
  std::array<Pipe, 3> ends;
  for (Pipe& end : ends) {
    Result<Pipe> made = MakePipe();
    if (!made) return made.error();
    end = std::move(made.value());
  }
  Result<pid_t> pid = Spawn(request, ends);
  if (!pid) return pid.error();
  Child child(pid.value());
  for (Pipe& end : ends) end.theirs = Fd();

  ProgramOutcome outcome;
  Exchange exchange(request.input, std::move(ends[0].ours), std::move(ends[1].ours), std::move(ends[2].ours));
  const std::uint64_t until = NowNs() + std::uint64_t{request.timeout_ms} * 1'000'000;
  while (!exchange.done() || !child.Ended()) {
    const std::uint64_t now = NowNs();
    if (now >= until && !outcome.late) {
      outcome.late = true;
      child.Kill();
    }
    const Status stepped = exchange.Step(exchange.done() || now >= until ? kLookEveryNs : until - now);
    if (!stepped) return stepped.error();
    // What it started itself may hold the outputs open for ever.
    if (outcome.late && child.Ended()) break;
  }
  outcome.status = child.status();
  outcome.output = std::move(exchange.text(0));
  outcome.errors = std::move(exchange.text(1));
  return outcome;
}

}  // namespace dtunnel
