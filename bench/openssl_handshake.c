// The same work as handshake.ts by OpenSSL's libssl: full mutual DTLS 1.2 handshakes in memory with P-256
// certificates, X25519, AES-128-GCM and a cookie exchange. Prints CPU microseconds per handshake and side as JSON.
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double CpuMicroseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static void Check(int ok, const char* what) {
  if (ok) return;
  fprintf(stderr, "%s\n", what);
  ERR_print_errors_fp(stderr);
  exit(1);
}

// Peers are pinned elsewhere; here, as there, the chain is not what costs.
static int AcceptAny(int ok, X509_STORE_CTX* context) {
  (void)ok;
  (void)context;
  return 1;
}

static int MakeCookie(SSL* ssl, unsigned char* cookie, unsigned int* length) {
  (void)ssl;
  memset(cookie, 7, 20);
  *length = 20;
  return 1;
}

static int VerifyCookie(SSL* ssl, const unsigned char* cookie, unsigned int length) {
  (void)ssl;
  return length == 20 && cookie[0] == 7;
}

static SSL_CTX* MakeContext(int is_server) {
  SSL_CTX* context = SSL_CTX_new(is_server ? DTLS_server_method() : DTLS_client_method());
  Check(context != NULL, "context");
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char*)"bench", -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  Check(X509_sign(certificate, key, EVP_sha256()) > 0, "sign");
  Check(SSL_CTX_use_certificate(context, certificate) == 1, "certificate");
  Check(SSL_CTX_use_PrivateKey(context, key) == 1, "key");
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, AcceptAny);
  Check(SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256") == 1, "cipher");
  Check(SSL_CTX_set1_groups_list(context, "X25519:P-256") == 1, "groups");
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_COOKIE_EXCHANGE | SSL_OP_NO_QUERY_MTU);
  SSL_CTX_set_cookie_generate_cb(context, MakeCookie);
  SSL_CTX_set_cookie_verify_cb(context, VerifyCookie);
  return context;
}

static SSL* MakeEnd(SSL_CTX* context, BIO* in, BIO* out, int is_server) {
  SSL* ssl = SSL_new(context);
  BIO_up_ref(in);
  BIO_up_ref(out);
  SSL_set_bio(ssl, in, out);
  SSL_set_mtu(ssl, 1400);
  if (is_server) SSL_set_accept_state(ssl);
  else SSL_set_connect_state(ssl);
  return ssl;
}

int main(int argc, char** argv) {
  const int count = argc > 1 ? atoi(argv[1]) : 1000;
  SSL_CTX* server_context = MakeContext(1);
  SSL_CTX* client_context = MakeContext(0);
  double spent[2] = {0, 0};
  for (int i = 0; i < count; i++) {
    BIO* to_server = BIO_new(BIO_s_mem());
    BIO* to_client = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(to_server, -1);
    BIO_set_mem_eof_return(to_client, -1);
    double at = CpuMicroseconds();
    SSL* client = MakeEnd(client_context, to_client, to_server, 0);
    int client_done = 0;
    int server_done = 0;
    SSL* server = NULL;
    for (int turn = 0; turn < 20 && !(client_done && server_done); turn++) {
      client_done = SSL_do_handshake(client) == 1;
      double now = CpuMicroseconds();
      spent[0] += now - at;
      at = now;
      if (server == NULL) server = MakeEnd(server_context, to_server, to_client, 1);
      server_done = SSL_do_handshake(server) == 1;
      now = CpuMicroseconds();
      spent[1] += now - at;
      at = now;
    }
    Check(client_done && server_done, "handshake");
    SSL_free(client);
    SSL_free(server);
    BIO_free(to_server);
    BIO_free(to_client);
  }
  printf("{\"client\":%.1f,\"server\":%.1f}\n", spent[0] / count, spent[1] / count);
  return 0;
}
