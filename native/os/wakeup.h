// Wakeup: makes a thread return from poll(2).
#pragma once

#include "base/result.h"
#include "os/fd.h"

namespace dtunnel {

// An eventfd. Signal may be called from any thread; the owner polls fd() for input and calls Clear.
class Wakeup {
 public:
  static Result<Wakeup> Create();

  int fd() const { return fd_.get(); }
  void Signal() const;
  void Clear() const;

 private:
  explicit Wakeup(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace dtunnel
