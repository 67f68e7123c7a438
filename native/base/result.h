// Result<T>: a value, or the operating system's refusal with the call that met it.
#pragma once

#include <cerrno>
#include <string>
#include <utility>
#include <variant>

namespace dtunnel {

// What a failed system call left behind. `syscall` names the call (or the option) as the operator would look it up.
struct Error {
  int code = 0;
  const char* syscall = "";
};

// Captures errno on the failing line.
inline Error LastError(const char* syscall) { return Error{errno, syscall}; }

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, error) {}         // NOLINT(google-explicit-constructor)

  explicit operator bool() const { return state_.index() == 0; }
  T& value() { return *std::get_if<0>(&state_); }
  const Error& error() const { return *std::get_if<1>(&state_); }

 private:
  std::variant<T, Error> state_;
};

// The outcome of a call without a value.
struct Done {};
using Status = Result<Done>;

}  // namespace dtunnel
