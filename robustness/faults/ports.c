/* LD_PRELOAD, for the Traffic Manager's process: whenever it has found a free TCP port by binding to it, somebody else
   listens on that port before it can; as often as the first int64 in the file $FAULTS_PORTS says. The second counts. The
   next port that it finds it may have, and those that were taken are free again. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST = 64 };
static int taken[MOST], taken_count;
static int64_t *shared; /* how many are still to be taken, how many have been */

__attribute__((constructor)) static void map_file(void) {
  char command[4096] = {0};
  int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? 0 : read(fd, command, sizeof command - 1);
  if (fd >= 0) syscall(SYS_close, fd);
  for (ssize_t i = 0; i < length; i++)
    if (!command[i]) command[i] = ' ';
  const char *path = getenv("FAULTS_PORTS");
  if (!path || !strstr(command, "envloop.traffic_process")) return;
  fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *at = mmap(NULL, 2 * sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  syscall(SYS_close, fd);
  if (at != MAP_FAILED) shared = at;
}

/* The port that a TCP socket is bound to without listening or being connected, else 0. */
static in_port_t only_bound(int fd) {
  int type = 0, listening = 1;
  socklen_t size = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) || type != SOCK_STREAM) return 0;
  size = sizeof listening;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) || listening) return 0;
  struct sockaddr_in address, peer;
  size = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &size) || address.sin_family != AF_INET) return 0;
  size = sizeof peer;
  return getpeername(fd, (struct sockaddr *)&peer, &size) ? address.sin_port : 0;
}

static void take(in_port_t port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_ANY)};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1) || taken_count == MOST) {
    syscall(SYS_close, fd);
    return;
  }
  taken[taken_count++] = fd;
  shared[1]++;
}

int close(int fd) {
  in_port_t port = shared && (shared[0] > 0 || taken_count) ? only_bound(fd) : 0;
  int result = (int)syscall(SYS_close, fd);
  if (port && shared[0] > 0) {
    shared[0]--;
    take(port);
  } else if (port) {
    while (taken_count) syscall(SYS_close, taken[--taken_count]);
  }
  return result;
}
