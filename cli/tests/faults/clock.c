/* Loaded before the C library: the wall clock of a process is ATLAS_TEST_CLOCK seconds off. Its monotonic clock, by which leases are
   held, goes on as it does. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
  int failed = (int)syscall(SYS_clock_gettime, clock, time);
  const char *off = getenv("ATLAS_TEST_CLOCK");
  if (!failed && clock == CLOCK_REALTIME && off) time->tv_sec += atol(off);
  return failed;
}
