// GnuTLS as a DTLS 1.2 peer; with --legacy without extended_master_secret and renegotiation_info.
#include <gnutls/crypto.h>
#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "peer.h"

namespace peer {
namespace {

// Chains, names and dates carry no authority: peer.cc compares the leaf with the pinned certificate.
int AcceptAny(gnutls_session_t) { return 0; }

std::string Priorities(const Options& options) {
  std::string out = "NONE:+VERS-DTLS1.2:+AEAD:+COMP-NULL:+SIGN-ALL:+CTYPE-X509";
  out += options.suite->ecdsa ? ":+ECDHE-ECDSA" : ":+ECDHE-RSA";
  out += ":+" + std::string(options.suite->gnutls_cipher);
  for (const Group* group : GroupsInOrder(options)) out += ":+" + std::string(group->gnutls);
  out += ":%SERVER_PRECEDENCE";
  if (options.legacy) out += ":%NO_SESSION_HASH:%DISABLE_SAFE_RENEGOTIATION";
  return out;
}

class GnuTls final : public Association {
 public:
  GnuTls(const Options& options, Socket& socket) : options_(options), socket_(socket) {}
  GnuTls(const GnuTls&) = delete;
  GnuTls& operator=(const GnuTls&) = delete;

  ~GnuTls() override {
    if (session_ != nullptr) gnutls_deinit(session_);
    if (credentials_ != nullptr) gnutls_certificate_free_credentials(credentials_);
  }

