// Thread: a joined-on-destruction thread of the data plane.
#pragma once

#include <pthread.h>
#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace dtunnel {

// CPU time used so far.
struct CpuTime {
  double user_seconds = 0;
  double system_seconds = 0;
};

// Runs `body` with every signal blocked: signals belong to the main thread. The destructor joins, so whoever owns a
// Thread must have told its body to end.
class Thread {
 public:
  static Result<std::unique_ptr<Thread>> Start(std::string name, std::function<void()> body);
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread();

  const std::string& name() const { return name_; }
  // Gives the thread SCHED_FIFO priority 1 (needs CAP_SYS_NICE). False when refused.
  bool MakeRealtime();
  CpuTime Usage() const;

 private:
  Thread(std::string name, std::function<void()> body) : name_(std::move(name)), body_(std::move(body)) {}
  static void* Main(void* self);

  std::string name_;
  std::function<void()> body_;
  pthread_t thread_{};
  bool started_ = false;
  std::atomic<pid_t> tid_{0};
};

}  // namespace dtunnel
