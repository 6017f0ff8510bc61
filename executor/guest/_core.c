/* Accelerator of the zygote: the part between "a job has come" and "its reply is here".
 *
 * Why C: after a fork every page that parent or child writes is copied, at 1 to 3 microseconds each.
 * The Python form of this loop (spawn.py) writes some thirty pages more per run.
 *
 * The one seccomp filter. Installing a filter in each child costs tens of microseconds, so one filter
 * serves the zygote and all its children, though only the zygote may fork, wait, kill, open pipes and
 * set limits. What tells them apart is a 64-bit random capability: these system calls leave their
 * sixth argument unused, and the filter allows them only if it equals the capability. A child wipes
 * its copy before any untrusted byte is looked at; a wrong guess kills the process.
 *
 * Result frames carry a 64-bit nonce that only this file's memory holds.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if !defined(__x86_64__) || !defined(__linux__)
#error "the accelerator is written for Linux on x86-64; elsewhere spawn.py is used"
#endif

/* RESULT: of a script: it ended. NO_RESULT: the child ended without one. CLOSED: it closed its pipe
 * and went on running. */
enum outcome { RESULT, WALL_LIMIT, OUTPUT_LIMIT, NO_RESULT, FORGED, CLOSED, SPAWN_FAILED, CPU_LIMIT };

static volatile uint64_t capability;
static uint64_t nonce;
static uint64_t nonce_state;
static int null_fd = -1;
static int result_fd = -1;
static unsigned char *reply;
static size_t reply_capacity;
static unsigned char *input;
static size_t input_used, input_capacity;
static unsigned char *held; /* replies not yet written, so that the host wakes once for several */
static size_t held_used, held_capacity;
static unsigned char *body; /* of the job at hand: the one buffer that the child needs */
static size_t body_used, body_capacity;

/* ---- system calls that need the capability ------------------------------------------------- */

static long privileged(long number, long a, long b, long c, long d, long e)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register uint64_t r9 __asm__("r9") = capability;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result), "+r"(r9)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

static void wipe_capability(void)
{
    capability = 0;
    privileged(SYS_getpid, 0, 0, 0, 0, 0); /* leaves 0 in the register that carried it */
}

static void limit(int resource, uint64_t value)
{
    struct rlimit both = {value, value};
    privileged(SYS_prlimit64, 0, resource, (long)&both, 0, 0);
}

static uint64_t monotonic_us(void)
{
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now); /* not the shifted clock below */
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static uint64_t next_nonce(void)
{
    /* splitmix64 */
    uint64_t z = (nonce_state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* ---- the child ------------------------------------------------------------------------------- */

static void become_child(const int *pipe_fds, unsigned cpu_s, uint64_t memory)
{
    close(pipe_fds[0]);
    for (int fd = 0; fd < 3; fd++)
        dup2(null_fd, fd);
    close(null_fd);
    limit(RLIMIT_CPU, cpu_s);
    limit(RLIMIT_NPROC, 0);
    if (memory)
        limit(RLIMIT_AS, memory);
    result_fd = pipe_fds[1];
    wipe_capability();
}

static int write_parts(int fd, struct iovec *parts, int count)
{
    while (count) {
        ssize_t written = writev(fd, parts, count);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            return -1;
        }
        while (count && (size_t)written >= parts->iov_len) {
            written -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count) {
            parts->iov_base = (char *)parts->iov_base + written;
            parts->iov_len -= (size_t)written;
        }
    }
    return 0;
}

static PyObject *emit(PyObject *module, PyObject *data)
{
    unsigned char head[12];
    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "emit: bytes expected");
        return NULL;
    }
    uint32_t size = (uint32_t)PyBytes_GET_SIZE(data);
    memcpy(head, &nonce, 8);
    memcpy(head + 8, &size, 4);
    struct iovec parts[2] = {{head, sizeof head}, {PyBytes_AS_STRING(data), size}};
    write_parts(result_fd, parts, size ? 2 : 1);
    _exit(0);
}

/* How long, and how much, replies are held back while there are more jobs to do. */
#define HOLD_MS 1
#define HOLD_BYTES 16384u

/* ---- the zygote ------------------------------------------------------------------------------ */

static void send_held(void)
{
    struct iovec whole = {held, held_used};
    if (held_used && write_parts(1, &whole, 1) != 0)
        _exit(0); /* the host is gone */
    held_used = 0;
}

