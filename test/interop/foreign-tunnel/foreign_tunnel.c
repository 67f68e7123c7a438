// The other site of a tunnel, made of OpenSSL's libssl and the kernel's TUN device and of nothing else: it shows what
// any DTLS 1.2 library must do to link up with dtunnel. One application-data record carries one IP packet, nothing is
// added. No ALPN is offered, so the daemon keeps its control messages to itself.
//
//   foreign_tunnel client|server ADDRESS PORT CERTIFICATE KEY PEER-CERTIFICATE DEVICE [SECONDS]
//
// Creates DEVICE (the caller gives it its addresses), prints one JSON line when it is ready, one when the association
// stands and one with its counters when SIGTERM, the far end or the time limit ends it.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kLargestPacket = 16384, kOuterDatagram = 1400 };

static volatile sig_atomic_t stop_requested = 0;
static unsigned char cookie_secret[32];
static struct sockaddr_in far_end;
static X509* pinned = NULL;

struct Counters {
  unsigned long long to_tunnel, from_tunnel, refused;
};

static void RequestStop(int signal_number) {
  (void)signal_number;
  stop_requested = 1;
}

static _Noreturn void Die(const char* what) {
  const int error = errno;
  ERR_print_errors_fp(stderr);
  fprintf(stderr, "%s: %s\n", what, strerror(error));
  exit(1);
}

static time_t Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

static int OpenDevice(const char* name) {
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) Die("open /dev/net/tun");
  struct ifreq request;
  memset(&request, 0, sizeof request);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  if (ioctl(fd, TUNSETIFF, &request) != 0) Die("TUNSETIFF");
  return fd;
}

// MakeCookie binds the cookie to the caller's address (RFC 6347 section 4.2.1).
static int MakeCookie(SSL* ssl, unsigned char* out_cookie, unsigned* out_length) {
  (void)ssl;
  unsigned char name[sizeof far_end.sin_addr + sizeof far_end.sin_port];
  memcpy(name, &far_end.sin_addr, sizeof far_end.sin_addr);
  memcpy(name + sizeof far_end.sin_addr, &far_end.sin_port, sizeof far_end.sin_port);
  return HMAC(EVP_sha256(), cookie_secret, sizeof cookie_secret, name, sizeof name, out_cookie, out_length) != NULL;
}

static int CheckCookie(SSL* ssl, const unsigned char* cookie, unsigned length) {
  unsigned char expected[EVP_MAX_MD_SIZE];
  unsigned expected_length = 0;
  return MakeCookie(ssl, expected, &expected_length) && length == expected_length &&
         CRYPTO_memcmp(cookie, expected, length) == 0;
}

