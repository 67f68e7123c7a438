#include "peer.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

namespace peer {
namespace {

constexpr std::array<Suite, 6> kSuites{{
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", "AES-128-GCM", "AES-128/GCM", true},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384", "AES-256-GCM", "AES-256/GCM", true},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", "CHACHA20-POLY1305",
     "ChaCha20Poly1305", true},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "AES-128-GCM", "AES-128/GCM", false},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "AES-256-GCM", "AES-256/GCM", false},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305", "CHACHA20-POLY1305",
     "ChaCha20Poly1305", false},
}};

constexpr std::array<Group, 3> kGroups{{
    {"x25519", "X25519", "GROUP-X25519", "x25519", 29},
    {"secp256r1", "P-256", "GROUP-SECP256R1", "secp256r1", 23},
    {"secp384r1", "P-384", "GROUP-SECP384R1", "secp384r1", 24},
}};

// Set by SIGTERM: the other end is done, report and leave.
volatile sig_atomic_t stop_requested = 0;

void RequestStop(int) { stop_requested = 1; }

[[noreturn]] void Usage(const std::string& why) {
  std::fprintf(stderr,
               "%s\nusage: PEER client|server --address A --port P --cert F --key F --peer-cert F --suite NAME --group "
               "NAME\n"
               "       [--mtu N] [--cid HEX|--no-cid] [--alpn P] [--messages N] [--sizes N,N] [--timer MS] [--timeout "
               "MS] [--legacy]\n",
               why.c_str());
  std::exit(kUsage);
}

std::size_t Number(const std::string& text, std::size_t most) {
  char* end = nullptr;
  const unsigned long value = std::strtoul(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || value > most) Usage("not a number up to " + std::to_string(most) + ": " + text);
  return value;
}

std::vector<std::uint8_t> FromHex(const std::string& text) {
  std::vector<std::uint8_t> out;
  if (text.size() % 2 != 0) Usage("odd number of hex digits: " + text);
  for (std::size_t at = 0; at < text.size(); at += 2) {
    char* end = nullptr;
    const std::string octet = text.substr(at, 2);
    out.push_back(static_cast<std::uint8_t>(std::strtoul(octet.c_str(), &end, 16)));
    if (*end != '\0') Usage("not hex: " + text);
  }
  return out;
}

std::vector<std::size_t> Sizes(const std::string& text) {
  std::vector<std::size_t> out;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    out.push_back(Number(text.substr(at, comma - at), 16384));
    at = comma + 1;
  }
  return out;
}