/* Read the child's frame until it is whole, broken, too long or too late. */
static enum outcome receive(int fd, uint64_t deadline, uint32_t max_output, uint32_t *size)
{
    const size_t head = 12;
    size_t have = 0, want = 0;
    struct pollfd watched[2] = {{fd, POLLIN, 0}, {0, 0, 0}};
    for (;;) {
        uint64_t now = monotonic_us();
        if (now >= deadline)
            return WALL_LIMIT;
        int patience = (int)((deadline - now) / 1000 + 1);
        int ready = poll(watched, 2, held_used ? HOLD_MS : patience);
        if (ready == 0)
            send_held(); /* this run is not a quick one: do not let others wait for it */
        if (ready == 0 || (ready < 0 && errno == EINTR))
            continue;
        if (watched[1].revents & (POLLHUP | POLLERR))
            _exit(0); /* the host is gone; as pid 1 we take the child with us */
        ssize_t got = read(fd, reply + have, reply_capacity - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return have == 0 ? NO_RESULT : FORGED;
        have += (size_t)got;
        if (memcmp(reply, &nonce, have < 8 ? have : 8) != 0)
            return FORGED;
        if (have < head)
            continue;
        if (want == 0) {
            memcpy(size, reply + 8, 4);
            if (*size > max_output)
                return OUTPUT_LIMIT;
            want = head + (size_t)*size;
        }
        if (have >= want)
            return have == want ? RESULT : FORGED;
    }
}

/* End the child and wait for it; tells a child that was ending from one that had to be killed. */
static enum outcome end_child(long pid, enum outcome outcome, int *status, struct rusage *usage)
{
    if (outcome == NO_RESULT) {
        for (int i = 0; i < 100; i++) {
            if (privileged(SYS_wait4, pid, (long)status, WNOHANG, (long)usage, 0) == pid)
                return NO_RESULT;
            struct timespec pause = {0, 100000};
            syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
        }
        outcome = CLOSED;
    }
    /* Kill before waiting: a child that has written its result may go on running. */
    privileged(SYS_kill, pid, SIGKILL, 0, 0, 0);
    while (privileged(SYS_wait4, pid, (long)status, 0, (long)usage, 0) == -EINTR)
        ;
    return outcome;
}

static uint32_t kill_leftovers(void)
{
    /* A child cannot fork; this proves it for every run: no child left means ECHILD. */
    uint32_t count = 0;
    for (;;) {
        long pid = privileged(SYS_wait4, -1, 0, WNOHANG, 0, 0);
        if (pid == -ECHILD)
            return count;
        if (pid > 0) {
            count++;
        } else {
            privileged(SYS_kill, -1, SIGKILL, 0, 0, 0);
            privileged(SYS_wait4, -1, 0, 0, 0, 0);
            count++;
        }
    }
}

struct job {
    uint32_t number, wall_ms, cpu_s;
    uint64_t memory;
    uint32_t output;
    uint8_t flags;
} __attribute__((packed));

struct report {
    uint32_t size;
    uint32_t number;
    uint8_t outcome;
    int32_t wait_status;
    uint32_t pid;
    uint64_t cpu_us, wall_us, peak_kib;
    uint32_t leftovers;
} __attribute__((packed));

/* What records and messages may add to a value. */
#define SLACK 65536u

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static int reserve(unsigned char **buffer, size_t *capacity, size_t used, size_t wanted)
{
    if (*capacity >= wanted)
        return 0;
    unsigned char *larger = map(wanted);
    if (!larger)
        return -1;
    if (*buffer) {
        memcpy(larger, *buffer, used);
        munmap(*buffer, *capacity);
    }
    *buffer = larger;
    *capacity = wanted;
    return 0;
}

/* Buffers of the zygote that children must not see and forks need not copy. */
static int reserve_own(unsigned char **buffer, size_t *capacity, size_t used, size_t wanted)
{
    if (*capacity >= wanted)
        return 0;
    if (reserve(buffer, capacity, used, wanted) != 0)
        return -1;
    return madvise(*buffer, *capacity, MADV_DONTFORK);
}

/* Read until a whole frame lies at the start of `input`; its size. Ends the process at end of file. */
static uint32_t next_frame(void)
{
    for (;;) {
        size_t wanted = 1u << 18;
        if (input_used >= 4) {
            uint32_t size;
            memcpy(&size, input, 4);
            if (input_used - 4 >= size)
                return size;
            wanted = (size_t)size + 4 > wanted ? (size_t)size + 4 : wanted;
        }
        send_held();
        if (reserve_own(&input, &input_capacity, input_used, wanted) != 0)
            _exit(1);
        ssize_t got = read(0, input + input_used, input_capacity - input_used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            _exit(0);
        input_used += (size_t)got;
    }
}

static void hold_reply(const struct report *report, uint32_t result_size)
{
    size_t size = sizeof *report + result_size;
    if (reserve_own(&held, &held_capacity, held_used, held_used + size) != 0)
        _exit(1);
    memcpy(held + held_used, report, sizeof *report);
    memcpy(held + held_used + sizeof *report, reply + 12, result_size);
    held_used += size;
    if (held_used > HOLD_BYTES)
        send_held();
}

static void drop_frame(uint32_t size)
{
    input_used -= (size_t)size + 4;
    memmove(input, input + 4 + size, input_used);
}

static void fill_report(struct report *report, long pid, enum outcome outcome, int status,
                        const struct rusage *usage, uint64_t wall_us)
{
    report->outcome = outcome;
    report->wait_status = status;
    report->pid = (uint32_t)pid;
    report->wall_us = wall_us;
    report->cpu_us = (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000u +
                     (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
    report->peak_kib = (uint64_t)usage->ru_maxrss;
}

/* Keep the part of the frame that the child needs where the child can see it. */
static void keep_body(const unsigned char *data, size_t size)
{
    if (reserve(&body, &body_capacity, 0, size + 1) != 0)
        _exit(1);
    memcpy(body, data, size);
    if (body_used > size)
        memset(body + size, 0, body_used - size); /* the rest of another job */
    body_used = size;
}

/* Fork for one job. In the child: 0. In the zygote: the child's number, and `report` and the first
 * `*size` bytes of `reply` + 12 are filled in. */
static long run_job(const struct job *job, uint64_t base, struct report *report, uint32_t *size)
{
    int fds[2];
    const uint32_t max_output = job->output + SLACK;
    report->outcome = SPAWN_FAILED;
    if (reserve_own(&reply, &reply_capacity, 0, (size_t)max_output + 16) != 0 ||
        privileged(SYS_pipe2, (long)fds, 0, 0, 0, 0) < 0)
        return -1;
    nonce = next_nonce();
    uint64_t start = monotonic_us();
    long pid = privileged(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        become_child(fds, job->cpu_s, job->memory ? base + job->memory : 0);
        return 0;
    }
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return -1;
    }
    enum outcome outcome = receive(fds[0], start + job->wall_ms * 1000ull, max_output, size);
    close(fds[0]);
    int status = 0;
    struct rusage usage = {0};
    outcome = end_child(pid, outcome, &status, &usage);
    report->leftovers = kill_leftovers();
    fill_report(report, pid, outcome, status, &usage, monotonic_us() - start);
    if (outcome != RESULT)
        *size = 0;
    return pid;
}

/* serve(base): answer the host's jobs for ever. Returns only in the children: (flags, output bytes,
 * the job's body). `base` is the address space of the bare interpreter. */
static PyObject *serve(PyObject *module, PyObject *address_space_in_use)
{
    uint64_t base = PyLong_AsUnsignedLongLong(address_space_in_use);
    if (PyErr_Occurred())
        return NULL;
    for (;;) {
        uint32_t size = next_frame(), result_size = 0;
        struct job job;
        struct report report = {0};
        if (size < sizeof job)
            _exit(1);
        memcpy(&job, input + 4, sizeof job);
        size_t body_size = size - sizeof job;
        keep_body(input + 4 + sizeof job, body_size);
        if (run_job(&job, base, &report, &result_size) == 0) {
            return Py_BuildValue("(iIy#)", job.flags, job.output, (char *)body,
                                 (Py_ssize_t)body_size);
        }
        drop_frame(size);
        report.number = job.number;
        report.size = (uint32_t)(sizeof report - 4) + result_size;
        hold_reply(&report, result_size);
    }
}

/* ---- scripts -----------------------------------------------------------------------------------
 * A script's child is a whole program: it gets pipes for its three streams, the file that it is run
 * from, and no other descriptor; it runs with no frame below its own and ends as the interpreter
 * does. The zygote watches it through a pidfd. */

#define CHUNK 65536u
#define QUICK_MS 1
#define CPU_RESOLUTION_US 10000u

struct stream {
    int fd;
    int exceeded;
    unsigned char *data;
    size_t used, capacity;
};

static struct stream streams[2]; /* what the script at hand has written to stdout and stderr */
static int script_fd = -1;
static const char *script_path;
static PyObject *standard[2];     /* sys.stdout and sys.stderr as every script finds them */
static PyObject *warm_modules;    /* a copy of sys.modules as every script finds it */
static PyObject *run_exit_functions;
static PyObject *reseed;           /* children must not share random numbers */

struct script_head {
    uint32_t source, input;
} __attribute__((packed));

static void become_script(int in, int out, int err, const struct job *job, uint64_t memory)
{
    dup2(in, 0);
    dup2(out, 1);
    dup2(err, 2);
    syscall(SYS_close_range, 3, ~0u, 0);
    limit(RLIMIT_CPU, 2ull * job->cpu_s + 1); /* ticks: inexact; the zygote's clock is not */
    limit(RLIMIT_NPROC, 0);
    if (memory)
        limit(RLIMIT_AS, memory);
    wipe_capability();
}

static int write_whole(int fd, const unsigned char *data, size_t size)
{
    struct iovec whole = {(void *)data, size};
    return size ? write_parts(fd, &whole, 1) : 0;
}

/* The file that the script is run from, and that its tracebacks quote: children can only read it. */
static int put_source(const unsigned char *source, size_t size)
{
    if (lseek(script_fd, 0, SEEK_SET) != 0 || write_whole(script_fd, source, size) != 0)
        return -1;
    return privileged(SYS_ftruncate, script_fd, (long)size, 0, 0, 0) == 0 ? 0 : -1;
}

static int put_input(int fd, const unsigned char *data, size_t size)
{
    /* Nobody reads yet: it must fit. */
    if (fcntl(fd, F_GETPIPE_SZ) < (int)size)
        return -1;
    return write_whole(fd, data, size);
}

/* Read what is there, at most one chunk, into the stream; 0 at end of file. */
static int take(struct stream *stream, uint32_t most)
{
    size_t wanted = stream->used + CHUNK;
    if (wanted > stream->capacity)
        wanted = 2 * stream->capacity > wanted ? 2 * stream->capacity : wanted;
    if (reserve_own(&stream->data, &stream->capacity, stream->used, wanted) != 0)
        _exit(1);
    ssize_t got = read(stream->fd, stream->data + stream->used, CHUNK);
    if (got <= 0)
        return got < 0 && errno == EINTR;
    stream->used += (size_t)got;
    if (stream->used > most) {
        stream->used = most;
        stream->exceeded = 1;
    }
    return 1;
}

static uint64_t cpu_used_us(long pid)
{
    struct timespec used;
    if (syscall(SYS_clock_gettime, (clockid_t)(~(unsigned)pid << 3 | 2), &used) != 0)
        return 0;
    return (uint64_t)used.tv_sec * 1000000u + (uint64_t)used.tv_nsec / 1000u;
}

/* Watch a script until it ends or has to be ended. */
static enum outcome supervise(const struct job *job, long pid, int pidfd, uint64_t deadline)
{
    const uint64_t cpu_limit = job->cpu_s * 1000000ull;
    int quick = 1; /* most scripts end at once: do not wake for their output */
    for (;;) {
        uint64_t now = monotonic_us(), cpu = cpu_used_us(pid);
        if (now >= deadline)
            return WALL_LIMIT;
        if (cpu >= cpu_limit)
            return CPU_LIMIT;
        uint64_t pause = cpu_limit - cpu > CPU_RESOLUTION_US ? cpu_limit - cpu : CPU_RESOLUTION_US;
        if (pause > deadline - now)
            pause = deadline - now;
        struct pollfd watched[4] = {
            {pidfd, POLLIN, 0}, {0, 0, 0}, {streams[0].fd, POLLIN, 0}, {streams[1].fd, POLLIN, 0}};
        int ready = poll(watched, quick ? 2 : 4, quick ? QUICK_MS : (int)(pause / 1000 + 1));
        if (ready == 0 && quick) {
            quick = 0;
            send_held();
        }
        if (ready <= 0)
            continue;
        if (watched[1].revents & (POLLHUP | POLLERR))
            _exit(0); /* the host is gone; as pid 1 we take the child with us */
        for (int i = 0; i < 2; i++) {
            if (!watched[2 + i].revents)
                continue;
            if (!take(&streams[i], job->output)) {
                close(streams[i].fd);
                streams[i].fd = -1;
            }
            if (streams[i].exceeded)
                return OUTPUT_LIMIT;
        }
        if (watched[0].revents)
            return RESULT;
    }
}

/* End the script, wait until nothing of it is left, and take what is in its pipes. */
static enum outcome end_script(const struct job *job, long pid, enum outcome outcome, int *status,
                               struct rusage *usage, struct report *report)
{
    if (outcome != RESULT)
        privileged(SYS_kill, pid, SIGKILL, 0, 0, 0);
    while (privileged(SYS_wait4, pid, (long)status, 0, (long)usage, 0) == -EINTR)
        ;
    report->leftovers = kill_leftovers();
    for (int i = 0; i < 2; i++) {
        if (streams[i].fd < 0)
            continue;
        while (!streams[i].exceeded && take(&streams[i], job->output))
            ;
        close(streams[i].fd);
        if (streams[i].exceeded && outcome == RESULT)
            outcome = OUTPUT_LIMIT;
    }
    return outcome;
}

static int make_pipe(int *fds)
{
    fds[0] = fds[1] = -1;
    return privileged(SYS_pipe2, (long)fds, 0, 0, 0, 0) < 0 ? -1 : 0;
}

/* Fork for one script. In the child: 0. In the zygote: not 0; `report` and `streams` are filled. */
static int run_script(const struct job *job, const struct script_head *head,
                      const unsigned char *data, uint64_t base, struct report *report)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1}, pidfd = -1;
    long pid = -1;
    report->outcome = SPAWN_FAILED;
    streams[0].used = streams[1].used = 0;
    uint64_t start = monotonic_us();
    if (put_source(data, head->source) == 0 && make_pipe(in) == 0 && make_pipe(out) == 0 &&
        make_pipe(err) == 0 && put_input(in[1], data + head->source, head->input) == 0) {
        close(in[1]);
        in[1] = -1;
        pid = privileged(SYS_clone, SIGCHLD | CLONE_PIDFD, 0, (long)&pidfd, 0, 0);
    }
    if (pid == 0) {
        become_script(in[0], out[1], err[1], job, job->memory ? base + job->memory : 0);
        return 0;
    }
    const int done[] = {in[0], in[1], out[1], err[1]};
    for (int i = 0; i < 4; i++)
        if (done[i] >= 0)
            close(done[i]);
    if (pid < 0) {
        if (out[0] >= 0)
            close(out[0]);
        if (err[0] >= 0)
            close(err[0]);
        return 1;
    }
    streams[0].fd = out[0];
    streams[1].fd = err[0];
    streams[0].exceeded = streams[1].exceeded = 0;
    enum outcome outcome = supervise(job, pid, pidfd, start + job->wall_ms * 1000ull);
    uint64_t wall_us = monotonic_us() - start;
    int status = 0;
    struct rusage usage = {0};
    outcome = end_script(job, pid, outcome, &status, &usage, report);
    close(pidfd);
    fill_report(report, pid, outcome, status, &usage, wall_us);
    return 1;
}

static void hold_script_reply(const struct report *report)
{
    uint32_t out = (uint32_t)streams[0].used, err = (uint32_t)streams[1].used;
    size_t size = sizeof *report + 4 + out + err;
    if (reserve_own(&held, &held_capacity, held_used, held_used + size) != 0)
        _exit(1);
    unsigned char *at = held + held_used;
    memcpy(at, report, sizeof *report);
    memcpy(at + sizeof *report, &out, 4);
    if (out)
        memcpy(at + sizeof *report + 4, streams[0].data, out);
    if (err)
        memcpy(at + sizeof *report + 4 + out, streams[1].data, err);
    held_used += size;
    if (held_used > HOLD_BYTES)
        send_held();
}

/* A system call that the filter kills for: the host then runs the script in a jail of its own. */
static void ask_for_jail(void)
{
    syscall(SYS_ptrace, 0, 0, 0, 0);
    _exit(1);
}

static void flush(PyObject *file)
{
    PyObject *closed = PyObject_GetAttrString(file, "closed");
    PyObject *done = closed == Py_False ? PyObject_CallMethod(file, "flush", NULL) : NULL;
    Py_XDECREF(closed);
    Py_XDECREF(done);
    PyErr_Clear();
}

static void flush_standard(void)
{
    PyObject *raised = PyErr_GetRaisedException();
    for (int i = 1; i >= 0; i--) {
        PyObject *file = PySys_GetObject(i ? "stderr" : "stdout");
        PyObject *done = file ? PyObject_CallMethod(file, "flush", NULL) : NULL;
        Py_XDECREF(done);
        PyErr_Clear();
    }
    PyErr_SetRaisedException(raised);
}

static int exit_code;

/* Called when the interpreter clears `sys`: all that a script could still have seen has happened,
 * and what is left to do would only return memory. */
static void end_early(PyObject *capsule)
{
    flush(standard[0]);
    flush(standard[1]);
    fflush(NULL);
    _exit(exit_code);
}

/* What is wrong with unusual streams is told, and changes the exit code, in ways that end_early()
 * would miss. */
static int streams_are_usual(void)
{
    return PySys_GetObject("stdout") == standard[0] && PySys_GetObject("stderr") == standard[1] &&
           fcntl(1, F_GETFD) >= 0 && fcntl(2, F_GETFD) >= 0;
}

static void unraisable(PyObject *result)
{
    if (!result)
        PyErr_WriteUnraisable(NULL);
    Py_XDECREF(result);
}

/* End as Py_Exit() does, without clearing the modules that the script has not brought. */
static void end_interpreter(int code)
{
    PyObject *modules = PyImport_GetModuleDict(), *name, *module;
    PyObject *threading = PyDict_GetItemString(modules, "threading");
    if (threading)
        unraisable(PyObject_CallMethod(threading, "_shutdown", NULL));
    unraisable(PyObject_CallNoArgs(run_exit_functions));
    if (!streams_are_usual())
        ask_for_jail();
    exit_code = code;
    Py_ssize_t at = 0;
    while (PyDict_Next(warm_modules, &at, &name, &module))
        if (PyDict_GetItem(modules, name) == module)
            PyDict_DelItem(modules, name);
    PyObject *end = PyCapsule_New(&exit_code, NULL, end_early);
    PySys_SetObject("_end", end); /* names with an underscore are cleared first */
    Py_XDECREF(end);
    if (Py_FinalizeEx() < 0)
        code = 120;
    exit(code);
}

int _Py_HandleSystemExit(int *);

/* What `python script.py` does, in these words (pythonrun.c). */
static void run_main(void)
{
    PyThreadState *thread = PyThreadState_Get();
    PyObject *seeded = PyObject_CallNoArgs(reseed);
    if (!seeded)
        ask_for_jail();
    Py_DECREF(seeded);
    thread->cframe->current_frame = NULL; /* no frame of ours below the script's */
    thread->py_recursion_remaining = thread->py_recursion_limit;
    thread->c_recursion_remaining = C_RECURSION_LIMIT;
    PyObject *globals = PyModule_GetDict(PyImport_AddModule("__main__"));
    PyCompilerFlags flags = _PyCompilerFlags_INIT;
    FILE *file = fopen(script_path, "rb");
    int code = 0;
    if (!file)
        ask_for_jail();
    PyObject *value = PyRun_FileExFlags(file, script_path, Py_file_input, globals, globals, 1,
                                        &flags);
    flush_standard();
    if (!value) {
        if (PyErr_Occurred() == PyExc_KeyboardInterrupt)
            ask_for_jail(); /* it ends by the signal */
        if (_Py_HandleSystemExit(&code))
            end_interpreter(code);
        PyErr_Print();
        code = 1;
    }
    Py_XDECREF(value);
    PyDict_DelItemString(globals, "__file__");
    PyDict_DelItemString(globals, "__cached__");
    PyErr_Clear();
    end_interpreter(code);
}

static void add_arguments(const char *at, const char *end)
{
    PyObject *lists[2] = {PySys_GetObject("argv"), PySys_GetObject("orig_argv")};
    for (; at < end; at += strlen(at) + 1) {
        PyObject *argument = PyUnicode_DecodeFSDefault(at);
        if (!argument || PyList_Append(lists[0], argument) < 0 ||
            PyList_Append(lists[1], argument) < 0)
            ask_for_jail();
        Py_DECREF(argument);
    }
}

/* serve_scripts(base, path, modules, reseed, run_exit_functions): answer the host's scripts for ever.
 * Never returns: the children run the script and end. `modules` is a copy of sys.modules. */
static PyObject *serve_scripts(PyObject *module, PyObject *args)
{
    unsigned long long base;
    if (!PyArg_ParseTuple(args, "KsO!OO", &base, &script_path, &PyDict_Type, &warm_modules, &reseed,
                          &run_exit_functions))
        return NULL;
    standard[0] = PySys_GetObject("stdout");
    standard[1] = PySys_GetObject("stderr");
    for (;;) {
        uint32_t size = next_frame();
        struct job job;
        struct script_head head;
        struct report report = {0};
        const size_t fixed = sizeof job + sizeof head;
        if (size < fixed)
            _exit(1);
        memcpy(&job, input + 4, sizeof job);
        memcpy(&head, input + 4 + sizeof job, sizeof head);
        if (head.source > size - fixed || head.input > size - fixed - head.source)
            _exit(1);
        const unsigned char *data = input + 4 + fixed;
        const size_t texts = (size_t)head.source + head.input, arguments = size - fixed - texts;
        keep_body(data + texts, arguments);
        if (run_script(&job, &head, data, base, &report) == 0) {
            add_arguments((char *)body, (char *)body + arguments);
            run_main();
        }
        drop_frame(size);
        report.number = job.number;
        report.size = (uint32_t)(sizeof report - 4 + 4 + streams[0].used + streams[1].used);
        hold_script_reply(&report);
    }
}

/* prepare_scripts(path): make the file that scripts are run from. */
static PyObject *prepare_scripts(PyObject *module, PyObject *path)
{
    const char *name = PyUnicode_AsUTF8(path);
    if (!name)
        return NULL;
    script_fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (script_fd < 0)
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, name);
    Py_RETURN_NONE;
}

