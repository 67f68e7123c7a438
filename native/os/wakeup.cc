#include "os/wakeup.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

namespace dtunnel {

Result<Wakeup> Wakeup::Create() {
  Fd fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!fd.valid()) return LastError("eventfd");
  return Wakeup(std::move(fd));
}

void Wakeup::Signal() const {
  const std::uint64_t one = 1;
  // A full counter (EAGAIN) means that the owner has not yet seen an earlier signal: nothing is lost.
  [[maybe_unused]] const ssize_t written = ::write(fd_.get(), &one, sizeof one);
}

void Wakeup::Clear() const {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t taken = ::read(fd_.get(), &count, sizeof count);
}

}  // namespace dtunnel
