/* A job in a child of its own: fork, watch, end. */
#include "core.h"

static uint64_t nonce;
int null_fd = -1;
static int result_fd = -1;

uint64_t next_nonce(void)
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
    for (int fd = 0; fd < 3; fd++)
        dup2(null_fd, fd);
    result_fd = dup2(pipe_fds[1], 3);
    syscall(SYS_close_range, 4, ~0u, 0);
    if (slots_in_use())
        unblock_signals();
    limit(RLIMIT_CPU, cpu_s);
    limit(RLIMIT_NPROC, 0);
    if (memory)
        limit(RLIMIT_AS, memory);
    wipe_capability();
}

int in_child(void) { return result_fd >= 0; }

/* Send the child's result and end the child. A slot is put back instead. */
_Noreturn void end_with(const void *result, size_t length)
{
    hand_over_if_slot(result, length);
    unsigned char head[12];
    uint32_t size = (uint32_t)length;
    memcpy(head, &nonce, 8);
    memcpy(head + 8, &size, 4);
    struct iovec parts[2] = {{head, sizeof head}, {(void *)result, size}};
    write_parts(result_fd, parts, size ? 2 : 1);
    _exit(0);
}

PyObject *emit(PyObject *module, PyObject *data)
{
    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "emit: bytes expected");
        return NULL;
    }
    end_with(PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data));
}

/* ---- the zygote ------------------------------------------------------------------------------ */

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

uint32_t kill_leftovers(void)
{
    /* A child cannot fork; this proves it for every run: no child left means ECHILD. Slots are in
     * process groups of their own. */
    uint32_t count = 0;
    if (slots_in_use()) {
        if (privileged(SYS_wait4, 0, 0, WNOHANG, 0, 0) == -ECHILD)
            return 0;
        count = 1;
        drop_slots();
    }
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

void fill_report(struct report *report, long pid, enum outcome outcome, int status,
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

/* serve(base): answer the host's jobs for ever, in slots where there are any. Returns only in the
 * children: (flags, output bytes,
 * the job's body). `base` is the address space of the bare interpreter. */
PyObject *serve(PyObject *module, PyObject *address_space_in_use)
{
    uint64_t base = PyLong_AsUnsignedLongLong(address_space_in_use);
    if (PyErr_Occurred())
        return NULL;
    PyGC_Collect(); /* the moments of collections are then the same in all guests, slots and forks */
    for (;;) {
        PyObject *in_slot = make_slots();
        if (in_slot)
            return in_slot;
        uint32_t size = next_frame(), result_size = 0;
        struct job job;
        struct report report = {0};
        if (size < sizeof job)
            _exit(1);
        memcpy(&job, input + 4, sizeof job);
        size_t body_size = size - sizeof job;
        const unsigned char *data = input + 4 + sizeof job;
        if (!run_in_slot(&job, data, body_size, &report, &result_size)) {
            keep_body(data, body_size);
            if (run_job(&job, base, &report, &result_size) == 0)
                return Py_BuildValue("(iIy#)", job.flags, job.output, (char *)body,
                                     (Py_ssize_t)body_size);
        }
        drop_frame(size);
        report.number = job.number;
        report.size = (uint32_t)(sizeof report - 4) + result_size;
        hold_reply(&report, result_size);
    }
}

/* address_space() -> bytes this process has mapped now (what RLIMIT_AS counts), without /proc. */
PyObject *address_space(PyObject *module, PyObject *ignored)
{
    struct rlimit before;
    syscall(SYS_prlimit64, 0, RLIMIT_AS, NULL, &before); /* as it is: see host.c */
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

/* count_frames(count): as far as recursion is bounded, let so many frames of Python be below what the
 * caller calls, as below what a script calls. */
PyObject *count_frames(PyObject *module, PyObject *count)
{
    PyThreadState *thread = PyThreadState_Get();
    const int frames = (int)PyLong_AsLong(count);
    thread->py_recursion_remaining = thread->py_recursion_limit - frames;
    thread->c_recursion_remaining = C_RECURSION_LIMIT - 2 * frames;
    Py_RETURN_NONE;
}

/* prepare(): what children will need; without a filter also the seed of the nonces. */
PyObject *prepare(PyObject *module, PyObject *ignored)
{
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, "/dev/null");
    if (getrandom(&nonce_state, sizeof nonce_state, 0) != sizeof nonce_state)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}