/* address_space() -> bytes this process has mapped now (what RLIMIT_AS counts), without /proc. */
static PyObject *address_space(PyObject *module, PyObject *ignored)
{
    struct rlimit before;
    getrlimit(RLIMIT_AS, &before);
    uint64_t low = 0, high = (uint64_t)1 << 42;
    while (high - low > 65536) {
        uint64_t middle = low + (high - low) / 2;
        struct rlimit trial = {middle < before.rlim_max ? middle : before.rlim_max, before.rlim_max};
        setrlimit(RLIMIT_AS, &trial);
        void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED) {
            low = middle;
        } else {
            munmap(page, 4096);
            high = middle;
        }
    }
    setrlimit(RLIMIT_AS, &before);
    return PyLong_FromUnsignedLongLong(high);
}

/* lock(filter, patches): no new privileges, not dumpable, and the filter, with the capability's low
 * word written at each instruction number of `patches` and its high word two instructions later. No
 * copy of the capability remains outside `capability`. */
static PyObject *lock_down(PyObject *module, PyObject *args)
{
    Py_buffer source;
    PyObject *patches;
    if (!PyArg_ParseTuple(args, "y*O!", &source, &PyTuple_Type, &patches))
        return NULL;
    uint64_t fresh[2];
    if (getrandom(fresh, sizeof fresh, 0) != sizeof fresh) {
        PyBuffer_Release(&source);
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    size_t count = (size_t)source.len / sizeof(struct sock_filter);
    struct sock_filter *filter = malloc((size_t)source.len);
    if (!filter) {
        PyBuffer_Release(&source);
        return PyErr_NoMemory();
    }
    memcpy(filter, source.buf, (size_t)source.len);
    PyBuffer_Release(&source);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(patches); i++) {
        size_t low = PyLong_AsSize_t(PyTuple_GET_ITEM(patches, i));
        if (low >= count || count - low < 3) {
            free(filter);
            PyErr_SetString(PyExc_ValueError, "lock: patch outside the filter");
            return NULL;
        }
        filter[low].k = (uint32_t)fresh[0];
        filter[low + 2].k = (uint32_t)(fresh[0] >> 32);
    }
    struct sock_fprog program = {(unsigned short)count, filter};
    long failed = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    failed |= prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (!failed)
        failed = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
    int error = errno;
    capability = fresh[0];
    nonce_state = fresh[1];
    explicit_bzero(filter, count * sizeof *filter);
    explicit_bzero(fresh, sizeof fresh);
    free(filter);
    if (failed) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

/* confine(filter): no new privileges, and a filter, for this process and for good. */
static PyObject *confine(PyObject *module, PyObject *filter)
{
    PyObject *args = Py_BuildValue("(O())", filter);
    PyObject *result = args ? lock_down(module, args) : NULL;
    Py_XDECREF(args);
    return result;
}

/* prepare(): what children will need; without a filter also the seed of the nonces. */
static PyObject *prepare(PyObject *module, PyObject *ignored)
{
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, "/dev/null");
    if (getrandom(&nonce_state, sizeof nonce_state, 0) != sizeof nonce_state)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

/* ---- the interpreter's text in huge pages ------------------------------------------------------ */

struct text_range {
    uintptr_t inside, low, high;
};

static int find_text(struct dl_phdr_info *info, size_t size, void *opaque)
{
    struct text_range *range = opaque;
    uintptr_t low = UINTPTR_MAX, high = 0;
    int found = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type != PT_LOAD || (header->p_flags & PF_W))
            continue;
        uintptr_t start = info->dlpi_addr + header->p_vaddr;
        uintptr_t end = start + header->p_memsz;
        low = start < low ? start : low;
        high = end > high ? end : high;
        found |= range->inside >= start && range->inside < end;
    }
    if (!found)
        return 0;
    range->low = low;
    range->high = high;
    return 1;
}

