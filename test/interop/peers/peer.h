// What every foreign peer shares: the command line, the socket, the echo exercise and the report. One file per library
// implements `Association` and `MakeAssociation`; none of them contains a line of the engine under test.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace peer {

using Bytes = std::span<const std::uint8_t>;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Exit statuses; README.md documents them.
constexpr int kDone = 0;
constexpr int kHandshakeFailed = 1;
constexpr int kUsage = 2;
constexpr int kEchoFailed = 3;
constexpr int kUnsupported = 4;
constexpr int kTimedOut = 5;

// Suite names one cipher suite in the words of each library.
struct Suite {
  std::string_view iana;
  std::string_view openssl;  // wolfSSL uses the same words.
  std::string_view gnutls_cipher;
  std::string_view botan_cipher;
  bool ecdsa;
};

// Group names one key-exchange group in the words of each library. `id` is its number on the wire (RFC 8422 §5.1.1).
struct Group {
  std::string_view name;
  std::string_view openssl;
  std::string_view gnutls;
  std::string_view botan;
  std::uint16_t id;
};

// Options is the command line, checked.
struct Options {
  bool server = false;
  std::string address;
  std::uint16_t port = 0;
  std::string certificate;
  std::string key;
  std::string peer_certificate;
  const Suite* suite = nullptr;
  const Group* group = nullptr;
  // Largest UDP payload to send.
  std::size_t mtu = 1400;
  // The id that records to us shall carry (RFC 9146): absent without --cid, empty for `--cid ''`.
  std::optional<std::vector<std::uint8_t>> cid;
  std::string alpn;
  std::size_t messages = 0;
  std::vector<std::size_t> sizes;
  // First retransmission timeout of the handshake, and the time after which an unanswered message is sent again.
  milliseconds timer{250};
  milliseconds timeout{20'000};
  // No extended_master_secret, no renegotiation_info.
  bool legacy = false;
};

// Report is what an association says of itself; absent members are those that the library does not tell.
struct Report {
  std::string library;
  std::string suite;
  std::optional<std::string> group;
  std::optional<bool> extended_master_secret;
  std::optional<bool> renegotiation_info;
  std::optional<std::string> alpn;
  // Whether records to us and from us carry an id.
  bool cid_in = false;
  bool cid_out = false;
  std::optional<std::size_t> mtu;
};

enum class Step { kOk, kAgain, kClosed, kFailed };

// Socket is one connected UDP socket. A server's is connected to whoever sends the first datagram.
class Socket {
 public:
  static std::unique_ptr<Socket> Open(const Options& options);
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int fd() const { return fd_; }
  // WaitReadable returns false when nothing came within `limit` or a signal asked us to stop.
  bool WaitReadable(milliseconds limit) const;
  // Receive returns the octets of the next datagram, 0 when none is there. Refused ports (ICMP) count as nothing there.
  std::size_t Receive(std::span<std::uint8_t> out) const;
  void Send(Bytes datagram) const;
  // The far end's address, as octets that name it for cookies.
  const std::vector<std::uint8_t>& far_end() const { return far_end_; }

 private:
  explicit Socket(int fd) : fd_(fd) {}
  int fd_;
  std::vector<std::uint8_t> far_end_;
};

// Association is one run of a library. All calls return at once or within the time given.
class Association {
 public:
  virtual ~Association() = default;
  // Handshake advances as far as the datagrams at hand allow. kAgain: wait for a datagram, at most `Timer()`.
  virtual Step Handshake() = 0;
  // Timer returns how long to wait for a datagram before calling OnTimer.
  virtual milliseconds Timer() = 0;
  // OnTimer lets the library send its flight again. False: it gives up.
  virtual bool OnTimer() = 0;
  virtual void Describe(Report& out_report) = 0;
  // PeerCertificate returns the DER of the far end's leaf certificate.
  virtual std::vector<std::uint8_t> PeerCertificate() = 0;
  virtual Step Send(Bytes message) = 0;
  // Receive takes one message. kAgain: none at hand.
  virtual Step Receive(std::vector<std::uint8_t>& out_message) = 0;
  virtual void Close() = 0;
  // Error returns the library's words for what went wrong last.
  virtual std::string Error() = 0;
};

// MakeAssociation is each library's own. It returns nullptr with a reason where the library lacks what is asked.
std::unique_ptr<Association> MakeAssociation(const Options& options, Socket& socket, std::string& out_reason);

std::vector<std::uint8_t> ReadFile(const std::string& path);
// PemToDer returns the first certificate of a PEM file.
std::vector<std::uint8_t> PemToDer(const std::string& path);
std::string Hex(Bytes bytes);
// IanaName returns the IANA name for OpenSSL's words, or the words themselves.
std::string IanaName(std::string_view openssl);
const Group* GroupById(std::uint16_t id);
// GroupsInOrder returns all groups, the chosen one first: certificates on other curves need theirs to be offered too
// (RFC 8422 §5.1.1).
std::vector<const Group*> GroupsInOrder(const Options& options);

}  // namespace peer
