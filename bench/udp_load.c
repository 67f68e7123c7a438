/*
 * UDP load for the throughput bench: sends as many datagrams as asked for, counts those that come, and measures round
 * trips. One datagram is one system-call slot (sendmmsg/recvmmsg, no segmentation offload), as an application that
 * sends small packets would do it.
 *
 *   udp_load recv PORT                             counts until 400 ms of silence
 *   udp_load send ADDRESS PORT SIZES RATE SECONDS  SIZES: payload octets, e.g. 64 or 36x7,548x4,1300x1; RATE 0: unpaced
 *   udp_load echo PORT                             returns every datagram until its input ends
 *   udp_load rtt ADDRESS PORT SIZE EVERY_US COUNT  round trips, one at a time
 *
 * Each answers with one JSON object. ADDRESS is IPv4 or IPv6; receivers listen on both.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kBatch = 64, kMaxPayload = 2048, kMaxPattern = 64, kBuffer = 8 << 20 };

static uint8_t buffers[kBatch][kMaxPayload];
static struct iovec vectors[kBatch];
static struct mmsghdr messages[kBatch];

static void fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void sleep_seconds(double seconds) {
  if (seconds <= 0) return;
  const struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  nanosleep(&t, NULL);
}

/* A socket with large buffers: what is measured is the path, not this program's queue. */
static int open_socket(int family) {
  const int s = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (s < 0) fail("socket");
  const int size = kBuffer;
  if (setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
    setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  if (setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
    setsockopt(s, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  return s;
}

/* One socket for both families: IPv4 arrives as mapped addresses. */
static int listen_on(const char* port) {
  const int s = open_socket(AF_INET6);
  const int off = 0;
  setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
  if (bind(s, (struct sockaddr*)&any, sizeof any) != 0) fail("bind");
  return s;
}

static int connect_to(const char* address, const char* port) {
  struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
  const int is4 = inet_pton(AF_INET, address, &to4.sin_addr) == 1;
  if (!is4 && inet_pton(AF_INET6, address, &to6.sin6_addr) != 1) {
    errno = EINVAL;
    fail(address);
  }
  const int s = open_socket(is4 ? AF_INET : AF_INET6);
  const int r = is4 ? connect(s, (struct sockaddr*)&to4, sizeof to4) : connect(s, (struct sockaddr*)&to6, sizeof to6);
  if (r != 0) fail("connect");
  return s;
}

static void point_at_buffers(void) {
  for (int i = 0; i < kBatch; i++) {
    vectors[i] = (struct iovec){buffers[i], kMaxPayload};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
  }
}

static int wait_readable(int s, int timeout_ms) {
  struct pollfd p = {.fd = s, .events = POLLIN};
  return poll(&p, 1, timeout_ms);
}

static int receive(const char* port) {
  const int s = listen_on(port);
  puts("{\"ready\":true}");
  fflush(stdout);
  point_at_buffers();
  long packets = 0, bytes = 0;
  double first = 0, last = 0;
  while (wait_readable(s, packets == 0 ? 10000 : 400) > 0) {
    for (;;) {
      const int n = recvmmsg(s, messages, kBatch, MSG_DONTWAIT, NULL);
      if (n <= 0) break;
      last = now();
      if (packets == 0) first = last;
      packets += n;
      for (int i = 0; i < n; i++) bytes += messages[i].msg_len;
    }
  }
  printf("{\"packets\":%ld,\"bytes\":%ld,\"seconds\":%.6f}\n", packets, bytes, last - first);
  return 0;
}

/* Reads `36x7,548x4,1300x1` into a list of sizes, spread so that equal ones are not neighbours where it can be helped. */
static int parse_sizes(const char* text, int out_sizes[kMaxPattern]) {
  int size[8], left[8], kinds = 0, total = 0, count = 0;
  while (*text != '\0' && kinds < 8) {
    char* end;
    size[kinds] = (int)strtol(text, &end, 10);
    left[kinds] = *end == 'x' ? (int)strtol(end + 1, &end, 10) : 1;
    if (size[kinds] < 1 || size[kinds] > kMaxPayload || left[kinds] < 1) break;
    total += left[kinds++];
    text = *end == ',' ? end + 1 : end;
  }
  if (kinds == 0 || total > kMaxPattern) {
    errno = EINVAL;
    fail("SIZES");
  }
  while (count < total) {
    for (int k = 0; k < kinds; k++) {
      if (left[k]-- > 0) out_sizes[count++] = size[k];
    }
  }
  return count;
}

static int send_load(char** v) {
  const int s = connect_to(v[0], v[1]);
  int sizes[kMaxPattern];
  const int kinds = parse_sizes(v[2], sizes);
  const double rate = atof(v[3]), seconds = atof(v[4]);
  point_at_buffers();
  long sent = 0, bytes = 0, refused = 0;
  int next = 0;
  const double start = now();
  for (double t = start; t - start < seconds; t = now()) {
    const long due = rate > 0 ? (long)((t - start) * rate) - sent : kBatch / 2;
    if (due < 1) {
      sleep_seconds(100e-6);
      continue;
    }
    const int n = due < kBatch / 2 ? (int)due : kBatch / 2;
    for (int i = 0; i < n; i++) vectors[i].iov_len = (size_t)sizes[(next + i) % kinds];
    const int done = sendmmsg(s, messages, (unsigned)n, 0);
    if (done <= 0) {
      refused++;
      continue;
    }
    for (int i = 0; i < done; i++) bytes += (long)vectors[i].iov_len;
    next = (next + done) % kinds;
    sent += done;
  }
  printf("{\"packets\":%ld,\"bytes\":%ld,\"seconds\":%.6f,\"refused\":%ld}\n", sent, bytes, now() - start, refused);
  return 0;
}

static int echo(const char* port) {
  const int s = listen_on(port);
  puts("{\"ready\":true}");
  fflush(stdout);
  struct pollfd p[2] = {{.fd = s, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
  for (;;) {
    if (poll(p, 2, -1) < 0) fail("poll");
    if (p[1].revents != 0 && read(0, buffers[1], kMaxPayload) <= 0) return 0;
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    const ssize_t n = recvfrom(s, buffers[0], kMaxPayload, MSG_DONTWAIT, (struct sockaddr*)&from, &length);
    if (n > 0) sendto(s, buffers[0], (size_t)n, 0, (struct sockaddr*)&from, length);
  }
}

static int by_value(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

/* A reply that takes longer than a second counts as lost; a late one is recognised by its number and ignored. */
static int measure_rtt(char** v) {
  const int s = connect_to(v[0], v[1]);
  const int size = atoi(v[2]);
  const double every = atof(v[3]) * 1e-6;
  const long count = atol(v[4]);
  if (size < 16 || size > kMaxPayload || count < 1 || count > 10000000) {
    errno = EINVAL;
    fail("rtt");
  }
  double* rtt = calloc((size_t)count, sizeof *rtt);
  if (rtt == NULL) fail("calloc");
  long answered = 0;
  double next = now();
  for (uint64_t number = 0; number < (uint64_t)count; number++) {
    sleep_seconds(next - now());
    next += every;
    memcpy(buffers[0], &number, sizeof number);
    const double sent = now();
    if (send(s, buffers[0], (size_t)size, 0) < 0) continue;
    while (wait_readable(s, 1000) > 0) {
      uint64_t got = ~number;
      if (recv(s, buffers[1], kMaxPayload, 0) >= 16) memcpy(&got, buffers[1], sizeof got);
      if (got != number) continue;
      rtt[answered++] = now() - sent;
      break;
    }
    if (now() > next) next = now() + every;
  }
  qsort(rtt, (size_t)answered, sizeof *rtt, by_value);
  const double p50 = answered > 0 ? rtt[answered / 2] : 0;
  const double p99 = answered > 0 ? rtt[answered * 99 / 100] : 0;
  const double max = answered > 0 ? rtt[answered - 1] : 0;
  printf("{\"sent\":%ld,\"answered\":%ld,\"p50Us\":%.1f,\"p99Us\":%.1f,\"maxUs\":%.1f}\n", count, answered, p50 * 1e6,
         p99 * 1e6, max * 1e6);
  free(rtt);
  return 0;
}

int main(int count, char** v) {
  if (count == 3 && strcmp(v[1], "recv") == 0) return receive(v[2]);
  if (count == 7 && strcmp(v[1], "send") == 0) return send_load(v + 2);
  if (count == 3 && strcmp(v[1], "echo") == 0) return echo(v[2]);
  if (count == 7 && strcmp(v[1], "rtt") == 0) return measure_rtt(v + 2);
  fprintf(stderr, "usage: udp_load recv PORT | send ADDRESS PORT SIZES RATE SECONDS | echo PORT | rtt ADDRESS PORT SIZE "
                  "EVERY_US COUNT\n");
  return 2;
}