/* huge_text() -> bool: move the interpreter's code and constants to private huge pages, so that a
 * fork copies a few page-table entries and the child takes no file faults. */
static PyObject *huge_text(PyObject *module, PyObject *ignored)
{
    const uintptr_t huge = (uintptr_t)2 << 20;
    struct text_range range = {(uintptr_t)&PyEval_EvalCode, 0, 0};
    if (!dl_iterate_phdr(find_text, &range))
        Py_RETURN_FALSE;
    uintptr_t low = (range.low + huge - 1) & ~(huge - 1), high = range.high & ~(huge - 1);
    if (low >= high)
        Py_RETURN_FALSE;
    size_t size = high - low;
    char *raw = mmap(NULL, size + huge, PROT_READ | PROT_WRITE | PROT_EXEC,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        Py_RETURN_FALSE;
    char *copy = (char *)(((uintptr_t)raw + huge - 1) & ~(huge - 1));
    if (madvise(copy, size, MADV_HUGEPAGE) != 0) {
        munmap(raw, size + huge);
        Py_RETURN_FALSE;
    }
    memcpy(copy, (void *)low, size);
    mprotect(copy, size, PROT_READ | PROT_EXEC);
    if (copy > raw)
        munmap(raw, (size_t)(copy - raw));
    munmap(copy + size, (size_t)(raw + huge - copy));
    void *moved = mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)low);
    return PyBool_FromLong(moved == (void *)low);
}

