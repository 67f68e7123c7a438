#include "addon/host_calls.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <functional>
#include <utility>
#include <vector>

#include "addon/convert.h"
#include "os/icmp.h"
#include "os/notify.h"
#include "os/program.h"

namespace dtunnel {
namespace {

// notify(socket, state): throws when the service manager's socket refuses.
Napi::Value Notify(const Napi::CallbackInfo& info) {
  const auto socket = ToText(info[0], 107, "socket");
  if (!socket) return info.Env().Undefined();
  const auto state = ToText(info[1], 4096, "state");
  if (!state) return info.Env().Undefined();
  const Status sent = NotifyServiceManager(*socket, *state);
  if (!sent) ThrowSystemError(info.Env(), sent.error());
  return info.Env().Undefined();
}

// forbidDumps(): no core file and no ptrace by the same user from now on, so that keys stay in this process.
Napi::Value ForbidDumps(const Napi::CallbackInfo& info) {
  const rlimit none{0, 0};
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    ThrowSystemError(info.Env(), LastError("prctl"));
  } else if (::setrlimit(RLIMIT_CORE, &none) != 0) {
    ThrowSystemError(info.Env(), LastError("setrlimit"));
  }
  return info.Env().Undefined();
}

Napi::Value FromOutcome(Napi::Env env, const IcmpEchoReport& report) {
  Napi::Object result = Napi::Object::New(env);
  result["sent"] = Napi::Number::New(env, report.sent);
  Napi::Array rtts = Napi::Array::New(env, report.rtt_ms.size());
  for (std::size_t i = 0; i < report.rtt_ms.size(); ++i) {
    rtts[static_cast<std::uint32_t>(i)] = Napi::Number::New(env, report.rtt_ms[i]);
  }
  result["rttMs"] = rtts;
  result["errno"] = Napi::Number::New(env, report.last_error);
  return result;
}

Napi::Value FromOutcome(Napi::Env env, const ProgramOutcome& outcome) {
  Napi::Object result = Napi::Object::New(env);
  result["status"] = Napi::Number::New(env, outcome.status);
  result["late"] = Napi::Boolean::New(env, outcome.late);
  result["stdout"] = Napi::String::New(env, outcome.output);
  result["stderr"] = Napi::String::New(env, outcome.errors);
  return result;
}

// A call that blocks, made on a pool thread, off the event loop.
template <typename Outcome>
class PromiseWorker : public Napi::AsyncWorker {
 public:
  using Call = std::function<Result<Outcome>()>;

  // A promise of what `call` yields. `name` is the resource that async_hooks shows.
  static Napi::Promise Start(Napi::Env env, const char* name, Call call) {
    auto* worker = new PromiseWorker(env, name, std::move(call));  // NOLINT: N-API owns and deletes async workers
    const Napi::Promise promise = worker->deferred_.Promise();
    worker->Queue();
    return promise;
  }

  void Execute() override { outcome_ = call_(); }

  void OnOK() override {
    if (outcome_) {
      deferred_.Resolve(FromOutcome(Env(), outcome_.value()));
      return;
    }
    ThrowSystemError(Env(), outcome_.error());
    deferred_.Reject(Env().GetAndClearPendingException().Value());
  }

 private:
  PromiseWorker(Napi::Env env, const char* name, Call call)
      : Napi::AsyncWorker(env, name),
        deferred_(Napi::Promise::Deferred::New(env)),
        call_(std::move(call)),
        outcome_(Error{}) {}

  Napi::Promise::Deferred deferred_;
  Call call_;
  Result<Outcome> outcome_;
};

// icmpEcho(address, count, intervalMs, timeoutMs, payloadBytes, dontFragment): a promise of {sent, rttMs, errno}.
Napi::Value Echo(const Napi::CallbackInfo& info) {
  const Napi::Value none = info.Env().Undefined();
  const auto address = ToAddress(info[0], false, "address");
  if (!address) return none;
  const auto count = ToUnsigned(info[1], 100'000, "count");
  if (!count) return none;
  const auto interval = ToUnsigned(info[2], 60'000, "intervalMs");
  if (!interval) return none;
  const auto timeout = ToUnsigned(info[3], 60'000, "timeoutMs");
  if (!timeout) return none;
  const auto payload = ToUnsigned(info[4], 65'507, "payloadBytes");
  if (!payload) return none;
  const auto dont_fragment = ToBool(info[5], "dontFragment");
  if (!dont_fragment) return none;
  IcmpEchoOptions options;
  options.count = static_cast<std::uint32_t>(*count);
  options.interval_ms = static_cast<std::uint32_t>(*interval);
  options.timeout_ms = static_cast<std::uint32_t>(*timeout);
  options.payload_bytes = static_cast<std::uint32_t>(*payload);
  options.dont_fragment = *dont_fragment;
  return PromiseWorker<IcmpEchoReport>::Start(info.Env(), "dtunnel.icmpEcho",
                                              [address = *address, options] { return IcmpEcho(address, options); });
}

std::optional<std::vector<std::string>> ToTexts(const Napi::Value& value, std::size_t max, const char* what) {
  if (!value.IsArray()) {
    ThrowTypeError(value.Env(), std::string(what) + " must be an array of strings");
    return std::nullopt;
  }
  const auto array = value.As<Napi::Array>();
  std::vector<std::string> texts;
  for (std::uint32_t i = 0; i < array.Length(); ++i) {
    std::optional<std::string> text = ToText(array.Get(i), max, what);
    if (!text) return std::nullopt;
    texts.push_back(std::move(*text));
  }
  return texts;
}

// runProgram(file, arguments, environment, input, timeoutMs): a promise of {status, late, stdout, stderr}.
Napi::Value Run(const Napi::CallbackInfo& info) {
  const Napi::Value none = info.Env().Undefined();
  constexpr std::size_t kMaxText = 128 * 1024;  // MAX_ARG_STRLEN of execve(2)
  ProgramRequest request;
  const auto file = ToText(info[0], 4096, "file");
  if (!file) return none;
  auto arguments = ToTexts(info[1], kMaxText, "arguments");
  if (!arguments) return none;
  auto environment = ToTexts(info[2], kMaxText, "environment");
  if (!environment) return none;
  auto input = ToText(info[3], std::size_t{1} << 30, "input");
  if (!input) return none;
  const auto timeout = ToUnsigned(info[4], 3'600'000, "timeoutMs");
  if (!timeout) return none;
  request.file = *file;
  request.arguments = std::move(*arguments);
  request.environment = std::move(*environment);
  request.input = std::move(*input);
  request.timeout_ms = static_cast<std::uint32_t>(*timeout);
  return PromiseWorker<ProgramOutcome>::Start(info.Env(), "dtunnel.runProgram",
                                              [request = std::move(request)] { return RunProgram(request); });
}

}  // namespace

void ExportHostCalls(Napi::Env env, Napi::Object exports) {
  exports["notify"] = Napi::Function::New(env, Notify, "notify");
  exports["forbidDumps"] = Napi::Function::New(env, ForbidDumps, "forbidDumps");
  exports["icmpEcho"] = Napi::Function::New(env, Echo, "icmpEcho");
  exports["runProgram"] = Napi::Function::New(env, Run, "runProgram");
}

}  // namespace dtunnel
