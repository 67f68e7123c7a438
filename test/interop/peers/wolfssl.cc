// wolfSSL as a DTLS 1.2 peer; as a client with --legacy without extended_master_secret (Debian's build never sends
// renegotiation_info).
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/version.h>
#include <wolfssl/wolfio.h>

#include <array>
#include <cstring>

#include "peer.h"

namespace peer {
namespace {

struct ContextFree {
  void operator()(WOLFSSL_CTX* it) const { wolfSSL_CTX_free(it); }
};
struct SslFree {
  void operator()(WOLFSSL* it) const { wolfSSL_free(it); }
};
using ContextPtr = std::unique_ptr<WOLFSSL_CTX, ContextFree>;
using SslPtr = std::unique_ptr<WOLFSSL, SslFree>;

// Chains, names and dates carry no authority: peer.cc compares the leaf with the pinned certificate.
int AcceptAny(int, WOLFSSL_X509_STORE_CTX*) { return 1; }

int SendDatagram(WOLFSSL*, char* data, int size, void* socket) {
  static_cast<Socket*>(socket)->Send({reinterpret_cast<const std::uint8_t*>(data), static_cast<std::size_t>(size)});
  return size;
}

int ReceiveDatagram(WOLFSSL*, char* out, int size, void* socket) {
  const std::size_t got =
      static_cast<Socket*>(socket)->Receive({reinterpret_cast<std::uint8_t*>(out), static_cast<std::size_t>(size)});
  return got > 0 ? static_cast<int>(got) : WOLFSSL_CBIO_ERR_WANT_READ;
}

class WolfSsl final : public Association {
 public:
  WolfSsl(const Options& options, ContextPtr context, SslPtr ssl)
      : options_(options), context_(std::move(context)), ssl_(std::move(ssl)) {}

  Step Handshake() override {
    return StepOf(options_.server ? wolfSSL_accept(ssl_.get()) : wolfSSL_connect(ssl_.get()));
  }

  // Its own timer counts whole seconds; ours decides when it is told that time is up.
  milliseconds Timer() override { return next_; }

  bool OnTimer() override {
    next_ = std::min(next_ * 2, milliseconds(4000));
    const int result = wolfSSL_dtls_got_timeout(ssl_.get());
    return result == WOLFSSL_SUCCESS || wolfSSL_get_error(ssl_.get(), result) == WOLFSSL_ERROR_WANT_READ;
  }

  void Describe(Report& out_report) override {
    out_report.library = std::string("wolfSSL ") + wolfSSL_lib_version();
    out_report.suite = IanaName(wolfSSL_get_cipher_name(ssl_.get()));
    if (const char* group = wolfSSL_get_curve_name(ssl_.get()); group != nullptr) {
      if (std::strcmp(group, "X25519") == 0) out_report.group = "x25519";
      if (std::strcmp(group, "SECP256R1") == 0) out_report.group = "secp256r1";
      if (std::strcmp(group, "SECP384R1") == 0) out_report.group = "secp384r1";
    }
    char* protocol = nullptr;
    unsigned short length = 0;
    if (wolfSSL_ALPN_GetProtocol(ssl_.get(), &protocol, &length) == WOLFSSL_SUCCESS) {
      out_report.alpn = std::string(protocol, length);
    }
#ifdef WOLFSSL_DTLS_MTU
    out_report.mtu = options_.mtu;
#endif
#ifdef WOLFSSL_DTLS_CID
    unsigned size = 0;
    if (wolfSSL_dtls_cid_is_enabled(ssl_.get()) != 0) {
      if (wolfSSL_dtls_cid_get_rx_size(ssl_.get(), &size) == WOLFSSL_SUCCESS) out_report.cid_in = size > 0;
      if (wolfSSL_dtls_cid_get_tx_size(ssl_.get(), &size) == WOLFSSL_SUCCESS) out_report.cid_out = size > 0;
    }
#endif
  }

  std::vector<std::uint8_t> PeerCertificate() override {
    WOLFSSL_X509* certificate = wolfSSL_get_peer_certificate(ssl_.get());
    if (certificate == nullptr) return {};
    int length = 0;
    const unsigned char* der = wolfSSL_X509_get_der(certificate, &length);
    std::vector<std::uint8_t> out(der, der + length);
    wolfSSL_X509_free(certificate);
    return out;
  }

  Step Send(Bytes message) override {
    return StepOf(wolfSSL_write(ssl_.get(), message.data(), static_cast<int>(message.size())));
  }