/* ---- objects that nobody counts --------------------------------------------------------------- */

static int make_immortal(PyObject *object, void *ignored)
{
    object->ob_refcnt = _Py_IMMORTAL_REFCNT;
    return 0;
}

static int make_reachable_immortal(PyObject *object, void *ignored)
{
    object->ob_refcnt = _Py_IMMORTAL_REFCNT;
    if (Py_TYPE(object)->tp_traverse)
        Py_TYPE(object)->tp_traverse(object, make_immortal, NULL);
    return 1;
}

/* immortalize(): stop counting references to all objects there are. They live as long as the zygote
 * does anyway; uncounted, a child that only looks at one does not write to, and so copy, its page. */
static PyObject *immortalize(PyObject *module, PyObject *ignored)
{
    PyUnstable_GC_VisitObjects(make_reachable_immortal, NULL);
    Py_RETURN_NONE;
}

/* ---- sources of nondeterminism, and tampering ----------------------------------------------------
 * Two runs with different hash seeds still agree by chance: a set of two strings has two orders. So
 * the interpreter notes when a program could have seen such an order, and can show it other ones:
 * rotated by one, every element stands elsewhere; reversed, every two elements change sides. Notes:
 * bits of `seen`. */

enum { SAW_HASH_ORDER = 1, SAW_ENTROPY = 2, SAW_CLOCK = 4, SAW_TAMPERING = 8 };
enum { NATURAL, ROTATED, REVERSED };

