// OpenSSL's libssl as a DTLS 1.2 peer.
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include <array>
#include <cstring>

#include "peer.h"

namespace peer {
namespace {

template <typename T, void (*kFree)(T*)>
struct Freer {
  void operator()(T* it) const { kFree(it); }
};
using ContextPtr = std::unique_ptr<SSL_CTX, Freer<SSL_CTX, SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, Freer<SSL, SSL_free>>;

unsigned first_timeout_us = 250'000;
std::array<std::uint8_t, 32> cookie_secret;
const std::vector<std::uint8_t>* cookie_name = nullptr;

unsigned NextTimeout(SSL*, unsigned previous_us) { return previous_us == 0 ? first_timeout_us : 2 * previous_us; }

int MakeCookie(SSL*, unsigned char* out_cookie, unsigned* out_length) {
  return HMAC(EVP_sha256(), cookie_secret.data(), cookie_secret.size(), cookie_name->data(), cookie_name->size(),
              out_cookie, out_length) != nullptr;
}

int CheckCookie(SSL* ssl, const unsigned char* cookie, unsigned length) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> expected;
  unsigned expected_length = 0;
  return MakeCookie(ssl, expected.data(), &expected_length) && length == expected_length &&
         CRYPTO_memcmp(cookie, expected.data(), length) == 0;
}

// Chains, names and dates carry no authority: peer.cc compares the leaf with the pinned certificate.
int AcceptAny(int, X509_STORE_CTX*) { return 1; }

class OpenSsl final : public Association {
 public:
  OpenSsl(const Options& options, ContextPtr context, SslPtr ssl)
      : options_(options), context_(std::move(context)), ssl_(std::move(ssl)) {}

  Step Handshake() override { return StepOf(options_.server ? SSL_accept(ssl_.get()) : SSL_connect(ssl_.get())); }

  milliseconds Timer() override {
    timeval left{};
    if (DTLSv1_get_timeout(ssl_.get(), &left) != 1) return milliseconds(250);
    return milliseconds(left.tv_sec * 1000 + left.tv_usec / 1000 + 1);
  }

  bool OnTimer() override { return DTLSv1_handle_timeout(ssl_.get()) >= 0; }

  void Describe(Report& out_report) override {
    out_report.library = OpenSSL_version(OPENSSL_VERSION);
    out_report.suite = IanaName(SSL_get_cipher_name(ssl_.get()));
    const char* group = SSL_group_to_name(ssl_.get(), static_cast<int>(SSL_get_negotiated_group(ssl_.get())));
    if (group != nullptr) out_report.group = std::strcmp(group, "X25519") == 0 ? "x25519" : group;
    out_report.extended_master_secret = SSL_get_extms_support(ssl_.get()) == 1;
    out_report.renegotiation_info = SSL_get_secure_renegotiation_support(ssl_.get()) == 1;
    const unsigned char* protocol = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl_.get(), &protocol, &length);
    if (length > 0) out_report.alpn = std::string(reinterpret_cast<const char*>(protocol), length);
    out_report.mtu = options_.mtu;
  }

  std::vector<std::uint8_t> PeerCertificate() override {
    std::vector<std::uint8_t> out;
    X509* certificate = SSL_get0_peer_certificate(ssl_.get());
    if (certificate == nullptr) return out;
    unsigned char* der = nullptr;
    const int length = i2d_X509(certificate, &der);
    if (length > 0) out.assign(der, der + length);
    OPENSSL_free(der);
    return out;
  }

  Step Send(Bytes message) override {
    return StepOf(SSL_write(ssl_.get(), message.data(), static_cast<int>(message.size())));
  }

  Step Receive(std::vector<std::uint8_t>& out_message) override {
    std::array<std::uint8_t, 16384> buffer;
    const int got = SSL_read(ssl_.get(), buffer.data(), buffer.size());
    if (got > 0) out_message.assign(buffer.begin(), buffer.begin() + got);
    return StepOf(got);
  }

  void Close() override { SSL_shutdown(ssl_.get()); }

  std::string Error() override { return error_; }

