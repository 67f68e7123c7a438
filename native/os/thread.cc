#include "os/thread.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "os/fd.h"

namespace dtunnel {

Result<std::unique_ptr<Thread>> Thread::Start(std::string name, std::function<void()> body) {
  std::unique_ptr<Thread> thread(new Thread(std::move(name), std::move(body)));
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const int failed = ::pthread_create(&thread->thread_, nullptr, &Thread::Main, thread.get());
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (failed != 0) return Error{failed, "pthread_create"};
  thread->started_ = true;
  return thread;
}

Thread::~Thread() {
  if (started_) ::pthread_join(thread_, nullptr);
}

void* Thread::Main(void* self) {
  auto* thread = static_cast<Thread*>(self);
  // prctl(2): a thread's name holds 15 octets.
  ::pthread_setname_np(::pthread_self(), thread->name_.substr(0, 15).c_str());
  // Otherwise the kernel may end a sleep up to 50 µs late to save a wake-up (PR_SET_TIMERSLACK(2const)).
  ::prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
  thread->tid_.store(::gettid(), std::memory_order_release);
  thread->body_();
  return nullptr;
}

bool Thread::MakeRealtime() {
  sched_param param{};
  param.sched_priority = 1;
  return ::pthread_setschedparam(thread_, SCHED_FIFO, &param) == 0;
}

CpuTime Thread::Usage() const {
  // proc(5): fields 14 and 15 of stat, in clock ticks, behind the name in parentheses.
  const pid_t tid = tid_.load(std::memory_order_acquire);
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
  const Fd fd(::open(path, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return {};
  char text[512];
  const ssize_t size = ::read(fd.get(), text, sizeof text - 1);
  if (size <= 0) return {};
  text[size] = '\0';
  const char* rest = std::strrchr(text, ')');
  unsigned long user = 0;
  unsigned long system = 0;
  if (rest == nullptr ||
      std::sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) {
    return {};
  }
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  return {static_cast<double>(user) / ticks, static_cast<double>(system) / ticks};
}

}  // namespace dtunnel