static unsigned seen;
static int order_shown = NATURAL;
static getiterfunc original_set_iter;
static PyCFunction original_pop;
static _PyCFunctionFast original_fromkeys;

static int hash_is_fixed(PyObject *value)
{
    if (PyLong_CheckExact(value) || PyBool_Check(value) || PyFloat_CheckExact(value) ||
        PyComplex_CheckExact(value))
        return 1;
    if (!PyTuple_CheckExact(value))
        return 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(value); i++)
        if (!hash_is_fixed(PyTuple_GET_ITEM(value, i)))
            return 0;
    return 1;
}

/* Whether the order of a set depends on the process: two elements, one with a random hash. */
static int order_is_random(PyObject *set)
{
    PyObject *value;
    Py_hash_t hash;
    Py_ssize_t position = 0;
    if (PySet_GET_SIZE(set) < 2)
        return 0;
    while (_PySet_NextEntry(set, &position, &value, &hash))
        if (!hash_is_fixed(value))
            return 1;
    return 0;
}

static PyObject *set_iter(PyObject *set)
{
    if (!order_is_random(set))
        return original_set_iter(set);
    seen |= SAW_HASH_ORDER;
    PyObject *plain = original_set_iter(set);
    if (order_shown == NATURAL || !plain)
        return plain;
    PyObject *order = PySequence_List(plain);
    Py_DECREF(plain);
    if (!order || (order_shown == REVERSED && PyList_Reverse(order) < 0)) {
        Py_XDECREF(order);
        return NULL;
    }
    if (order_shown == ROTATED) {
        PyObject *first = PyList_GET_ITEM(order, 0);
        Py_ssize_t last = PyList_GET_SIZE(order) - 1;
        for (Py_ssize_t i = 0; i < last; i++)
            PyList_SET_ITEM(order, i, PyList_GET_ITEM(order, i + 1));
        PyList_SET_ITEM(order, last, first);
    }
    PyObject *shown = PyObject_GetIter(order);
    Py_DECREF(order);
    return shown;
}