 private:
  Step StepOf(int result) {
    if (result > 0) return Step::kOk;
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return Step::kAgain;
    if (error == SSL_ERROR_ZERO_RETURN) return Step::kClosed;
    error_.clear();
    while (const unsigned long code = ERR_get_error()) {
      std::array<char, 256> text;
      ERR_error_string_n(code, text.data(), text.size());
      error_ += error_.empty() ? text.data() : "; " + std::string(text.data());
    }
    // A system error alone is the kernel's (a refused port while the far end starts): the path lost something.
    if (error == SSL_ERROR_SYSCALL && error_.empty()) return Step::kAgain;
    return Step::kFailed;
  }

  const Options& options_;
  ContextPtr context_;
  SslPtr ssl_;
  std::string error_;
};

int ChooseProtocol(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* in,
                   unsigned in_length, void* argument) {
  const auto* ours = static_cast<const std::string*>(argument);
  for (unsigned at = 0; at < in_length; at += 1u + in[at]) {
    if (std::string_view(reinterpret_cast<const char*>(in + at + 1), in[at]) != *ours) continue;
    *out = in + at + 1;
    *out_length = in[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

}  // namespace

std::unique_ptr<Association> MakeAssociation(const Options& options, Socket& socket, std::string& out_reason) {
  if (options.cid) {
    out_reason = "this OpenSSL has no connection ids for DTLS 1.2";
    return nullptr;
  }
  if (options.legacy) {
    out_reason = "OpenSSL cannot leave renegotiation_info out";
    return nullptr;
  }
  first_timeout_us = static_cast<unsigned>(options.timer.count()) * 1000;
  RAND_bytes(cookie_secret.data(), cookie_secret.size());
  cookie_name = &socket.far_end();
  ContextPtr context(SSL_CTX_new(DTLS_method()));
  SSL_CTX* ctx = context.get();
  SSL_CTX_set_min_proto_version(ctx, DTLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(ctx, DTLS1_2_VERSION);
  SSL_CTX_set_options(ctx, SSL_OP_NO_QUERY_MTU | SSL_OP_COOKIE_EXCHANGE | SSL_OP_NO_TICKET);
  SSL_CTX_set_cookie_generate_cb(ctx, MakeCookie);
  SSL_CTX_set_cookie_verify_cb(ctx, CheckCookie);
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, AcceptAny);
  std::string groups;
  for (const Group* group : GroupsInOrder(options)) groups += (groups.empty() ? "" : ":") + std::string(group->openssl);
  const bool ok = SSL_CTX_use_certificate_chain_file(ctx, options.certificate.c_str()) == 1 &&
                  SSL_CTX_use_PrivateKey_file(ctx, options.key.c_str(), SSL_FILETYPE_PEM) == 1 &&
                  SSL_CTX_set_cipher_list(ctx, std::string(options.suite->openssl).c_str()) == 1 &&
                  SSL_CTX_set1_groups_list(ctx, groups.c_str()) == 1;
  if (!ok) {
    out_reason = "OpenSSL refuses the certificate, key, suite or group";
    return nullptr;
  }
  if (options.server) SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
  if (!options.alpn.empty()) {
    std::vector<unsigned char> list{static_cast<unsigned char>(options.alpn.size())};
    list.insert(list.end(), options.alpn.begin(), options.alpn.end());
    SSL_CTX_set_alpn_protos(ctx, list.data(), static_cast<unsigned>(list.size()));
    SSL_CTX_set_alpn_select_cb(ctx, ChooseProtocol, const_cast<std::string*>(&options.alpn));
  }
  SslPtr ssl(SSL_new(ctx));
  BIO* bio = BIO_new_dgram(socket.fd(), BIO_NOCLOSE);
  BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, const_cast<std::uint8_t*>(socket.far_end().data()));
  SSL_set_bio(ssl.get(), bio, bio);
  DTLS_set_timer_cb(ssl.get(), NextTimeout);
  SSL_set_mtu(ssl.get(), static_cast<long>(options.mtu));
  return std::make_unique<OpenSsl>(options, std::move(context), std::move(ssl));
}

}  // namespace peer
