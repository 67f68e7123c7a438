// Checked conversions between JavaScript values and the library's types. Every argument is checked here and nowhere
// deeper. A failed conversion leaves a TypeError pending and returns nullopt: the caller returns at once.
#pragma once

#include <napi.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/endpoint.h"
#include "base/result.h"

namespace dtunnel {

// An Error with `code` ("EPERM") and `syscall`, as Node's own. Left pending.
void ThrowSystemError(Napi::Env env, const Error& error);
// A TypeError saying that `what` is wrong. Left pending.
void ThrowTypeError(Napi::Env env, const std::string& what);

std::optional<std::uint64_t> ToUnsigned(const Napi::Value& value, std::uint64_t max, const char* what);
std::optional<bool> ToBool(const Napi::Value& value, const char* what);
std::optional<std::string> ToText(const Napi::Value& value, std::size_t max, const char* what);
// A view of a Uint8Array's octets: valid during the call only.
std::optional<Bytes> ToBytes(const Napi::Value& value, std::size_t max, const char* what);
// A BigUint64Array of `count` words to write to: valid during the call only.
std::optional<std::span<std::uint64_t>> ToWords(const Napi::Value& value, std::size_t count, const char* what);
// A Uint8Array of 4 or 16 octets; undefined gives family 0 when `optional`.
std::optional<IpAddress> ToAddress(const Napi::Value& value, bool optional, const char* what);

Napi::Value FromAddress(Napi::Env env, const IpAddress& address);
// A Uint8Array that owns a copy.
Napi::Value FromBytes(Napi::Env env, Bytes bytes);

}  // namespace dtunnel
