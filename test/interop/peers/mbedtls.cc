// Mbed TLS (2.28 and 3) as a DTLS 1.2 peer, with connection ids where the build has RFC 9146's.
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cookie.h>
#include <mbedtls/timing.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#if MBEDTLS_VERSION_MAJOR >= 3
#include <psa/crypto.h>
#endif

#include <array>

#include "peer.h"

namespace peer {
namespace {

// Mbed TLS 2.28 carries only a draft of connection ids, under another extension number.
#if defined(MBEDTLS_SSL_DTLS_CONNECTION_ID) && MBEDTLS_VERSION_MAJOR >= 3
constexpr bool kHasConnectionIds = true;
#else
constexpr bool kHasConnectionIds = false;
#endif

// Chains, names and dates carry no authority: peer.cc compares the leaf with the pinned certificate.
int AcceptAny(void*, mbedtls_x509_crt*, int, std::uint32_t* out_flags) {
  *out_flags = 0;
  return 0;
}

class MbedTls final : public Association {
 public:
  MbedTls(const Options& options, Socket& socket) : options_(options), socket_(socket) {
    mbedtls_ssl_init(&ssl_);
    mbedtls_ssl_config_init(&config_);
    mbedtls_x509_crt_init(&certificate_);
    mbedtls_x509_crt_init(&trusted_);
    mbedtls_pk_init(&key_);
    mbedtls_ssl_cookie_init(&cookies_);
    mbedtls_entropy_init(&entropy_);
    mbedtls_ctr_drbg_init(&random_);
  }
  MbedTls(const MbedTls&) = delete;
  MbedTls& operator=(const MbedTls&) = delete;

  ~MbedTls() override {
    mbedtls_ssl_free(&ssl_);
    mbedtls_ssl_config_free(&config_);
    mbedtls_x509_crt_free(&certificate_);
    mbedtls_x509_crt_free(&trusted_);
    mbedtls_pk_free(&key_);
    mbedtls_ssl_cookie_free(&cookies_);
    mbedtls_ctr_drbg_free(&random_);
    mbedtls_entropy_free(&entropy_);
  }