  bool SetUp(std::string& out_reason) {
    gnutls_certificate_allocate_credentials(&credentials_);
    gnutls_certificate_set_verify_function(credentials_, AcceptAny);
    if (const int error = gnutls_certificate_set_x509_key_file(credentials_, options_.certificate.c_str(),
                                                               options_.key.c_str(), GNUTLS_X509_FMT_PEM);
        error < 0) {
      out_reason = gnutls_strerror(error);
      return false;
    }
    gnutls_init(&session_, (options_.server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK |
                               GNUTLS_NO_TICKETS);
    const char* where = nullptr;
    if (const int error = gnutls_priority_set_direct(session_, Priorities(options_).c_str(), &where); error < 0) {
      out_reason = std::string(gnutls_strerror(error)) + " at " + where;
      return false;
    }
    gnutls_credentials_set(session_, GNUTLS_CRD_CERTIFICATE, credentials_);
    if (options_.server) gnutls_certificate_server_set_request(session_, GNUTLS_CERT_REQUIRE);
    gnutls_transport_set_int(session_, socket_.fd());
    gnutls_dtls_set_mtu(session_, static_cast<unsigned>(options_.mtu));
    gnutls_dtls_set_timeouts(session_, static_cast<unsigned>(options_.timer.count()),
                             static_cast<unsigned>(options_.timeout.count()));
    if (!options_.alpn.empty()) {
      const gnutls_datum_t protocol{
          reinterpret_cast<unsigned char*>(const_cast<char*>(options_.alpn.data())),
          static_cast<unsigned>(options_.alpn.size()),
      };
      gnutls_alpn_set_protocols(session_, &protocol, 1, 0);
    }
    if (options_.server) gnutls_key_generate(&cookie_key_, GNUTLS_COOKIE_KEY_SIZE);
    return true;
  }

  Step Handshake() override {
    if (options_.server && !cookie_seen_) {
      if (const Step step = TakeCookie(); step != Step::kOk) return step;
      cookie_seen_ = true;
    }
    const int result = gnutls_handshake(session_);
    // A refused port, while the far end starts or leaves, is loss as on any path.
    if (result == GNUTLS_E_PUSH_ERROR || result == GNUTLS_E_PULL_ERROR) return Step::kAgain;
    return result < 0 && gnutls_error_is_fatal(result) == 0 ? Step::kAgain : StepOf(result);
  }

  milliseconds Timer() override {
    if (options_.server && !cookie_seen_) return options_.timer;
    return milliseconds(std::max(1u, gnutls_dtls_get_timeout(session_)));
  }

  // The next call of gnutls_handshake sends the flight again when it is due.
  bool OnTimer() override { return true; }

  void Describe(Report& out_report) override {
    out_report.library = std::string("GnuTLS ") + gnutls_check_version(nullptr);
    out_report.suite = Suite();
    const gnutls_group_t group = gnutls_group_get(session_);
    if (group == GNUTLS_GROUP_X25519) out_report.group = "x25519";
    if (group == GNUTLS_GROUP_SECP256R1) out_report.group = "secp256r1";
    if (group == GNUTLS_GROUP_SECP384R1) out_report.group = "secp384r1";
    out_report.extended_master_secret = gnutls_session_ext_master_secret_status(session_) != 0;
    out_report.renegotiation_info = gnutls_safe_renegotiation_status(session_) != 0;
    gnutls_datum_t protocol{};
    if (gnutls_alpn_get_selected_protocol(session_, &protocol) == 0) {
      out_report.alpn = std::string(reinterpret_cast<const char*>(protocol.data), protocol.size);
    }
    out_report.mtu = options_.mtu;
  }

  std::vector<std::uint8_t> PeerCertificate() override {
    unsigned count = 0;
    const gnutls_datum_t* list = gnutls_certificate_get_peers(session_, &count);
    if (list == nullptr || count == 0) return {};
    return {list[0].data, list[0].data + list[0].size};
  }

  Step Send(Bytes message) override {
    return StepOf(static_cast<int>(gnutls_record_send(session_, message.data(), message.size())));
  }

  Step Receive(std::vector<std::uint8_t>& out_message) override {
    std::array<std::uint8_t, 16384> buffer;
    const ssize_t got = gnutls_record_recv(session_, buffer.data(), buffer.size());
    if (got > 0) out_message.assign(buffer.begin(), buffer.begin() + got);
    return got == 0 ? Step::kClosed : StepOf(static_cast<int>(got));
  }

  void Close() override { gnutls_bye(session_, GNUTLS_SHUT_WR); }

  std::string Error() override { return error_; }

 private:
  // TakeCookie answers hellos without a proven address until one comes with its cookie (RFC 6347 §4.2.1).
  Step TakeCookie() {
    std::array<std::uint8_t, 65536> datagram;
    const std::vector<std::uint8_t>& name = socket_.far_end();
    const ssize_t got = ::recv(socket_.fd(), datagram.data(), datagram.size(), MSG_PEEK);
    if (got < 0) return Step::kAgain;
    gnutls_dtls_prestate_st state{};
    auto* far_end = const_cast<std::uint8_t*>(name.data());
    if (gnutls_dtls_cookie_verify(&cookie_key_, far_end, name.size(), datagram.data(), static_cast<std::size_t>(got),
                                  &state) >= 0) {
      gnutls_dtls_prestate_set(session_, &state);
      return Step::kOk;
    }
    gnutls_dtls_cookie_send(&cookie_key_, far_end, name.size(), &state, &socket_, PushDatagram);
    socket_.Receive(datagram);  // Answered: take it off the queue.
    return Step::kAgain;
  }

  static ssize_t PushDatagram(gnutls_transport_ptr_t socket, const void* data, std::size_t size) {
    static_cast<Socket*>(socket)->Send({static_cast<const std::uint8_t*>(data), size});
    return static_cast<ssize_t>(size);
  }

  std::string Suite() const {
    // gnutls_ciphersuite_get knows the IANA name from 3.7.4 on.
    const char* name = gnutls_ciphersuite_get(session_);
    if (name == nullptr) return "";
    std::string out(name);
    return out.rfind("GNUTLS_", 0) == 0 ? "TLS_" + out.substr(7) : out;
  }

  Step StepOf(int result) {
    if (result >= 0) return Step::kOk;
    if (result == GNUTLS_E_AGAIN || result == GNUTLS_E_INTERRUPTED) return Step::kAgain;
    if (result == GNUTLS_E_PREMATURE_TERMINATION) return Step::kClosed;
    error_ = gnutls_strerror(result);
    if (result == GNUTLS_E_FATAL_ALERT_RECEIVED || result == GNUTLS_E_WARNING_ALERT_RECEIVED) {
      const char* name = gnutls_alert_get_name(gnutls_alert_get(session_));
      error_ += std::string(": ") + (name == nullptr ? "unknown" : name);
    }
    return gnutls_error_is_fatal(result) != 0 ? Step::kFailed : Step::kAgain;
  }

  const Options& options_;
  Socket& socket_;
  gnutls_certificate_credentials_t credentials_ = nullptr;
  gnutls_session_t session_ = nullptr;
  gnutls_datum_t cookie_key_{};
  bool cookie_seen_ = false;
  std::string error_;
};

}  // namespace

std::unique_ptr<Association> MakeAssociation(const Options& options, Socket& socket, std::string& out_reason) {
  if (options.cid) {
    out_reason = "GnuTLS has no connection ids";
    return nullptr;
  }
  auto out = std::make_unique<GnuTls>(options, socket);
  if (!out->SetUp(out_reason)) return nullptr;
  return out;
}

}  // namespace peer
