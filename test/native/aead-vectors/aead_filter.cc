// Seals and opens what standard input asks for, one request a line, with the native back ends:
//
//   seal|open ALGORITHM KEY NONCE ADDITIONAL DATA      (hex, `-` for nothing)
//
// and answers each with a line of hex, or `refused`. The argument names the back end. Without one, a line for every back
// end of this machine is printed, with the algorithms it supports behind its name.
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

std::string Answer(const dtunnel::AeadBackend& backend, const std::string& line) {
  std::istringstream words(line);
  std::string verb, name, key, nonce_hex, additional_hex, data_hex;
  words >> verb >> name >> key >> nonce_hex >> additional_hex >> data_hex;
  for (std::size_t i = 0; i < dtunnel::kAeadAlgorithms; ++i) {
    if (name != kNames[i]) continue;
    const auto algorithm = static_cast<AeadAlgorithm>(i);
    const auto direction = verb == "seal" ? AeadDirection::kSeal : AeadDirection::kOpen;
    const auto keyed = backend.MakeKey(algorithm, direction, FromHex(key));
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
  for (const dtunnel::AeadBackend* backend : dtunnel::AllAeadBackends()) {
    if (argc == 1) {
      std::cout << backend->name();
      for (std::size_t i = 0; i < dtunnel::kAeadAlgorithms; ++i) {
        if (backend->Supports(static_cast<AeadAlgorithm>(i))) std::cout << ' ' << kNames[i];
      }
      std::cout << '\n';
    } else if (std::strcmp(argv[1], backend->name()) == 0) {
      for (std::string line; std::getline(std::cin, line);) std::cout << Answer(*backend, line) << '\n';
      return 0;
    }
  }
  return argc == 1 ? 0 : 1;
}
