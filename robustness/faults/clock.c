/* LD_PRELOAD: a wall clock that jumps by the seconds in the file $FAULTS_CLOCK (an int64, read at every look).

   Monotonic clocks go on as they do when a real wall clock is set. Absolute deadlines that a program derives from the
   jumped clock are moved back before the kernel, whose clock did not jump, sees them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *shared;

__attribute__((constructor)) static void map_file(void) {
  const char *path = getenv("FAULTS_CLOCK");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *at = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (at != MAP_FAILED) shared = at;
}

/* The kernel's own entry (x86-64): libc's `syscall` is replaced below. */
static long enter(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  if (result < 0 && result > -4096) {
    errno = (int)-result;
    return -1;
  }
  return result;
}

static int64_t jump(void) { return shared ? *shared : 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = (int)enter(SYS_clock_gettime, clock, (long)now, 0, 0, 0, 0);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += jump();
  return result;
}

int gettimeofday(struct timeval *now, void *zone) {
  struct timespec precise;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *now) {
  struct timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  if (now) *now = precise.tv_sec;
  return precise.tv_sec;
}

/* Seconds since the epoch, not since the machine's start: a wall clock's. */
static struct timespec unjumped(const struct timespec *deadline) {
  struct timespec kernels = *deadline;
  if (kernels.tv_sec > 1000000000) kernels.tv_sec -= jump();
  return kernels;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline) {
  static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  if (!real) real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
  struct timespec kernels = unjumped(deadline);
  return real(cond, mutex, &kernels);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict deadline) {
  static int (*real)(sem_t *, const struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "sem_timedwait");
  struct timespec kernels = unjumped(deadline);
  return real(semaphore, &kernels);
}

/* libstdc++'s futures wait for a futex until a moment of the wall clock. */
long syscall(long number, ...) {
  va_list arguments;
  va_start(arguments, number);
  long a[6];
  for (int i = 0; i < 6; i++) a[i] = va_arg(arguments, long);
  va_end(arguments);
  struct timespec kernels;
  if (number == SYS_futex && (a[1] & FUTEX_CLOCK_REALTIME) && a[3]) {
    kernels = unjumped((const struct timespec *)a[3]);
    a[3] = (long)&kernels;
  }
  return enter(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
