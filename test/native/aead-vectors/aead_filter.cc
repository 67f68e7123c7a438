// Seals and opens what standard input asks for, one request a line, with the native back ends:
//
//   seal|open ALGORITHM KEY NONCE ADDITIONAL DATA      (hex, `-` for nothing)
//
// and answers each with a line of hex, or `refused`. The argument says which back ends may be chosen: auto or openssl.
// The first line names the one that each algorithm got.
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "crypto/aead.h"

namespace {

using dtunnel::AeadAlgorithm;
using dtunnel::AeadDirection;

constexpr const char* kNames[] = {"aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"};

std::vector<std::uint8_t> FromHex(const std::string& hex) {
  std::vector<std::uint8_t> out;
  for (std::size_t at = 0; at + 1 < hex.size(); at += 2) {
    out.push_back(static_cast<std::uint8_t>(std::stoul(hex.substr(at, 2), nullptr, 16)));
  }
  return out;
}

std::string Hex(const std::vector<std::uint8_t>& bytes) {
  std::string out;
  for (const std::uint8_t octet : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", octet);
    out += digits;
  }
  return out.empty() ? "-" : out;
}

std::string Answer(const dtunnel::AeadSuite& suite, const std::string& line) {
  std::istringstream words(line);
  std::string verb, name, key, nonce_hex, additional_hex, data_hex;
  words >> verb >> name >> key >> nonce_hex >> additional_hex >> data_hex;
  for (std::size_t i = 0; i < dtunnel::kAeadAlgorithms; ++i) {
    if (name != kNames[i]) continue;
    const auto algorithm = static_cast<AeadAlgorithm>(i);
    const auto direction = verb == "seal" ? AeadDirection::kSeal : AeadDirection::kOpen;
    const auto keyed = suite.backend(algorithm).MakeKey(algorithm, direction, FromHex(key));
    const std::vector<std::uint8_t> nonce_octets = FromHex(nonce_hex);
    if (!keyed || nonce_octets.size() != dtunnel::kAeadNonceSize) return "unusable";
    dtunnel::AeadNonce nonce;
    std::memcpy(nonce.data(), nonce_octets.data(), nonce.size());
    const std::vector<std::uint8_t> additional = FromHex(additional_hex);
    std::vector<std::uint8_t> data = FromHex(data_hex);
    if (verb == "seal") {
      std::vector<std::uint8_t> out(data.size() + dtunnel::kAeadTagSize);
      keyed->Seal(nonce, additional, data.data(), data.size(), out.data());
      // In place as well, as the data plane does it: both must agree.
      const std::size_t size = data.size();
      data.resize(size + dtunnel::kAeadTagSize);
      keyed->Seal(nonce, additional, data.data(), size, data.data());
      return data == out ? Hex(out) : "differs in place";
    }
    if (data.size() < dtunnel::kAeadTagSize) return "unusable";
    const std::size_t size = data.size() - dtunnel::kAeadTagSize;
    std::vector<std::uint8_t> out(size);
    const bool opened = keyed->Open(nonce, additional, data.data(), size, out.data());
    const bool opened_in_place = keyed->Open(nonce, additional, data.data(), size, data.data());
    data.resize(size);
    if (opened != opened_in_place || (opened && data != out)) return "differs in place";
    return opened ? Hex(out) : "refused";
  }
  return "unusable";
}

}  // namespace

int main(int argc, char** argv) {
  const bool any = argc == 2 && std::strcmp(argv[1], "auto") == 0;
  const auto suite =
      dtunnel::AeadSuite::Choose(any ? dtunnel::AeadPreference::kAuto : dtunnel::AeadPreference::kOpenssl);
  if (!suite) return 1;
  for (std::size_t i = 0; i < dtunnel::kAeadAlgorithms; ++i) {
    std::cout << kNames[i] << '=' << suite->backend(static_cast<AeadAlgorithm>(i)).name() << ' ';
  }
  std::cout << '\n';
  for (std::string line; std::getline(std::cin, line);) std::cout << Answer(*suite, line) << '\n';
}