  Step Receive(std::vector<std::uint8_t>& out_message) override {
    std::array<std::uint8_t, 16384> buffer;
    const int got = wolfSSL_read(ssl_.get(), buffer.data(), buffer.size());
    if (got > 0) out_message.assign(buffer.begin(), buffer.begin() + got);
    return StepOf(got);
  }

  void Close() override { wolfSSL_shutdown(ssl_.get()); }

  std::string Error() override { return error_; }

 private:
  Step StepOf(int result) {
    if (result > 0) return Step::kOk;
    const int error = wolfSSL_get_error(ssl_.get(), result);
    if (error == WOLFSSL_ERROR_WANT_READ || error == WOLFSSL_ERROR_WANT_WRITE) return Step::kAgain;
    if (error == WOLFSSL_ERROR_ZERO_RETURN) return Step::kClosed;
    std::array<char, WOLFSSL_MAX_ERROR_SZ> text{};
    wolfSSL_ERR_error_string(static_cast<unsigned long>(error), text.data());
    error_ = std::to_string(error) + " " + text.data();
    return Step::kFailed;
  }

  const Options& options_;
  ContextPtr context_;
  SslPtr ssl_;
  milliseconds next_ = options_.timer;
  std::string error_;
};

}  // namespace

std::unique_ptr<Association> MakeAssociation(const Options& options, Socket& socket, std::string& out_reason) {
  if (options.legacy && options.server) {
    out_reason = "wolfSSL as a server agrees to extended_master_secret though told not to";
    return nullptr;
  }
  wolfSSL_Init();
  ContextPtr context(wolfSSL_CTX_new(options.server ? wolfDTLSv1_2_server_method() : wolfDTLSv1_2_client_method()));
  WOLFSSL_CTX* ctx = context.get();
  wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT, AcceptAny);
  if (options.legacy) wolfSSL_CTX_DisableExtendedMasterSecret(ctx);
  if (wolfSSL_CTX_use_certificate_chain_file(ctx, options.certificate.c_str()) != WOLFSSL_SUCCESS ||
      wolfSSL_CTX_use_PrivateKey_file(ctx, options.key.c_str(), WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS ||
      wolfSSL_CTX_set_cipher_list(ctx, std::string(options.suite->openssl).c_str()) != WOLFSSL_SUCCESS) {
    out_reason = "wolfSSL refuses the certificate, key or suite";
    return nullptr;
  }
  // As a server it takes the weakest group that suits its certificate, not the far end's first: leave it one.
  for (const Group* group : GroupsInOrder(options)) {
    if (!options.server || group == options.group) wolfSSL_CTX_UseSupportedCurve(ctx, group->id);
  }
#ifdef WOLFSSL_DTLS_MTU
  wolfSSL_CTX_dtls_set_mtu(ctx, static_cast<unsigned short>(options.mtu));
#endif
  SslPtr ssl(wolfSSL_new(ctx));
  if (!options.alpn.empty()) {
    std::string list = options.alpn;
    wolfSSL_UseALPN(ssl.get(), list.data(), static_cast<unsigned>(list.size()), WOLFSSL_ALPN_CONTINUE_ON_MISMATCH);
  }
  if (options.cid) {
#ifdef WOLFSSL_DTLS_CID
    std::vector<std::uint8_t> id = *options.cid;
    if (wolfSSL_dtls_cid_use(ssl.get()) != WOLFSSL_SUCCESS ||
        wolfSSL_dtls_cid_set(ssl.get(), id.data(), static_cast<unsigned>(id.size())) != WOLFSSL_SUCCESS) {
      out_reason = "wolfSSL refuses the connection id";
      return nullptr;
    }
#else
    out_reason = "this wolfSSL has no connection ids";
    return nullptr;
#endif
  }
  wolfSSL_SSLSetIOSend(ssl.get(), SendDatagram);
  wolfSSL_SSLSetIORecv(ssl.get(), ReceiveDatagram);
  wolfSSL_SetIOReadCtx(ssl.get(), &socket);
  wolfSSL_SetIOWriteCtx(ssl.get(), &socket);
  wolfSSL_dtls_set_using_nonblock(ssl.get(), 1);
  // Cookies are bound to the address it is told.
  std::vector<std::uint8_t> far_end = socket.far_end();
  wolfSSL_dtls_set_peer(ssl.get(), far_end.data(), static_cast<unsigned>(far_end.size()));
  return std::make_unique<WolfSsl>(options, std::move(context), std::move(ssl));
}

}  // namespace peer