// CheckPin accepts one certificate, whatever its chain, name and dates.
static int CheckPin(X509_STORE_CTX* store, void* unused) {
  (void)unused;
  X509* leaf = X509_STORE_CTX_get0_cert(store);
  const bool same = leaf != NULL && X509_cmp(leaf, pinned) == 0;
  X509_STORE_CTX_set_error(store, same ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
  return same;
}

static SSL_CTX* MakeContext(const char* certificate, const char* key, const char* peer_certificate) {
  FILE* file = fopen(peer_certificate, "r");
  if (file == NULL) Die(peer_certificate);
  pinned = PEM_read_X509(file, NULL, NULL, NULL);
  fclose(file);
  SSL_CTX* context = SSL_CTX_new(DTLS_method());
  if (pinned == NULL || context == NULL) Die("certificate");
  if (SSL_CTX_set_min_proto_version(context, DTLS1_2_VERSION) != 1 ||
      SSL_CTX_use_certificate_file(context, certificate, SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) {
    Die("set-up");
  }
  SSL_CTX_set_options(context, SSL_OP_NO_QUERY_MTU | SSL_OP_COOKIE_EXCHANGE | SSL_OP_NO_TICKET);
  SSL_CTX_set_cookie_generate_cb(context, MakeCookie);
  SSL_CTX_set_cookie_verify_cb(context, CheckCookie);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  SSL_CTX_set_cert_verify_callback(context, CheckPin, NULL);
  RAND_bytes(cookie_secret, sizeof cookie_secret);
  return context;
}

// Connect yields a UDP socket that speaks to the far end only; a server waits for its first datagram.
static int Connect(bool server, const char* address, const char* port, time_t deadline) {
  struct sockaddr_in named = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  if (inet_pton(AF_INET, address, &named.sin_addr) != 1) Die(address);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) Die("socket");
  far_end = named;
  if (server) {
    if (bind(fd, (struct sockaddr*)&named, sizeof named) != 0) Die("bind");
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    while (poll(&waiting, 1, 100) <= 0) {
      if (stop_requested || Now() >= deadline) exit(1);
    }
    socklen_t length = sizeof far_end;
    char octet;
    if (recvfrom(fd, &octet, 1, MSG_PEEK, (struct sockaddr*)&far_end, &length) < 0) Die("recvfrom");
  }
  if (connect(fd, (struct sockaddr*)&far_end, sizeof far_end) != 0) Die("connect");
  return fd;
}

// Blocked tells whether the last call only wants more datagrams; refused ports (ICMP) count as loss.
static bool Blocked(SSL* ssl, int result) {
  const int error = SSL_get_error(ssl, result);
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ||
         (error == SSL_ERROR_SYSCALL && ERR_peek_error() == 0);
}

static bool Handshake(SSL* ssl, int udp, bool server, time_t deadline) {
  for (;;) {
    ERR_clear_error();
    const int result = server ? SSL_accept(ssl) : SSL_connect(ssl);
    if (result == 1) return true;
    if (!Blocked(ssl, result) || stop_requested || Now() >= deadline) return false;
    struct timeval left = {0, 100000};
    DTLSv1_get_timeout(ssl, &left);
    struct pollfd waiting = {.fd = udp, .events = POLLIN};
    const long limit = left.tv_sec * 1000 + left.tv_usec / 1000 + 1;
    if (poll(&waiting, 1, limit < 100 ? (int)limit : 100) == 0 && DTLSv1_handle_timeout(ssl) < 0) return false;
  }
}

// FromDevice sends every packet at hand. False: the association is over.
static bool FromDevice(SSL* ssl, int device, struct Counters* counters) {
  unsigned char packet[kLargestPacket];
  ssize_t length;
  while ((length = read(device, packet, sizeof packet)) > 0) {
    ERR_clear_error();
    const int written = SSL_write(ssl, packet, (int)length);
    if (written > 0) {
      ++counters->to_tunnel;
    } else if (Blocked(ssl, written)) {
      ++counters->refused;
    } else {
      return false;
    }
  }
  return true;
}

// ToDevice hands every packet that came to the kernel. False: the far end closed.
static bool ToDevice(SSL* ssl, int device, struct Counters* counters) {
  unsigned char packet[kLargestPacket];
  for (;;) {
    ERR_clear_error();
    const int length = SSL_read(ssl, packet, sizeof packet);
    if (length <= 0) return Blocked(ssl, length);
    const int version = packet[0] >> 4;
    if ((version == 4 || version == 6) && write(device, packet, (size_t)length) == length) {
      ++counters->from_tunnel;
    } else {
      ++counters->refused;
    }
  }
}

static void Carry(SSL* ssl, int udp, int device, time_t deadline, struct Counters* counters) {
  while (!stop_requested && Now() < deadline) {
    struct pollfd waiting[2] = {{.fd = udp, .events = POLLIN}, {.fd = device, .events = POLLIN}};
    // The far end may have lost our last flight: libssl answers its repetition within SSL_read.
    if (poll(waiting, 2, 100) < 0 && errno != EINTR) return;
    if (!ToDevice(ssl, device, counters) || !FromDevice(ssl, device, counters)) return;
  }
}

int main(int argc, char** argv) {
  if (argc < 8 || (strcmp(argv[1], "client") != 0 && strcmp(argv[1], "server") != 0)) {
    fprintf(stderr, "usage: %s client|server ADDRESS PORT CERTIFICATE KEY PEER-CERTIFICATE DEVICE [SECONDS]\n",
            argv[0]);
    return 2;
  }
  const bool server = strcmp(argv[1], "server") == 0;
  const time_t deadline = Now() + (argc > 8 ? atoi(argv[8]) : 60);
  struct sigaction action = {.sa_handler = RequestStop};
  sigaction(SIGTERM, &action, NULL);
  SSL_CTX* context = MakeContext(argv[4], argv[5], argv[6]);
  const int device = OpenDevice(argv[7]);
  printf("{\"device\":\"%s\"}\n", argv[7]);
  fflush(stdout);

  const int udp = Connect(server, argv[2], argv[3], deadline);
  SSL* ssl = SSL_new(context);
  BIO* bio = BIO_new_dgram(udp, BIO_CLOSE);
  BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, &far_end);
  SSL_set_bio(ssl, bio, bio);
  SSL_set_mtu(ssl, kOuterDatagram);
  if (!Handshake(ssl, udp, server, deadline)) Die("handshake");
  printf("{\"established\":\"%s\",\"version\":\"%s\",\"extendedMasterSecret\":%s}\n", SSL_get_cipher_name(ssl),
         SSL_get_version(ssl), SSL_get_extms_support(ssl) == 1 ? "true" : "false");
  fflush(stdout);

  struct Counters counters = {0, 0, 0};
  Carry(ssl, udp, device, deadline, &counters);
  SSL_shutdown(ssl);
  printf("{\"sent\":%llu,\"received\":%llu,\"refused\":%llu,\"closedByPeer\":%s}\n", counters.to_tunnel,
         counters.from_tunnel, counters.refused,
         (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN) != 0 ? "true" : "false");
  SSL_free(ssl);
  SSL_CTX_free(context);
  X509_free(pinned);
  return 0;
}