  bool SetUp(std::string& out_reason) {
    if (!LoadKeys()) {
      out_reason = "Mbed TLS refuses the certificate or key: " + error_;
      return false;
    }
    mbedtls_ssl_config_defaults(&config_, options_.server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
                                MBEDTLS_SSL_TRANSPORT_DATAGRAM, MBEDTLS_SSL_PRESET_DEFAULT);
#if MBEDTLS_VERSION_MAJOR >= 3
    mbedtls_ssl_conf_min_tls_version(&config_, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_max_tls_version(&config_, MBEDTLS_SSL_VERSION_TLS1_2);
#else
    mbedtls_ssl_conf_min_version(&config_, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#endif
    mbedtls_ssl_conf_rng(&config_, mbedtls_ctr_drbg_random, &random_);
    // RSA-2048 to P-384: every certificate that Mbed TLS can read at all.
    mbedtls_ssl_conf_authmode(&config_, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_verify(&config_, AcceptAny, nullptr);
    mbedtls_ssl_conf_ca_chain(&config_, &trusted_, nullptr);
    mbedtls_ssl_conf_own_cert(&config_, &certificate_, &key_);
    mbedtls_ssl_conf_ciphersuites(&config_, suites_.data());
    mbedtls_ssl_conf_renegotiation(&config_, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
    mbedtls_ssl_conf_session_tickets(&config_, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    SetGroups();
    // The library doubles the first value up to the second and gives up after it: 2^7 times the first is enough here.
    const auto first = static_cast<std::uint32_t>(options_.timer.count());
    mbedtls_ssl_conf_handshake_timeout(&config_, first, first << 7);
    if (!options_.alpn.empty()) mbedtls_ssl_conf_alpn_protocols(&config_, protocols_.data());
    if (options_.server) {
      mbedtls_ssl_cookie_setup(&cookies_, mbedtls_ctr_drbg_random, &random_);
      mbedtls_ssl_conf_dtls_cookies(&config_, mbedtls_ssl_cookie_write, mbedtls_ssl_cookie_check, &cookies_);
    }
#if defined(MBEDTLS_SSL_DTLS_CONNECTION_ID) && MBEDTLS_VERSION_MAJOR >= 3
    if (options_.cid) mbedtls_ssl_conf_cid(&config_, options_.cid->size(), MBEDTLS_SSL_UNEXPECTED_CID_IGNORE);
#endif
    if (const int error = mbedtls_ssl_setup(&ssl_, &config_); error != 0) {
      out_reason = Words(error);
      return false;
    }
    // The pin is the authority. Mbed TLS 3.6.3 refuses a client that did not say whether it wants a name checked.
    mbedtls_ssl_set_hostname(&ssl_, nullptr);
    mbedtls_ssl_set_bio(&ssl_, this, SendDatagram, ReceiveDatagram, nullptr);
    mbedtls_ssl_set_timer_cb(&ssl_, &delay_, mbedtls_timing_set_delay, mbedtls_timing_get_delay);
    mbedtls_ssl_set_mtu(&ssl_, static_cast<std::uint16_t>(options_.mtu));
    return Prepare();
  }

  Step Handshake() override {
    const int result = mbedtls_ssl_handshake(&ssl_);
    if (result == MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED) {
      // The cookie went out; the library keeps nothing and wants to start afresh with the hello that brings it back.
      mbedtls_ssl_session_reset(&ssl_);
      return Prepare() ? Step::kAgain : Step::kFailed;
    }
    return StepOf(result);
  }

  // Its timer callbacks only tell whether time is up: look often.
  milliseconds Timer() override { return milliseconds(10); }
  bool OnTimer() override { return true; }

  void Describe(Report& out_report) override {
    std::array<char, 32> version;
    mbedtls_version_get_string_full(version.data());
    out_report.library = version.data();
    std::string suite = mbedtls_ssl_get_ciphersuite(&ssl_);
    for (char& c : suite) {
      if (c == '-') c = '_';
    }
    out_report.suite = suite;
    if (const char* protocol = mbedtls_ssl_get_alpn_protocol(&ssl_); protocol != nullptr) out_report.alpn = protocol;
    out_report.mtu = options_.mtu;
#if defined(MBEDTLS_SSL_DTLS_CONNECTION_ID) && MBEDTLS_VERSION_MAJOR >= 3
    int enabled = MBEDTLS_SSL_CID_DISABLED;
    std::array<unsigned char, MBEDTLS_SSL_CID_OUT_LEN_MAX> theirs;
    std::size_t length = 0;
    if (mbedtls_ssl_get_peer_cid(&ssl_, &enabled, theirs.data(), &length) == 0 && enabled == MBEDTLS_SSL_CID_ENABLED) {
      out_report.cid_out = length > 0;
      out_report.cid_in = options_.cid && !options_.cid->empty();
    }
#endif
  }

  std::vector<std::uint8_t> PeerCertificate() override {
    const mbedtls_x509_crt* leaf = mbedtls_ssl_get_peer_cert(&ssl_);
    if (leaf == nullptr) return {};
    return {leaf->raw.p, leaf->raw.p + leaf->raw.len};
  }

  Step Send(Bytes message) override { return StepOf(mbedtls_ssl_write(&ssl_, message.data(), message.size())); }

  Step Receive(std::vector<std::uint8_t>& out_message) override {
    std::array<std::uint8_t, 16384> buffer;
    const int got = mbedtls_ssl_read(&ssl_, buffer.data(), buffer.size());
    if (got == 0 || got == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) return Step::kClosed;
    if (got > 0) out_message.assign(buffer.begin(), buffer.begin() + got);
    return StepOf(got);
  }

  void Close() override { mbedtls_ssl_close_notify(&ssl_); }

  std::string Error() override { return error_; }

 private:
  // Prepare gives a fresh session what a reset takes away.
  bool Prepare() {
    const std::vector<std::uint8_t>& name = socket_.far_end();
    if (options_.server && mbedtls_ssl_set_client_transport_id(&ssl_, name.data(), name.size()) != 0) return false;
#if defined(MBEDTLS_SSL_DTLS_CONNECTION_ID) && MBEDTLS_VERSION_MAJOR >= 3
    if (options_.cid) {
      return mbedtls_ssl_set_cid(&ssl_, MBEDTLS_SSL_CID_ENABLED, options_.cid->data(), options_.cid->size()) == 0;
    }
#endif
    return true;
  }

  bool LoadKeys() {
#if MBEDTLS_VERSION_MAJOR >= 3
    psa_crypto_init();
#endif
    mbedtls_ctr_drbg_seed(&random_, mbedtls_entropy_func, &entropy_, nullptr, 0);
    int error = mbedtls_x509_crt_parse_file(&certificate_, options_.certificate.c_str());
    if (error == 0) error = mbedtls_x509_crt_parse_file(&trusted_, options_.peer_certificate.c_str());
#if MBEDTLS_VERSION_MAJOR >= 3
    if (error == 0) {
      error = mbedtls_pk_parse_keyfile(&key_, options_.key.c_str(), nullptr, mbedtls_ctr_drbg_random, &random_);
    }
#else
    if (error == 0) error = mbedtls_pk_parse_keyfile(&key_, options_.key.c_str(), nullptr);
#endif
    std::string suite(options_.suite->iana);
    for (char& c : suite) {
      if (c == '_') c = '-';
    }
    for (const std::string_view spelled : {"AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305"}) {
      if (const std::size_t at = suite.find(spelled); at != std::string::npos)
        suite.replace(at, spelled.size(), spelled);
    }
    suites_ = {mbedtls_ssl_get_ciphersuite_id(suite.c_str()), 0};
    if (error != 0) error_ = Words(error);
    return error == 0;
  }

  void SetGroups() {
    std::size_t at = 0;
    for (const Group* group : GroupsInOrder(options_)) {
#if MBEDTLS_VERSION_MAJOR >= 3
      groups_[at++] = group->id;
#else
      groups_[at++] = mbedtls_ecp_curve_info_from_tls_id(group->id)->grp_id;
#endif
    }
#if MBEDTLS_VERSION_MAJOR >= 3
    mbedtls_ssl_conf_groups(&config_, groups_.data());
#else
    mbedtls_ssl_conf_curves(&config_, groups_.data());
#endif
  }

  static int SendDatagram(void* self, const unsigned char* data, std::size_t size) {
    static_cast<MbedTls*>(self)->socket_.Send({data, size});
    return static_cast<int>(size);
  }

  static int ReceiveDatagram(void* self, unsigned char* out, std::size_t size) {
    const std::size_t got = static_cast<MbedTls*>(self)->socket_.Receive({out, size});
    return got > 0 ? static_cast<int>(got) : MBEDTLS_ERR_SSL_WANT_READ;
  }

  static std::string Words(int error) {
    std::array<char, 200> text;
    mbedtls_strerror(error, text.data(), text.size());
    return text.data();
  }

  Step StepOf(int result) {
    if (result >= 0) return Step::kOk;
    if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE) return Step::kAgain;
    error_ = Words(result);
    // The library asks its caller to tell the far end, except where it did so itself.
    return Step::kFailed;
  }

  const Options& options_;
  Socket& socket_;
  mbedtls_ssl_context ssl_;
  mbedtls_ssl_config config_;
  mbedtls_x509_crt certificate_;
  mbedtls_x509_crt trusted_;
  mbedtls_pk_context key_;
  mbedtls_ssl_cookie_ctx cookies_;
  mbedtls_entropy_context entropy_;
  mbedtls_ctr_drbg_context random_;
  mbedtls_timing_delay_context delay_{};
  std::array<int, 2> suites_{};
#if MBEDTLS_VERSION_MAJOR >= 3
  std::array<std::uint16_t, 4> groups_{};
#else
  std::array<mbedtls_ecp_group_id, 4> groups_{};
#endif
  std::array<const char*, 2> protocols_{options_.alpn.c_str(), nullptr};
  std::string error_;
};

}  // namespace

std::unique_ptr<Association> MakeAssociation(const Options& options, Socket& socket, std::string& out_reason) {
  if (options.cid && !kHasConnectionIds) {
    out_reason = "this Mbed TLS has no connection ids by RFC 9146";
    return nullptr;
  }
  if (options.legacy) {
    out_reason = "Mbed TLS does not say whether renegotiation_info was left out";
    return nullptr;
  }
  auto out = std::make_unique<MbedTls>(options, socket);
  if (!out->SetUp(out_reason)) return nullptr;
  return out;
}

}  // namespace peer
