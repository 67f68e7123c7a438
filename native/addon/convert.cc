#include "addon/convert.h"

#include <cmath>
#include <cstring>

namespace dtunnel {

void ThrowSystemError(Napi::Env env, const Error& error) {
  const char* name = ::strerrorname_np(error.code);
  const std::string code = name == nullptr ? "UNKNOWN" : name;
  Napi::Error thrown = Napi::Error::New(env, std::string(error.syscall) + ": " + ::strerrordesc_np(error.code));
  thrown.Set("code", Napi::String::New(env, code));
  thrown.Set("errno", Napi::Number::New(env, -error.code));
  thrown.Set("syscall", Napi::String::New(env, error.syscall));
  thrown.ThrowAsJavaScriptException();
}

void ThrowTypeError(Napi::Env env, const std::string& what) {
  Napi::TypeError::New(env, what).ThrowAsJavaScriptException();
}

std::optional<std::uint64_t> ToUnsigned(const Napi::Value& value, std::uint64_t max, const char* what) {
  if (value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    if (number >= 0 && number <= static_cast<double>(max) && number <= 9007199254740991.0 &&
        std::trunc(number) == number) {
      return static_cast<std::uint64_t>(number);
    }
  }
  ThrowTypeError(value.Env(), std::string(what) + " must be an integer from 0 to " + std::to_string(max));
  return std::nullopt;
}

std::optional<bool> ToBool(const Napi::Value& value, const char* what) {
  if (value.IsBoolean()) return value.As<Napi::Boolean>().Value();
  ThrowTypeError(value.Env(), std::string(what) + " must be a boolean");
  return std::nullopt;
}

std::optional<std::string> ToText(const Napi::Value& value, std::size_t max, const char* what) {
  if (value.IsString()) {
    std::string text = value.As<Napi::String>().Utf8Value();
    if (text.size() <= max && text.find('\0') == std::string::npos) return text;
  }
  ThrowTypeError(value.Env(), std::string(what) + " must be a string of at most " + std::to_string(max) + " octets");
  return std::nullopt;
}

std::optional<Bytes> ToBytes(const Napi::Value& value, std::size_t max, const char* what) {
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array) {
    const auto array = value.As<Napi::Uint8Array>();
    if (array.ByteLength() <= max) return Bytes(array.Data(), array.ByteLength());
  }
  ThrowTypeError(value.Env(), std::string(what) + " must be a Uint8Array of at most " + std::to_string(max) +
                                  " octets");
  return std::nullopt;
}

std::optional<std::span<std::uint64_t>> ToWords(const Napi::Value& value, std::size_t count, const char* what) {
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_biguint64_array) {
    auto array = value.As<Napi::BigUint64Array>();
    if (array.ElementLength() == count) return std::span<std::uint64_t>(array.Data(), count);
  }
  ThrowTypeError(value.Env(), std::string(what) + " must be a BigUint64Array of " + std::to_string(count) + " words");
  return std::nullopt;
}

std::optional<IpAddress> ToAddress(const Napi::Value& value, bool optional, const char* what) {
  if (optional && value.IsUndefined()) return IpAddress{};
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array) {
    const auto array = value.As<Napi::Uint8Array>();
    if (array.ByteLength() == 4) return IpAddress::V4(array.Data());
    if (array.ByteLength() == 16) return IpAddress::V6(array.Data());
  }
  ThrowTypeError(value.Env(), std::string(what) + " must be an address of 4 or 16 octets");
  return std::nullopt;
}

Napi::Value FromAddress(Napi::Env env, const IpAddress& address) {
  return address.family == 0 ? env.Undefined() : FromBytes(env, address.bytes());
}

Napi::Value FromBytes(Napi::Env env, Bytes bytes) {
  Napi::Uint8Array array = Napi::Uint8Array::New(env, bytes.size());
  if (!bytes.empty()) std::memcpy(array.Data(), bytes.data(), bytes.size());
  return array;
}

}  // namespace dtunnel