static PyObject *set_pop(PyObject *set, PyObject *ignored)
{
    if (!order_is_random(set))
        return original_pop(set, ignored);
    seen |= SAW_HASH_ORDER;
    if (order_shown == NATURAL)
        return original_pop(set, ignored);
    PyObject *value = NULL;
    Py_hash_t hash;
    Py_ssize_t position = 0;
    _PySet_NextEntry(set, &position, &value, &hash);
    do { /* the second one, or the last one */
        if (!_PySet_NextEntry(set, &position, &value, &hash))
            break;
    } while (order_shown == REVERSED);
    Py_INCREF(value);
    if (PySet_Discard(set, value) < 0)
        Py_CLEAR(value);
    return value;
}

static PyObject *dict_fromkeys(PyObject *type, PyObject *const *args, Py_ssize_t count)
{
    if (count < 1 || count > 2 || !PyAnySet_CheckExact(args[0]))
        return original_fromkeys(type, args, count);
    PyObject *keys = PySequence_List(args[0]); /* by set_iter: fromkeys() itself would not */
    if (!keys)
        return NULL;
    PyObject *replaced[2] = {keys, count == 2 ? args[1] : NULL};
    PyObject *result = original_fromkeys(type, replaced, count);
    Py_DECREF(keys);
    return result;
}

