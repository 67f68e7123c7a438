// Fuzzes what a datagram meets before any key: header parsing, and opening with a key that never fits.
#include <vector>

#include "crypto/aead.h"
#include "packet/record.h"
#include "plane/record_protection.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace dtunnel;
  static const auto suite = *AeadSuite::Choose(AeadPreference::kAuto);
  static const std::vector<std::uint8_t> key(32, 7);
  static const auto cipher = RecordCipher::Create(
      suite, AeadDirection::kOpen, RecordKeys{AeadAlgorithm::kAes128Gcm, Bytes(key).first(16), Bytes(key).first(4)});
  Bytes rest(data, size);
  while (!rest.empty()) {
    RecordHeader header;
    if (ParseRecordHeader(rest, &header) != RecordFault::kNone) return 0;
    std::vector<std::uint8_t> out(RecordCipher::PlaintextBound(header));
    RecordCipher::Opened opened{};
    if (cipher->Open(header, out.data(), &opened) == RecordCipher::Failure::kNone) __builtin_trap();
    rest = rest.subspan(header.size);
  }
  return 0;
}
