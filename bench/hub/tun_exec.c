/*
 * Runs a program with a TUN device as descriptor 3: tun_exec NAME PROGRAM [ARGUMENT...]. Reads and writes on it do not
 * block. Node has no ioctl to make one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { kDescriptor = 3 };

static int fail(const char* what) {
  fprintf(stderr, "tun_exec: %s: %s\n", what, strerror(errno));
  return 1;
}

int main(int argc, char** argv) {
  if (argc < 3) return fprintf(stderr, "usage: tun_exec NAME PROGRAM [ARGUMENT...]\n"), 2;
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (fd < 0) return fail("/dev/net/tun");
  struct ifreq request = {0};
  strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(fd, TUNSETIFF, &request) < 0) return fail("TUNSETIFF");
  if (fd != kDescriptor && dup2(fd, kDescriptor) < 0) return fail("dup2");
  execvp(argv[2], &argv[2]);
  return fail(argv[2]);
}