static PyMethodDef *method_of(PyTypeObject *type, const char *name)
{
    PyMethodDef *method = NULL;
    PyObject *dict = PyType_GetDict(type);
    PyObject *found = dict ? PyDict_GetItemString(dict, name) : NULL;
    if (found && (Py_IS_TYPE(found, &PyMethodDescr_Type) ||
                  Py_IS_TYPE(found, &PyClassMethodDescr_Type)))
        method = ((PyMethodDescrObject *)found)->d_method;
    Py_XDECREF(dict);
    return method;
}

/* watch_order(): from now on note it when the order of a set could be seen. */
static PyObject *watch_order(PyObject *module, PyObject *ignored)
{
    PyMethodDef *pop = method_of(&PySet_Type, "pop");
    PyMethodDef *fromkeys = method_of(&PyDict_Type, "fromkeys");
    if (original_set_iter || !pop || !fromkeys)
        Py_RETURN_FALSE;
    original_set_iter = PySet_Type.tp_iter;
    PySet_Type.tp_iter = PyFrozenSet_Type.tp_iter = set_iter;
    original_pop = pop->ml_meth;
    pop->ml_meth = set_pop;
    original_fromkeys = (_PyCFunctionFast)(void (*)(void))fromkeys->ml_meth;
    fromkeys->ml_meth = (PyCFunction)(void (*)(void))dict_fromkeys;
    Py_RETURN_TRUE;
}

/* Watches cost nothing until a name is changed, and putting it back does not undo the note. New names
 * shadow nothing. */
static int note_tampering(PyDict_WatchEvent event, PyObject *dict, PyObject *name, PyObject *value)
{
    if (event == PyDict_EVENT_MODIFIED || event == PyDict_EVENT_DELETED ||
        event == PyDict_EVENT_CLEARED)
        seen |= SAW_TAMPERING;
    return 0;
}

/* watch_names(namespaces): from now on note it when a name of one of these dicts is changed. */
static PyObject *watch_names(PyObject *module, PyObject *namespaces)
{
    int watcher = PyDict_AddWatcher(note_tampering);
    if (watcher < 0)
        return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(namespaces); i++)
        if (PyDict_Watch(watcher, PyTuple_GET_ITEM(namespaces, i)) < 0)
            return NULL;
    Py_RETURN_NONE;
}

/* show_order(order): start a run with no notes on sources: 0 natural, 1 rotated, 2 reversed order. */
static PyObject *show_order(PyObject *module, PyObject *order)
{
    order_shown = (int)PyLong_AsLong(order);
    seen &= SAW_TAMPERING;
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *sources_seen(PyObject *module, PyObject *ignored)
{
    return PyLong_FromUnsignedLong(seen);
}

/* ---- shifted clock and process numbers ---------------------------------------------------------
 * Loaded with LD_PRELOAD, these take the place of the C library's functions, so that interpreters
 * can differ in the date and the process number that they see: a program whose value depends on one
 * shows it at once. They also note that the clock, or the kernel's randomness, was asked for. */

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

static PyMethodDef methods[] = {
    {"prepare", prepare, METH_NOARGS, "Open what the children will need."},
    {"huge_text", huge_text, METH_NOARGS, "Move the interpreter's text to huge pages."},
    {"address_space", address_space, METH_NOARGS, "Bytes of address space in use."},
    {"immortalize", immortalize, METH_NOARGS, "Stop counting references to what there is."},
    {"watch_order", watch_order, METH_NOARGS, "Note from now on that a set's order was seen."},
    {"show_order", show_order, METH_O, "show_order(order): begin a run."},
    {"sources_seen", sources_seen, METH_NOARGS,
     "Bits: 1 hash order, 2 entropy, 4 clock; 8 tampering."},
    {"watch_names", watch_names, METH_O, "Note from now on that a name of these was changed."},
    {"lock", lock_down, METH_VARARGS, "lock(filter, patches): install the filter."},
    {"confine", confine, METH_O, "confine(filter): install a filter in this process."},
    {"serve", serve, METH_O, "serve(base): answer jobs; returns in the children."},
    {"prepare_scripts", prepare_scripts, METH_O, "Make the file that scripts are run from."},
    {"serve_scripts", serve_scripts, METH_VARARGS, "Answer scripts; returns never."},
    {"emit", emit, METH_O, "emit(data): send the child's result and end the child."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_core", "Accelerator of the zygote.", -1, methods,
};

PyMODINIT_FUNC PyInit__core(void) { return PyModule_Create(&definition); }
