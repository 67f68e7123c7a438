// Botan (2.19 and 3) as a DTLS 1.2 peer, with cookies.
#include <botan/auto_rng.h>
#include <botan/credentials_manager.h>
#include <botan/data_src.h>
#include <botan/pkcs8.h>
#include <botan/tls_callbacks.h>
#include <botan/tls_client.h>
#include <botan/tls_policy.h>
#include <botan/tls_server.h>
#include <botan/tls_session_manager.h>
#include <botan/version.h>
#include <botan/x509cert.h>
#if BOTAN_VERSION_MAJOR >= 3
#include <botan/tls_session_manager_noop.h>
#endif

#include <array>
#include <deque>
#include <exception>

#include "peer.h"

namespace peer {
namespace {

namespace tls = Botan::TLS;

// Only what is asked for, so that nothing else can be negotiated.
class Policy final : public tls::Policy {
 public:
  explicit Policy(const Options& options) : options_(options) {}
  std::vector<std::string> allowed_ciphers() const override { return {std::string(options_.suite->botan_cipher)}; }
  std::vector<std::string> allowed_signature_hashes() const override { return {"SHA-256", "SHA-384", "SHA-512"}; }
  std::vector<std::string> allowed_macs() const override { return {"AEAD"}; }
  std::vector<std::string> allowed_key_exchange_methods() const override { return {"ECDH"}; }
  std::vector<std::string> allowed_signature_methods() const override {
    return {options_.suite->ecdsa ? "ECDSA" : "RSA"};
  }
  std::vector<tls::Group_Params> key_exchange_groups() const override {
    std::vector<tls::Group_Params> out;
    for (const Group* group : GroupsInOrder(options_)) out.push_back(static_cast<tls::Group_Params>(GroupCode(*group)));
    return out;
  }
  bool allow_tls12() const override { return false; }
  bool allow_dtls12() const override { return true; }
  bool require_cert_revocation_info() const override { return false; }
  bool require_client_certificate_authentication() const override { return true; }
  std::size_t dtls_default_mtu() const override { return options_.mtu; }
  std::size_t dtls_initial_timeout() const override { return static_cast<std::size_t>(options_.timer.count()); }
  std::size_t dtls_maximum_timeout() const override { return 4000; }
#if BOTAN_VERSION_MAJOR >= 3
  bool allow_tls13() const override { return false; }
#else
  bool allow_tls10() const override { return false; }
  bool allow_tls11() const override { return false; }
  bool allow_dtls10() const override { return false; }
#endif

 private:
#if BOTAN_VERSION_MAJOR >= 3
  static tls::Group_Params_Code GroupCode(const Group& group) { return static_cast<tls::Group_Params_Code>(group.id); }
#else
  static std::uint16_t GroupCode(const Group& group) { return group.id; }
#endif
  const Options& options_;
};

class Credentials final : public Botan::Credentials_Manager {
 public:
  explicit Credentials(const Options& options, Botan::RandomNumberGenerator& random)
      : certificate_(options.certificate), cookie_secret_(random, 32) {
    Botan::DataSource_Stream source(options.key);
#if BOTAN_VERSION_MAJOR >= 3
    key_ = Botan::PKCS8::load_key(source);
#else
    key_.reset(Botan::PKCS8::load_key(source, random));
#endif
  }

#if BOTAN_VERSION_MAJOR >= 3
  std::vector<Botan::X509_Certificate> find_cert_chain(const std::vector<std::string>& types,
                                                       const std::vector<Botan::AlgorithmIdentifier>&,
                                                       const std::vector<Botan::X509_DN>&, const std::string&,
                                                       const std::string&) override {
    return Chain(types);
  }
  std::shared_ptr<Botan::Private_Key> private_key_for(const Botan::X509_Certificate&, const std::string&,
                                                      const std::string&) override {
    return key_;
  }
  Botan::secure_vector<std::uint8_t> dtls_cookie_secret() override { return cookie_secret_.bits_of(); }
#else
  std::vector<Botan::X509_Certificate> find_cert_chain(const std::vector<std::string>& types,
                                                       const std::vector<Botan::X509_DN>&, const std::string&,
                                                       const std::string&) override {
    return Chain(types);
  }
  std::vector<Botan::X509_Certificate> cert_chain(const std::vector<std::string>& types, const std::string&,
                                                  const std::string&) override {
    return Chain(types);
  }
  Botan::Private_Key* private_key_for(const Botan::X509_Certificate&, const std::string&, const std::string&) override {
    return key_.get();
  }
  // Without this secret Botan 2 sends no HelloVerifyRequest at all.
  Botan::SymmetricKey psk(const std::string& type, const std::string& context, const std::string& identity) override {
    if (type == "tls-server" && context == "dtls-cookie-secret") return cookie_secret_;
    return Credentials_Manager::psk(type, context, identity);
  }
#endif

