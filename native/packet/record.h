// DTLS 1.2 record headers, plain (RFC 6347 §4.1) and with connection id (RFC 9146 §4), and the AEAD inputs that are
// derived from them (RFC 5288 §3, RFC 7905 §2, RFC 9146 §5.3).
//
//   octets  plain                          with connection id
//   0       content type 20 … 24           25
//   1-2     version fefd                   fefd
//   3-4     epoch                          epoch
//   5-10    sequence number                sequence number
//   11-12   length                         connection id (n octets)
//   …       fragment                       length, fragment
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace dtunnel {

// Epoch and sequence number in one word, epoch on top: the 64 bits that the AEAD nonce is made of.
using RecordNumber = std::uint64_t;
inline constexpr int kSequenceBits = 48;
inline constexpr RecordNumber kSequenceMask = (RecordNumber{1} << kSequenceBits) - 1;

inline constexpr std::uint8_t kChangeCipherSpec = 20;
inline constexpr std::uint8_t kAlert = 21;
inline constexpr std::uint8_t kHandshake = 22;
inline constexpr std::uint8_t kApplicationData = 23;
inline constexpr std::uint8_t kHeartbeat = 24;
inline constexpr std::uint8_t kConnectionId = 25;

inline constexpr std::size_t kPlainHeaderSize = 13;
inline constexpr std::size_t kOurConnectionIdSize = 8;
inline constexpr std::size_t kMaxConnectionIdSize = 255;
inline constexpr std::size_t kTagSize = 16;

enum class RecordFault : std::uint8_t { kNone, kShort, kBadVersion, kNotDtls };

// One received record. Views into the datagram.
struct RecordHeader {
  std::uint8_t type = 0;
  RecordNumber number = 0;
  Bytes connection_id;
  Bytes fragment;
  std::size_t size = 0;  // of the whole record

  std::uint16_t epoch() const { return static_cast<std::uint16_t>(number >> kSequenceBits); }
};

// Reads the record at the front of `in`; connection ids are ours, hence of fixed size. kShort: it does not fit in `in`.
RecordFault ParseRecordHeader(Bytes in, RecordHeader* out);

// Writes a header of a record whose fragment has `fragment_size` octets; returns its size. `out` has room for
// kPlainHeaderSize + id.size() octets. An id makes it a record of type 25.
std::size_t WriteRecordHeader(std::uint8_t type, RecordNumber number, Bytes id, std::size_t fragment_size,
                              std::uint8_t* out);

// Additional data of a record. RFC 5246 §6.2.3.3 for plain records, RFC 9146 §5.3 for those with an id.
struct AdditionalData {
  std::array<std::uint8_t, 23 + kMaxConnectionIdSize> octets;
  std::size_t size = 0;

  Bytes bytes() const { return Bytes(octets.data(), size); }
};

void MakeAdditionalData(std::uint8_t type, RecordNumber number, Bytes id, std::size_t plaintext_size,
                        AdditionalData* out);

}  // namespace dtunnel
