// Fuzzes inner packets both ways: as the TUN device hands them over (10 octets of header first), and as a peer sends
// them, a train of packets of up to 255 octets each.
#include <algorithm>
#include <array>
#include <vector>

#include "packet/coalesce.h"
#include "packet/fragment.h"
#include "packet/icmp_error.h"
#include "packet/ip.h"
#include "packet/split.h"

namespace {

using namespace dtunnel;

class Discard : public PacketSink {
 public:
  void WritePacket(const VnetHdr& hdr, MutableBytes packet, std::uint32_t count, std::uint64_t, const void*) override {
    if (hdr.gso_type == kGsoNone) return;
    VnetHdr plain = hdr;
    plain.gso_type &= static_cast<std::uint8_t>(~kGsoEcnBit);
    auto splitter = Splitter::Create(packet, plain);
    if (!splitter || splitter->count() != count) __builtin_trap();
    while (!splitter->Next().empty()) {
    }
  }
};

void FromDevice(std::vector<std::uint8_t> packet) {
  const VnetHdr hdr = DecodeVnetHdr(packet.data());
  MutableBytes body = MutableBytes(packet).subspan(kVnetHdrSize);
  if (hdr.gso_type != kGsoNone) {
    if (auto splitter = Splitter::Create(body, hdr)) {
      while (!splitter->Next().empty()) {
      }
    }
    return;
  }
  CompleteChecksum(body, hdr);
  const auto ip = ParseIp(body, false);
  if (!ip) return;
  ClampMss(body, *ip, 200, (hdr.flags & kVnetNeedsChecksum) != 0);
  std::array<std::uint8_t, kMaxIcmpError> error;
  WritePacketTooBig(body, *ip, 200, &error);
  std::vector<std::uint8_t> scratch(2000);
  if (ip->version != 4) return;
  if (auto fragments = Ipv4Fragmenter::Create(body, 100, scratch)) {
    while (!fragments->Next().empty()) {
    }
  }
}

void FromPeer(Bytes train) {
  Discard discard;
  Coalescer coalescer(&discard);
  while (!train.empty()) {
    const std::size_t size = std::min<std::size_t>(train[0], train.size() - 1);
    std::uint8_t* at = coalescer.Land(size);
    std::copy_n(train.data() + 1, size, at);
    train = train.subspan(1 + size);
    if (!ParseIp(Bytes(at, size), false) || !DecapsulateEcn(at, 3)) {
      coalescer.Abandon();
      continue;
    }
    if (!coalescer.TryAppend(size, nullptr)) coalescer.Add(size, nullptr);
  }
  coalescer.Flush();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < kVnetHdrSize + 1) return 0;
  FromDevice(std::vector<std::uint8_t>(data, data + size));
  FromPeer(Bytes(data, size));
  return 0;
}
