// Fd owns one file descriptor.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "base/result.h"

namespace dtunnel {

// -1 means none. Moving empties the source.
class Fd {
 public:
  explicit Fd(int fd = -1) noexcept : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const noexcept { return fd_; }
  bool valid() const noexcept { return fd_ >= 0; }

 private:
  int fd_;
};

// What an Error names as the call when a descriptor from another process is not what it was said to be.
inline constexpr const char* kInheritedDescriptor = "inherited descriptor";

// Makes a descriptor that a parent left open as our own are: closed on exec, and never blocking.
inline Status TakeInherited(const Fd& fd) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return Error{errno, kInheritedDescriptor};
  }
  return Done{};
}

}  // namespace dtunnel