 private:
  std::vector<Botan::X509_Certificate> Chain(const std::vector<std::string>& types) const {
    for (const std::string& type : types) {
      if (type == key_->algo_name()) return {certificate_};
    }
    return {};
  }

  Botan::X509_Certificate certificate_;
  std::shared_ptr<Botan::Private_Key> key_;
  Botan::SymmetricKey cookie_secret_;
};

class BotanPeer final : public Association, public tls::Callbacks {
 public:
  BotanPeer(const Options& options, Socket& socket)
      : options_(options),
        socket_(socket),
        random_(std::make_shared<Botan::AutoSeeded_RNG>()),
        policy_(std::make_shared<Policy>(options)),
        credentials_(std::make_shared<Credentials>(options, *random_)) {}

  Step Handshake() override {
    if (channel_ == nullptr) Open();
    while (!Done() && Take()) continue;
    if (!error_.empty()) return Step::kFailed;
    if (closed_) return Step::kClosed;
    return channel_->is_active() ? Step::kOk : Step::kAgain;
  }

  milliseconds Timer() override { return milliseconds(20); }

  bool OnTimer() override {
    Guarded([this] { channel_->timeout_check(); });
    return error_.empty();
  }

  void Describe(Report& out_report) override {
    out_report.library = Botan::version_string();
    out_report.suite = suite_;
    out_report.group = group_;
    out_report.extended_master_secret = extended_master_secret_;
    out_report.renegotiation_info = channel_->secure_renegotiation_supported();
    if (!channel_->application_protocol().empty()) out_report.alpn = channel_->application_protocol();
    out_report.mtu = options_.mtu;
  }

  std::vector<std::uint8_t> PeerCertificate() override {
    const auto chain = channel_->peer_cert_chain();
    if (chain.empty()) return {};
    return chain.front().BER_encode();
  }

  Step Send(Bytes message) override {
    Guarded([&] { channel_->send(message.data(), message.size()); });
    return error_.empty() ? Step::kOk : Step::kFailed;
  }

  Step Receive(std::vector<std::uint8_t>& out_message) override {
    while (received_.empty() && !Done() && Take()) continue;
    if (received_.empty()) return !error_.empty() ? Step::kFailed : closed_ ? Step::kClosed : Step::kAgain;
    out_message = std::move(received_.front());
    received_.pop_front();
    return Step::kOk;
  }

  void Close() override {
    Guarded([this] { channel_->close(); });
  }

  std::string Error() override { return error_; }

  // What Botan calls.
#if BOTAN_VERSION_MAJOR >= 3
  void tls_emit_data(std::span<const std::uint8_t> data) override { socket_.Send(data); }
  void tls_record_received(std::uint64_t, std::span<const std::uint8_t> data) override {
    received_.emplace_back(data.begin(), data.end());
  }
  void tls_session_established(const tls::Session_Summary& session) override { Note(session); }
  void tls_verify_cert_chain(const std::vector<Botan::X509_Certificate>&,
                             const std::vector<std::optional<Botan::OCSP::Response>>&,
                             const std::vector<Botan::Certificate_Store*>&, Botan::Usage_Type, std::string_view,
                             const tls::Policy&) override {}
#else
  void tls_emit_data(const std::uint8_t data[], std::size_t size) override { socket_.Send({data, size}); }
  void tls_record_received(std::uint64_t, const std::uint8_t data[], std::size_t size) override {
    received_.emplace_back(data, data + size);
  }
  bool tls_session_established(const tls::Session& session) override {
    Note(session);
    return false;
  }
  // Chains, names and dates carry no authority: peer.cc compares the leaf with the pinned certificate.
  void tls_verify_cert_chain(const std::vector<Botan::X509_Certificate>&,
                             const std::vector<std::shared_ptr<const Botan::OCSP::Response>>&,
                             const std::vector<Botan::Certificate_Store*>&, Botan::Usage_Type, const std::string&,
                             const tls::Policy&) override {}
#endif
  void tls_alert(tls::Alert alert) override {
    if (alert.type() == tls::Alert::CLOSE_NOTIFY) {
      closed_ = true;
    } else if (alert.is_fatal()) {
      error_ = "alert from the far end: " + alert.type_string();
    }
  }
  std::string tls_peer_network_identity() override { return Hex(socket_.far_end()); }
  std::string tls_server_choose_app_protocol(const std::vector<std::string>& offered) override {
    for (const std::string& protocol : offered) {
      if (protocol == options_.alpn) return protocol;
    }
    return "";
  }
  std::string tls_decode_group_param(tls::Group_Params group) override {
    const Group* known = GroupById(static_cast<std::uint16_t>(group));
    if (known != nullptr) group_ = std::string(known->name);
    return Callbacks::tls_decode_group_param(group);
  }

