#include "packet/record.h"

#include <cstring>

namespace dtunnel {
namespace {

constexpr std::uint16_t kDtls12 = 0xfefd;
constexpr std::uint16_t kDtls10 = 0xfeff;

}  // namespace

RecordFault ParseRecordHeader(Bytes in, RecordHeader* out) {
  if (in.empty()) return RecordFault::kShort;
  const std::uint8_t type = in[0];
  // RFC 7983 §7: DTLS shares the port with nothing, yet what is not DTLS is told apart by its first octet.
  if (type < kChangeCipherSpec || type > kConnectionId) return RecordFault::kNotDtls;
  if (in.size() < kPlainHeaderSize) return RecordFault::kShort;
  const std::uint16_t version = Load16(&in[1]);
  const RecordNumber number = Load64(&in[3]);
  // RFC 6347 §4.2.1: a first ClientHello may be marked as DTLS 1.0; a protected record never is.
  if (version != kDtls12 && (version != kDtls10 || number >> kSequenceBits != 0)) return RecordFault::kBadVersion;
  const std::size_t id_size = type == kConnectionId ? kOurConnectionIdSize : 0;
  const std::size_t header = kPlainHeaderSize + id_size;
  if (in.size() < header) return RecordFault::kShort;
  const std::size_t fragment = Load16(&in[header - 2]);
  if (in.size() - header < fragment) return RecordFault::kShort;
  out->type = type;
  out->number = number;
  out->connection_id = in.subspan(11, id_size);
  out->fragment = in.subspan(header, fragment);
  out->size = header + fragment;
  return RecordFault::kNone;
}

std::size_t WriteRecordHeader(std::uint8_t type, RecordNumber number, Bytes id, std::size_t fragment_size,
                              std::uint8_t* out) {
  out[0] = id.empty() ? type : kConnectionId;
  Store16(out + 1, kDtls12);
  Store64(out + 3, number);
  if (!id.empty()) std::memcpy(out + 11, id.data(), id.size());
  Store16(out + 11 + id.size(), static_cast<std::uint16_t>(fragment_size));
  return kPlainHeaderSize + id.size();
}

void MakeAdditionalData(std::uint8_t type, RecordNumber number, Bytes id, std::size_t plaintext_size,
                        AdditionalData* out) {
  std::uint8_t* at = out->octets.data();
  if (id.empty()) {
    Store64(at, number);
    at[8] = type;
    Store16(at + 9, kDtls12);
    Store16(at + 11, static_cast<std::uint16_t>(plaintext_size));
    out->size = 13;
    return;
  }
  std::memset(at, 0xff, 8);
  at[8] = kConnectionId;
  at[9] = static_cast<std::uint8_t>(id.size());
  at[10] = kConnectionId;
  Store16(at + 11, kDtls12);
  Store64(at + 13, number);
  std::memcpy(at + 21, id.data(), id.size());
  Store16(at + 21 + id.size(), static_cast<std::uint16_t>(plaintext_size));
  out->size = 23 + id.size();
}

}  // namespace dtunnel
