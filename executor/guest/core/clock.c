/* Shifted clocks and process numbers.
 * Loaded with LD_PRELOAD, these take the place of the C library's functions, so that interpreters
 * can differ in the times and the process number that they see: a program whose value depends on one
 * shows it at once. They also note that a clock, or the kernel's randomness, was asked for.
 *
 * All clocks are shifted, each by as much as always in a run, and the absolute times that sleeping
 * and waiting go by are shifted back. */
#include "core.h"

#pragma GCC visibility push(default)

#define BILLION 1000000000
#define DAY_S 86400

static struct timespec variant_shift, date_shift, run_shift;
static pid_t pid_shift;

__attribute__((constructor)) static void read_shifts(void)
{
    const char *clock = getenv("EXECUTOR_CLOCK_SHIFT_S"), *pid = getenv("EXECUTOR_PID_SHIFT");
    double seconds = clock ? strtod(clock, NULL) : 0;
    variant_shift.tv_sec = (time_t)seconds;
    variant_shift.tv_nsec = (long)((seconds - (double)variant_shift.tv_sec) * BILLION);
    date_shift = run_shift = variant_shift;
    if (pid)
        pid_shift = (pid_t)atol(pid);
}

static struct timespec sum(struct timespec a, time_t seconds, long nanoseconds)
{
    a.tv_sec += seconds;
    a.tv_nsec += nanoseconds;
    if (a.tv_nsec >= BILLION) {
        a.tv_nsec -= BILLION;
        a.tv_sec++;
    }
    return a;
}

/* Begin a run: see notes.c. Odd numbers of days, of no whole weeks; no two of the shifts, and of
 * their differences, have a divisor in common. The dates are of another century and of another
 * millennium, and still such as gzip and zip can write: 1980 to 2105. */
__attribute__((visibility("hidden"))) void shift_clocks(void)
{
    date_shift = run_shift = variant_shift;
    if (order_shown == ROTATED) {
        date_shift = sum(variant_shift, (time_t)27407 * DAY_S, BILLION / 2);
        run_shift = date_shift;
    }
    if (order_shown == REVERSED) {
        date_shift = sum(variant_shift, (time_t)-14247 * DAY_S + 1, BILLION / 4);
        run_shift = sum(variant_shift, (time_t)14247 * DAY_S + 1, BILLION / 4);
    }
    if (order_shown == SHUFFLED) {
        uint64_t date = mixed(shuffle_key + 4), time = mixed(shuffle_key + 5);
        date_shift = sum(variant_shift, (time_t)(date >> 33) - BILLION, (long)(date % BILLION));
        run_shift = sum(variant_shift, (time_t)(time >> 33), (long)(time % BILLION));
    }
}

/* By how much this clock is shifted: those of the date, and all others. */
static struct timespec shift_of(clockid_t clock)
{
    static const struct timespec none = {0, 0};
    if (!watching)
        return none;
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI ||
        clock == CLOCK_REALTIME_ALARM)
        return date_shift;
    return run_shift;
}

static pid_t shown_number(pid_t number)
{
    if (!watching)
        return number;
    seen |= SAW_IDENTITY;
    number += pid_shift;
    if (order_shown == ROTATED)
        number += 1;
    if (order_shown == REVERSED)
        number ^= 0x7FFFF;
    if (order_shown == SHUFFLED)
        number ^= (pid_t)(mixed(shuffle_key + 6) & 0x7FFFF);
    return number;
}

pid_t getpid(void) { return shown_number((pid_t)syscall(SYS_getpid)); }

pid_t gettid(void) { return shown_number((pid_t)syscall(SYS_gettid)); }

ssize_t getrandom(void *buffer, size_t size, unsigned flags)
{
    seen |= SAW_ENTROPY;
    return syscall(SYS_getrandom, buffer, size, flags);
}

/* ---- reading ----------------------------------------------------------------------------------- */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    seen |= SAW_CLOCK;
    long result = syscall(SYS_clock_gettime, clock, now);
    struct timespec shift = shift_of(clock);
    if (result == 0)
        *now = sum(*now, shift.tv_sec, shift.tv_nsec);
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

clock_t clock(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (clock_t)used.tv_sec * CLOCKS_PER_SEC + used.tv_nsec / (BILLION / CLOCKS_PER_SEC);
}

static clock_t ticks_of(struct timespec time)
{
    return (clock_t)time.tv_sec * 100 + time.tv_nsec / (BILLION / 100);
}

clock_t times(struct tms *used)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (syscall(SYS_times, used) < 0)
        return (clock_t)-1;
    clock_t shift = ticks_of(shift_of(CLOCK_MONOTONIC));
    used->tms_utime += shift;
    used->tms_stime += shift;
    used->tms_cutime += shift;
    used->tms_cstime += shift;
    return ticks_of(now);
}

/* Times; nothing of pages and switches, which are as the kernel likes. */
int getrusage(__rusage_who_t who, struct rusage *usage)
{
    struct rusage found;
    seen |= SAW_CLOCK;
    if (syscall(SYS_getrusage, who, &found) != 0)
        return -1;
    if (!watching) {
        *usage = found;
        return 0;
    }
    struct timespec shift = shift_of(CLOCK_PROCESS_CPUTIME_ID);
    struct timespec user = sum(shift, found.ru_utime.tv_sec, found.ru_utime.tv_usec * 1000);
    struct timespec system = sum(shift, found.ru_stime.tv_sec, found.ru_stime.tv_usec * 1000);
    memset(usage, 0, sizeof *usage);
    usage->ru_utime = (struct timeval){user.tv_sec, user.tv_nsec / 1000};
    usage->ru_stime = (struct timeval){system.tv_sec, system.tv_nsec / 1000};
    return 0;
}

/* ---- waiting ----------------------------------------------------------------------------------- */

static struct timespec unshifted(clockid_t clock, const struct timespec *when)
{
    struct timespec shift = shift_of(clock), real = *when;
    real.tv_sec -= shift.tv_sec;
    real.tv_nsec -= shift.tv_nsec;
    if (real.tv_nsec < 0) {
        real.tv_nsec += BILLION;
        real.tv_sec--;
    }
    if (real.tv_sec < 0)
        real = (struct timespec){0, 0};
    return real;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *when, struct timespec *rest)
{
    struct timespec real = flags & TIMER_ABSTIME ? unshifted(clock, when) : *when;
    return syscall(SYS_clock_nanosleep, clock, flags, &real, rest) == 0 ? 0 : errno;
}

int sem_clockwait(sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict when)
{
    static int (*next)(sem_t *, clockid_t, const struct timespec *);
    if (!next)
        next = (int (*)(sem_t *, clockid_t, const struct timespec *))dlsym(RTLD_NEXT,
                                                                           "sem_clockwait");
    struct timespec real = unshifted(clock, when);
    return next(semaphore, clock, &real);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict when)
{
    return sem_clockwait(semaphore, CLOCK_REALTIME, when);
}

/* A timer and a loop that counts are a clock too. */
int setitimer(__itimer_which_t which, const struct itimerval *restrict wanted,
              struct itimerval *restrict before)
{
    seen |= SAW_CLOCK;
    return (int)syscall(SYS_setitimer, which, wanted, before);
}

int getitimer(__itimer_which_t which, struct itimerval *left)
{
    seen |= SAW_CLOCK;
    return (int)syscall(SYS_getitimer, which, left);
}

unsigned alarm(unsigned seconds)
{
    seen |= SAW_CLOCK;
    return (unsigned)syscall(SYS_alarm, seconds);
}

#pragma GCC visibility pop