Options ParseArguments(int argc, char** argv) {
  Options options;
  if (argc < 2) Usage("no role");
  const std::string role = argv[1];
  if (role != "client" && role != "server") Usage("role is client or server, not " + role);
  options.server = role == "server";
  options.sizes = {64, 1, 200};
  for (int at = 2; at < argc; ++at) {
    const std::string name = argv[at];
    if (name == "--no-cid") continue;
    if (name == "--legacy") {
      options.legacy = true;
      continue;
    }
    if (++at >= argc) Usage(name + " lacks its value");
    const std::string value = argv[at];
    if (name == "--address") {
      options.address = value;
    } else if (name == "--port") {
      options.port = static_cast<std::uint16_t>(Number(value, 65535));
    } else if (name == "--cert") {
      options.certificate = value;
    } else if (name == "--key") {
      options.key = value;
    } else if (name == "--peer-cert") {
      options.peer_certificate = value;
    } else if (name == "--suite") {
      for (const Suite& suite : kSuites) {
        if (suite.iana == value) options.suite = &suite;
      }
      if (options.suite == nullptr) Usage("unknown suite " + value);
    } else if (name == "--group") {
      for (const Group& group : kGroups) {
        if (group.name == value) options.group = &group;
      }
      if (options.group == nullptr) Usage("unknown group " + value);
    } else if (name == "--mtu") {
      options.mtu = Number(value, 65507);
    } else if (name == "--cid") {
      options.cid = FromHex(value);
    } else if (name == "--alpn") {
      options.alpn = value;
    } else if (name == "--messages") {
      options.messages = Number(value, 1'000'000);
    } else if (name == "--sizes") {
      options.sizes = Sizes(value);
    } else if (name == "--timer") {
      options.timer = milliseconds(Number(value, 60'000));
    } else if (name == "--timeout") {
      options.timeout = milliseconds(Number(value, 600'000));
    } else {
      Usage("unknown option " + name);
    }
  }
  if (options.address.empty() || options.certificate.empty() || options.key.empty() ||
      options.peer_certificate.empty() || options.suite == nullptr || options.group == nullptr) {
    Usage("--address, --cert, --key, --peer-cert, --suite and --group are required");
  }
  return options;
}

std::string JsonText(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += ' ';
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string JsonBool(const std::optional<bool>& value) { return !value ? "null" : *value ? "true" : "false"; }

std::string JsonMaybe(const std::optional<std::string>& value) { return value ? JsonText(*value) : "null"; }

// A message whose octets all depend on its number and place, so that a mixed-up echo is seen. The first four (or all,
// of a shorter one) are its number.
std::vector<std::uint8_t> Message(std::size_t number, std::size_t size) {
  std::vector<std::uint8_t> out(size);
  for (std::size_t at = 0; at < size; ++at) {
    out[at] = static_cast<std::uint8_t>(at < 4 ? number >> (8 * at) : number * 31 + at * 7);
  }
  return out;
}

class Run {
 public:
  Run(const Options& options, Socket& socket, Association& association)
      : options_(options), socket_(socket), association_(association), deadline_(Clock::now() + options.timeout) {}

  int Exercise() {
    if (const int status = Handshake(); status != kDone) return Finish(status);
    association_.Describe(report_);
    peer_certificate_ = association_.PeerCertificate();
    // The library may accept more than the pin (a chain, a name): the exact certificate is what counts here.
    if (peer_certificate_ != PemToDer(options_.peer_certificate)) {
      error_ = "the far end's certificate is not the pinned one";
      association_.Close();
      return Finish(kHandshakeFailed);
    }
    std::printf("{\"established\":true}\n");
    std::fflush(stdout);
    const int status = options_.server ? Echo() : SendAll();
    association_.Close();
    return Finish(status);
  }

 private:
  bool Expired() const { return Clock::now() >= deadline_; }

  milliseconds Left() const {
    return std::max(milliseconds(0), std::chrono::duration_cast<milliseconds>(deadline_ - Clock::now()));
  }

  int Handshake() {
    for (;;) {
      switch (association_.Handshake()) {
        case Step::kOk:
          return kDone;
        case Step::kAgain:
          break;
        case Step::kClosed:
        case Step::kFailed:
          error_ = association_.Error();
          return kHandshakeFailed;
      }
      if (Expired() || stop_requested) {
        error_ = "no handshake in time";
        return kTimedOut;
      }
      if (!socket_.WaitReadable(std::min(Left(), association_.Timer())) && !association_.OnTimer()) {
        error_ = "the library gave up retransmitting: " + association_.Error();
        return kTimedOut;
      }
    }
  }

  // Echo sends back whatever comes until the far end closes, we are told to stop, or time is up.
  int Echo() {
    for (;;) {
      std::vector<std::uint8_t> message;
      switch (association_.Receive(message)) {
        case Step::kOk:
          ++echoed_;
          // Counting from the first echo: an idle server must not outlive a client that vanished.
          if (association_.Send(message) == Step::kFailed) {
            error_ = association_.Error();
            return kEchoFailed;
          }
          continue;
        case Step::kAgain:
          break;
        case Step::kClosed:
          closed_by_peer_ = true;
          return kDone;
        case Step::kFailed:
          error_ = association_.Error();
          return kEchoFailed;
      }
      if (stop_requested) return kDone;
      if (Expired()) {
        error_ = "nobody closed in time";
        return kTimedOut;
      }
      if (!socket_.WaitReadable(std::min(Left(), association_.Timer()))) association_.OnTimer();
    }
  }

  // SendAll sends each message until its echo came; the path may lose any of them.
  int SendAll() {
    for (std::size_t number = 0; number < options_.messages; ++number) {
      const std::vector<std::uint8_t> message = Message(number, options_.sizes[number % options_.sizes.size()]);
      if (const int status = SendUntilEchoed(message); status != kDone) return status;
      ++echoed_;
    }
    return kDone;
  }

  int SendUntilEchoed(const std::vector<std::uint8_t>& message) {
    while (!Expired()) {
      if (association_.Send(message) == Step::kFailed) {
        error_ = association_.Error();
        return kEchoFailed;
      }
      const auto again = Clock::now() + options_.timer;
      while (Clock::now() < again) {
        std::vector<std::uint8_t> echo;
        switch (association_.Receive(echo)) {
          case Step::kOk:
            if (echo == message) return kDone;
            ++strays_;  // The echo of an earlier copy.
            continue;
          case Step::kAgain:
            socket_.WaitReadable(milliseconds(20));
            continue;
          case Step::kClosed:
            error_ = "closed before the echo came";
            return kEchoFailed;
          case Step::kFailed:
            error_ = association_.Error();
            return kEchoFailed;
        }
      }
    }
    error_ = "no echo in time";
    return kTimedOut;
  }

  int Finish(int status) {
    std::string line = "{\"role\":" + JsonText(options_.server ? "server" : "client");
    line += ",\"library\":" + JsonText(report_.library);
    line += ",\"status\":" + std::to_string(status);
    line += ",\"suite\":" + (report_.suite.empty() ? "null" : JsonText(report_.suite));
    line += ",\"group\":" + JsonMaybe(report_.group);
    line += ",\"extendedMasterSecret\":" + JsonBool(report_.extended_master_secret);
    line += ",\"renegotiationInfo\":" + JsonBool(report_.renegotiation_info);
    line += ",\"alpn\":" + JsonMaybe(report_.alpn);
    line += std::string(",\"cidIn\":") + (report_.cid_in ? "true" : "false");
    line += std::string(",\"cidOut\":") + (report_.cid_out ? "true" : "false");
    line += ",\"mtu\":" + (report_.mtu ? std::to_string(*report_.mtu) : "null");
    line += ",\"peerCertificate\":" + (peer_certificate_.empty() ? "null" : JsonText(Hex(peer_certificate_)));
    line += ",\"echoed\":" + std::to_string(echoed_);
    line += ",\"strays\":" + std::to_string(strays_);
    line += std::string(",\"closedByPeer\":") + (closed_by_peer_ ? "true" : "false");
    line += ",\"error\":" + (error_.empty() ? "null" : JsonText(error_)) + "}\n";
    std::fputs(line.c_str(), stdout);
    std::fflush(stdout);
    return status;
  }

  const Options& options_;
  Socket& socket_;
  Association& association_;
  const Clock::time_point deadline_;
  Report report_;
  std::vector<std::uint8_t> peer_certificate_;
  std::size_t echoed_ = 0;
  std::size_t strays_ = 0;
  bool closed_by_peer_ = false;
  std::string error_;
};

}  // namespace

std::unique_ptr<Socket> Socket::Open(const Options& options) {
  const bool v6 = options.address.find(':') != std::string::npos;
  sockaddr_storage address{};
  socklen_t length = 0;
  if (v6) {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&address);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(options.port);
    length = sizeof *in6;
    if (inet_pton(AF_INET6, options.address.c_str(), &in6->sin6_addr) != 1) return nullptr;
  } else {
    auto* in = reinterpret_cast<sockaddr_in*>(&address);
    in->sin_family = AF_INET;
    in->sin_port = htons(options.port);
    length = sizeof *in;
    if (inet_pton(AF_INET, options.address.c_str(), &in->sin_addr) != 1) return nullptr;
  }
  const int fd = ::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return nullptr;
  std::unique_ptr<Socket> socket(new Socket(fd));
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (options.server) {
    if (::bind(fd, generic, length) != 0) return nullptr;
    sockaddr_storage bound{};
    socklen_t bound_length = sizeof bound;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &bound_length);
    // The port lies at the same place in both families.
    std::printf("{\"listening\":%u}\n", ntohs(reinterpret_cast<sockaddr_in*>(&bound)->sin_port));
    std::fflush(stdout);
    if (!socket->WaitReadable(options.timeout)) return nullptr;
    std::uint8_t octet = 0;
    length = sizeof address;
    if (::recvfrom(fd, &octet, 1, MSG_PEEK, generic, &length) < 0) return nullptr;
  }
  if (::connect(fd, generic, length) != 0) return nullptr;
  const auto* octets = reinterpret_cast<const std::uint8_t*>(&address);
  socket->far_end_.assign(octets, octets + length);
  return socket;
}

Socket::~Socket() { ::close(fd_); }

bool Socket::WaitReadable(milliseconds limit) const {
  pollfd poll_fd{fd_, POLLIN, 0};
  return ::poll(&poll_fd, 1, static_cast<int>(limit.count())) > 0 && (poll_fd.revents & POLLIN) != 0;
}

std::size_t Socket::Receive(std::span<std::uint8_t> out) const {
  const ssize_t got = ::recv(fd_, out.data(), out.size(), 0);
  return got > 0 ? static_cast<std::size_t>(got) : 0;
}

void Socket::Send(Bytes datagram) const {
  // A refused or full socket is loss, as on any path.
  [[maybe_unused]] const ssize_t sent = ::send(fd_, datagram.data(), datagram.size(), 0);
}

std::vector<std::uint8_t> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<std::uint8_t> PemToDer(const std::string& path) {
  constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
  const std::vector<std::uint8_t> file = ReadFile(path);
  const std::string text(file.begin(), file.end());
  const std::size_t begin = text.find(kBegin);
  const std::size_t end = text.find("-----END CERTIFICATE-----");
  std::vector<std::uint8_t> out;
  if (begin == std::string::npos || end == std::string::npos) return out;
  std::uint32_t bits = 0;
  int count = 0;
  for (std::size_t at = begin + kBegin.size(); at < end; ++at) {
    constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const std::size_t digit = kDigits.find(text[at]);
    if (digit == std::string_view::npos) continue;  // Line ends and padding.
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count >= 8) out.push_back(static_cast<std::uint8_t>(bits >> (count -= 8)));
  }
  return out;
}

std::string Hex(Bytes bytes) {
  std::string out;
  for (const std::uint8_t octet : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    out += kDigits[octet >> 4];
    out += kDigits[octet & 15];
  }
  return out;
}

std::string IanaName(std::string_view openssl) {
  for (const Suite& suite : kSuites) {
    if (suite.openssl == openssl) return std::string(suite.iana);
  }
  return std::string(openssl);
}

const Group* GroupById(std::uint16_t id) {
  for (const Group& group : kGroups) {
    if (group.id == id) return &group;
  }
  return nullptr;
}

std::vector<const Group*> GroupsInOrder(const Options& options) {
  std::vector<const Group*> out{options.group};
  for (const Group& group : kGroups) {
    if (&group != options.group) out.push_back(&group);
  }
  return out;
}

}  // namespace peer

int main(int argc, char** argv) {
  using namespace peer;
  const Options options = ParseArguments(argc, argv);
  struct sigaction action {};
  action.sa_handler = RequestStop;  // No SA_RESTART: poll returns at once.
  ::sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  // The last resort, should a library block: the process dies of SIGALRM.
  ::alarm(static_cast<unsigned>(options.timeout.count() / 1000 + 5));
  const std::unique_ptr<Socket> socket = Socket::Open(options);
  if (socket == nullptr) {
    std::printf("{\"status\":%d,\"error\":\"no socket, or nobody called: %s\"}\n", kTimedOut, std::strerror(errno));
    return kTimedOut;
  }
  std::string reason;
  const std::unique_ptr<Association> association = MakeAssociation(options, *socket, reason);
  if (association == nullptr) {
    std::printf("{\"status\":%d,\"error\":\"%s\"}\n", kUnsupported, reason.c_str());
    return kUnsupported;
  }
  return Run(options, *socket, *association).Exercise();
}
