/* Shifted clock and process numbers.
 * Loaded with LD_PRELOAD, these take the place of the C library's functions, so that interpreters
 * can differ in the date and the process number that they see: a program whose value depends on one
 * shows it at once. They also note that the clock, or the kernel's randomness, was asked for. */
#include "core.h"

static long clock_shift_s;
static pid_t pid_shift;

__attribute__((constructor)) static void read_shifts(void)
{
    const char *clock = getenv("EXECUTOR_CLOCK_SHIFT_S"), *pid = getenv("EXECUTOR_PID_SHIFT");
    if (clock)
        clock_shift_s = atol(clock);
    if (pid)
        pid_shift = (pid_t)atol(pid);
}

pid_t getpid(void) { return (pid_t)syscall(SYS_getpid) + pid_shift; }

pid_t gettid(void) { return (pid_t)syscall(SYS_gettid) + pid_shift; }

ssize_t getrandom(void *buffer, size_t size, unsigned flags)
{
    seen |= SAW_ENTROPY;
    return syscall(SYS_getrandom, buffer, size, flags);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    seen |= SAW_CLOCK;
    long result = syscall(SYS_clock_gettime, clock, now);
    /* Only the date: sleeping and waiting go by absolute times of the monotonic clock. */
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ||
                        clock == CLOCK_TAI))
        now->tv_sec += clock_shift_s;
    return (int)result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}