 private:
  void Open() {
    Guarded([this] {
      const tls::Protocol_Version version(tls::Protocol_Version::DTLS_V12);
      std::vector<std::string> protocols;
      if (!options_.alpn.empty()) protocols.push_back(options_.alpn);
#if BOTAN_VERSION_MAJOR >= 3
      // Botan 3 shares ownership; this object outlives its channel.
      const std::shared_ptr<tls::Callbacks> self(static_cast<tls::Callbacks*>(this), [](tls::Callbacks*){});
      const auto sessions = std::make_shared<tls::Session_Manager_Noop>();
      if (options_.server) {
        channel_ = std::make_unique<tls::Server>(self, sessions, credentials_, policy_, random_, true);
      } else {
        channel_ = std::make_unique<tls::Client>(self, sessions, credentials_, policy_, random_,
                                                 tls::Server_Information(), version, protocols);
      }
#else
      if (options_.server) {
        channel_ = std::make_unique<tls::Server>(*this, sessions_, *credentials_, *policy_, *random_, true);
      } else {
        channel_ = std::make_unique<tls::Client>(*this, sessions_, *credentials_, *policy_, *random_,
                                                 tls::Server_Information(), version, protocols);
      }
#endif
    });
  }

  template <typename SessionLike>
  void Note(const SessionLike& session) {
    suite_ = "TLS_" + session.ciphersuite().to_string();
    if (session.ciphersuite().to_string().rfind("TLS_", 0) == 0) suite_ = session.ciphersuite().to_string();
    extended_master_secret_ = session.supports_extended_master_secret();
  }

  bool Done() const { return closed_ || !error_.empty(); }

  // Take hands one datagram to Botan. False: none was there.
  bool Take() {
    std::array<std::uint8_t, 65536> datagram;
    const std::size_t got = socket_.Receive(datagram);
    if (got == 0) return false;
    Guarded([&] { channel_->received_data(datagram.data(), got); });
    return true;
  }

  template <typename Call>
  void Guarded(Call call) {
    try {
      call();
    } catch (const std::exception& error) {
      if (error_.empty()) error_ = error.what();
    }
  }

  const Options& options_;
  Socket& socket_;
  std::shared_ptr<Botan::RandomNumberGenerator> random_;
  std::shared_ptr<Policy> policy_;
  std::shared_ptr<Credentials> credentials_;
#if BOTAN_VERSION_MAJOR < 3
  tls::Session_Manager_Noop sessions_;
#endif
  std::unique_ptr<tls::Channel> channel_;
  std::deque<std::vector<std::uint8_t>> received_;
  std::string suite_;
  std::optional<std::string> group_;
  std::optional<bool> extended_master_secret_;
  bool closed_ = false;
  std::string error_;
};

}  // namespace

std::unique_ptr<Association> MakeAssociation(const Options& options, Socket& socket, std::string& out_reason) {
  if (options.cid) {
    out_reason = "Botan has no connection ids";
    return nullptr;
  }
  if (options.legacy) {
    out_reason = "Botan cannot leave extended_master_secret out";
    return nullptr;
  }
  try {
    return std::make_unique<BotanPeer>(options, socket);
  } catch (const std::exception& error) {
    out_reason = error.what();
    return nullptr;
  }
}

}  // namespace peer
