/* Slots: children of the zygote that run one job after another, and are put back after each.
 *
 * A slot is forked from the rehearsed zygote and stops before its first job. Its parent, which traces
 * it, takes a snapshot of memory and registers there (memory.c). For each job it writes the job into
 * the slot's mailbox, lets it go on, and waits until it hands its result over at an int3; then it puts
 * everything back, and the slot stands again where it stood. Nothing of this needs the slot's help.
 *
 * What is not memory or registers belongs to the kernel, and is not put back. So a slot may make no
 * call that leaves a trace there: a filter of its own stops it before all but a closed list of calls
 * (seccomp.py). The call is not made, the slot is put back, and the job is run again in a fork, which
 * has the rights of before. Programs are pure: running one twice does no harm.
 *
 * Only two things are said on the word of a slot: what a job returned, and that it ran out of time.
 * All other ends (signals, exits, a result that is not in order) cost the slot, and a fork decides. */
#include "slots.h"

#include <malloc.h>
#include <stddef.h>
#include <sys/mount.h>
#include <linux/capability.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#define FEATURE_WP_UNPOPULATED (1 << 13)
#define FEATURE_WP_ASYNC (1 << 15)
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef PR_CAP_AMBIENT
#define PR_CAP_AMBIENT 47
#define PR_CAP_AMBIENT_CLEAR_ALL 4
#endif

/* A slot has so much memory beforehand; a job that needs more needs a call, and so a fork. */
#define ARENA ((size_t)1 << 20)
#define ARENAS 32u
#define CHUNKS ((size_t)8 << 20) /* for the frames of Python functions */
#define HEAP ((size_t)16 << 20)
#define MAX_STACK ((size_t)8 << 20)
#define POOL (ARENAS * ARENA + CHUNKS)
#define LEAST_MEMORY (POOL + HEAP)

/* When a slot has served. Zeroed pages stay, and so do the kernel's sums. */
#define MAX_RUNS 20000u
#define MAX_CPU_US 60000000u
#define MAX_EXTRA_PAGES 8192u
#define MAX_FAILURES 3

#define TICK_US 10000u

struct mailbox {
    uint64_t nonce;
    uint32_t flags, output;
    uint64_t size;
    unsigned char data[];
};
#define MAILBOX ((size_t)256 << 10)

/* What a new slot opens for its parent, in the mailbox: descriptors of its own, or errors. */
struct handles {
    int64_t uffd, pagemap, maps;
};

struct costs costs;
int keep_costs;
int proc_fd = -1;

static struct mailbox *mailbox;
static unsigned char *pool;
static unsigned char pool_taken[ARENAS];
static size_t chunks_used;
static uint64_t slot_nonce;
static int in_slot;

static struct slot *current, *spare;
static int usable, want_spare, failures;
static struct sock_filter *filter;
static unsigned short filter_count;
static uint32_t audit_every, runs_until_audit;
static const char *stage = "";
static int last_status; /* of a slot that did not come to its wait */

/* Where a slot ends a job: result, size, nonce in registers. It never goes on from there. */
void hand_over(const void *result, size_t size, uint64_t nonce);
extern const char handed_over[];
__asm__(".pushsection .text\n"
        ".hidden hand_over, handed_over\n"
        ".globl hand_over, handed_over\n"
        ".type hand_over, @function\n"
        "hand_over: int3\n"
        "handed_over: ud2\n"
        ".popsection");

uint64_t lap(uint64_t *since, uint64_t *total)
{
    struct timespec now;
    if (!keep_costs)
        return 0;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    uint64_t ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    if (total)
        *total += ns - *since;
    *since = ns;
    return ns;
}

/* The error where the C library has it. */
static long told(long result)
{
    if (result < 0)
        errno = (int)-result;
    return result;
}

/* ---- the slot --------------------------------------------------------------------------------- */

static void *arena_alloc(void *context, size_t size)
{
    for (size_t i = 0; size == ARENA && i < ARENAS; i++)
        if (!pool_taken[i]) {
            pool_taken[i] = 1;
            return pool + i * ARENA;
        }
    if (size < ARENA && CHUNKS - chunks_used >= size) {
        chunks_used += size;
        return pool + ARENAS * ARENA + chunks_used - size;
    }
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory; /* in a slot: not reached, a fork takes over */
}

static void arena_free(void *context, void *memory, size_t size)
{
    size_t offset = (size_t)((unsigned char *)memory - pool);
    if (offset < ARENAS * ARENA)
        pool_taken[offset / ARENA] = 0;
    else if (offset < POOL && offset - ARENAS * ARENA + size == chunks_used)
        chunks_used -= size; /* frames end in the reverse order */
    /* What is not given back here comes back with the snapshot. */
}

/* Let the C library's heap have its memory, and keep it, without touching it: each page that is there
 * is a page to look at after each run. */
static void grow_heap(void)
{
    void *taken[64];
    size_t count = 0;
    mallopt(M_MMAP_THRESHOLD, (int)HEAP);
    mallopt(M_TRIM_THRESHOLD, INT32_MAX);
    mallopt(M_TOP_PAD, (int)HEAP);
    for (const void *end = sbrk(0); sbrk(0) == end && count < 64; count++)
        taken[count] = malloc(mallinfo2().keepcost + PAGE); /* more than is left: the top grows by the pad */
    while (count)
        free(taken[--count]);
    mallopt(M_TOP_PAD, 1 << 20);
}

static void grow_stack(void)
{
    struct rlimit now;
    getrlimit(RLIMIT_STACK, &now);
    size_t size = now.rlim_cur < MAX_STACK ? now.rlim_cur : MAX_STACK;
    size -= 256 * 1024; /* the environment, and what is in use */
    __asm__ volatile("mov %%rsp, %%rax\n\tsub %0, %%rax\n\tmovb $0, (%%rax)" ::"r"(size)
                     : "rax", "memory");
}

/* Of this process: whatever number it has where that procfs was mounted. */
static int64_t open_own(const char *name)
{
    char path[32];
    snprintf(path, sizeof path, "self/%s", name);
    int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static void check(long result)
{
    if (result < 0)
        _exit(1);
}

/* In the new child: what nobody may do later. */
static void become_slot(void)
{
    check(privileged(SYS_setpgid, 0, 0, 0, 0, 0));
    check(privileged(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)); /* for its tracer */
    check(privileged(SYS_prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0));
    for (int fd = 0; fd < 3; fd++)
        dup2(null_fd, fd);
    unblock_signals();
    forget_body();
    const struct handles handles = {
        privileged(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY, 0, 0, 0, 0),
        open_own("pagemap"),
        open_own("maps"),
    };
    memcpy(mailbox->data, &handles, sizeof handles);
    check(privileged(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0, 0));
    __asm__ volatile("int3" ::: "memory"); /* the parent takes what was opened */
    syscall(SYS_close_range, 3, ~0u, 0);
    const PyObjectArenaAllocator allocator = {NULL, arena_alloc, arena_free};
    PyObject_SetArenaAllocator((PyObjectArenaAllocator *)&allocator);
    grow_heap();
    grow_stack();
    memset(mailbox, 0, sizeof *mailbox + sizeof handles);
    limit(RLIMIT_NPROC, 0);
    struct sock_fprog program = {filter_count, filter};
    check(privileged(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (long)&program, 0, 0));
    wipe_capability();
    in_slot = 1;
}

/* The snapshot is taken in here, and each job begins in here. */
static PyObject *await_job(void)
{
    __asm__ volatile("int3" ::: "memory");
    slot_nonce = mailbox->nonce;
    return Py_BuildValue("(iIy#)", (int)mailbox->flags, mailbox->output, (char *)mailbox->data,
                         (Py_ssize_t)mailbox->size);
}

int hand_over_if_slot(const void *result, size_t size)
{
    if (in_slot)
        hand_over(result, size, slot_nonce);
    return 0;
}

/* ---- its parent: making and ending ------------------------------------------------------------ */

static long trace(long request, const struct slot *s, long address, long data)
{
    return told(privileged(SYS_ptrace, request, s->pid, address, data, 0));
}

static void release(struct slot *s)
{
    const int fds[] = {s->uffd, s->pagemap, s->maps};
    if (s->pid > 0) {
        int status;
        privileged(SYS_kill, s->pid, SIGKILL, 0, 0, 0);
        long got;
        do
            got = privileged(SYS_wait4, s->pid, (long)&status, __WALL, 0, 0);
        while (got == -EINTR || (got == s->pid && WIFSTOPPED(status)));
    }
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    forget_snapshot(s);
    munmap(s, sizeof *s);
}

static int wait_for_trap(struct slot *s)
{
    int status;
    long got;
    do
        got = privileged(SYS_wait4, s->pid, (long)&status, __WALL, 0, 0);
    while (got == -EINTR);
    if (got != s->pid)
        return -1;
    last_status = status;
    if (!WIFSTOPPED(status)) {
        s->pid = 0;
        return -1;
    }
    return status >> 16 == 0 && WSTOPSIG(status) == SIGTRAP ? 0 : -1;
}

static int take(int pidfd, int64_t descriptor, const char *what)
{
    stage = what;
    if (descriptor < 0)
        return (int)told(descriptor);
    stage = "pidfd_getfd";
    return (int)told(privileged(SYS_pidfd_getfd, pidfd, (long)descriptor, 0, 0, 0));
}

static int take_handles(struct slot *s)
{
    struct handles handles;
    stage = "process_vm_readv";
    if (peek(s, &handles, (uintptr_t)mailbox->data, sizeof handles) != 0)
        return -1;
    stage = "pidfd";
    int pidfd = (int)told(privileged(SYS_pidfd_open, s->pid, 0, 0, 0, 0));
    if (pidfd < 0)
        return -1;
    int whole = (s->uffd = take(pidfd, handles.uffd, "userfaultfd")) >= 0 &&
                (s->pagemap = take(pidfd, handles.pagemap, "/proc/self/pagemap")) >= 0 &&
                (s->maps = take(pidfd, handles.maps, "/proc/self/maps")) >= 0;
    close(pidfd);
    if (!whole)
        return -1;
    stage = "asynchronous write protection (Linux 6.7)";
    struct uffdio_api api = {UFFD_API, FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED, 0};
    return (int)told(privileged(SYS_ioctl, s->uffd, UFFDIO_API, (long)&api, 0, 0));
}

static int adopt(struct slot *s, const struct slot *like)
{
    stage = "ptrace";
    const long options = PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL;
    if (wait_for_trap(s) != 0 || trace(PTRACE_SETOPTIONS, s, 0, options) != 0 ||
        take_handles(s) != 0)
        return -1;
    stage = "the slot's lock-down";
    if (trace(PTRACE_CONT, s, 0, 0) != 0 || wait_for_trap(s) != 0)
        return -1;
    stage = "the snapshot (PAGEMAP_SCAN)";
    return take_snapshot(s, like);
}

static uint64_t cpu_of(const struct slot *s)
{
    struct timespec used;
    if (syscall(SYS_clock_gettime, (clockid_t)(~(unsigned)s->pid << 3 | 2), &used) != 0)
        return s->cpu_us;
    return (uint64_t)used.tv_sec * 1000000u + (uint64_t)used.tv_nsec / 1000u;
}

/* Make a slot. In the slot: -1. In the zygote: 1, and `*made`; or 0 if it cannot be done. */
static int make_slot(struct slot **made, const struct slot *like)
{
    uint64_t since = 0;
    lap(&since, NULL);
    struct slot *s = own_memory(sizeof *s);
    stage = "memory";
    if (!s)
        return 0;
    s->uffd = s->pagemap = s->maps = -1;
    stage = "clone";
    errno = 0;
    const long pid = told(privileged(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    if (pid == 0) { /* which has no `s` */
        become_slot();
        return -1;
    }
    s->pid = pid;
    if (pid < 0 || adopt(s, like) != 0) {
        int error = errno;
        release(s);
        errno = error;
        return 0;
    }
    s->cpu_us = cpu_of(s);
    s->base_kib = 0;
    *made = s;
    costs.made++;
    lap(&since, &costs.made_ns);
    return 1;
}

/* ---- its parent: running ---------------------------------------------------------------------- */

static enum stop understand(struct slot *s, int status)
{
    if (!WIFSTOPPED(status)) {
        s->pid = 0;
        return LOST;
    }
    if (status >> 16 == PTRACE_EVENT_SECCOMP)
        return ESCAPED;
    return status >> 16 == 0 && WSTOPSIG(status) == SIGTRAP ? HANDED_OVER : LOST;
}

/* Wait until the slot stops, or has to be stopped. */
static enum stop watch(struct slot *s, uint64_t deadline, uint64_t cpu_end, uint64_t *peak_kib)
{
    const uint64_t chld = 1ull << (SIGCHLD - 1);
    struct rusage usage;
    for (uint64_t pause = HOLD_MS * 1000;;) {
        const struct timespec patience = {0, (long)pause * 1000};
        long woken =
            privileged(SYS_rt_sigtimedwait, (long)&chld, 0, (long)&patience, sizeof chld, 0);
        int status;
        if (privileged(SYS_wait4, s->pid, (long)&status, WNOHANG | __WALL, (long)&usage, 0) ==
            s->pid) {
            s->cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
                        (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
            *peak_kib = (uint64_t)usage.ru_maxrss;
            return understand(s, status);
        }
        if (woken > 0)
            continue; /* by another child's end */
        send_held(); /* this run is not a quick one: do not let others wait for it */
        if (host_is_gone())
            _exit(0); /* as pid 1 we take the slots with us */
        if (monotonic_us() >= deadline)
            return OVER_TIME;
        s->cpu_us = cpu_of(s);
        if (s->cpu_us >= cpu_end)
            return OVER_CPU;
        pause = TICK_US;
    }
}

static int deliver(struct slot *s, const struct job *job, const unsigned char *data, size_t size,
                   uint64_t job_nonce)
{
    struct mailbox head = {job_nonce, job->flags, job->output, size};
    const struct iovec parts[2] = {{&head, offsetof(struct mailbox, data)}, {(void *)data, size}};
    if (poke(s, (uintptr_t)mailbox, parts, 2) != 0)
        return -1;
    return (int)trace(PTRACE_CONT, s, 0, 0);
}

/* Read what the slot says is its result: address and size are a hostile word, good for reading the
 * slot's own memory only. */
static enum outcome fetch(struct slot *s, uint64_t job_nonce, uint32_t max_output, uint32_t *size)
{
    struct user_regs_struct now;
    if (trace(PTRACE_GETREGS, s, 0, (long)&now) != 0 || now.rip != (uintptr_t)handed_over ||
        now.rdx != job_nonce)
        return FORGED;
    if (now.rsi > max_output)
        return OUTPUT_LIMIT;
    *size = (uint32_t)now.rsi;
    return *size == 0 || peek(s, reply + 12, now.rdi, *size) == 0 ? RESULT : FORGED;
}

static void check_all(struct slot *s)
{
    if (!audit_every || --runs_until_audit)
        return;
    runs_until_audit = audit_every;
    long count = differences(s);
    if (count == 0)
        return;
    fprintf(stderr, "reset: %ld differences are left of a run\n", count);
    _exit(3); /* the host starts another guest, and nothing of this one is believed */
}

static void drop(struct slot *s)
{
    release(s);
    current = NULL;
    want_spare = 1;
}

static void put_back_or_drop(struct slot *s)
{
    if (put_back(s) != 0) {
        costs.lost++;
        drop(s);
        return;
    }
    check_all(s);
    if (++s->runs >= MAX_RUNS || s->cpu_us >= MAX_CPU_US || s->extra_pages > MAX_EXTRA_PAGES)
        drop(s);
}

static void tell(struct report *report, enum outcome outcome, long pid, uint64_t start, uint64_t cpu)
{
    report->outcome = outcome;
    report->pid = (uint32_t)pid;
    report->wall_us = monotonic_us() - start;
    report->cpu_us = cpu;
    costs.cpu_us += cpu;
}

/* Run a job in the slot there is. 1: `report` and the result are there. 0: a fork has to run it. */
static int run_in(struct slot *s, const struct job *job, const unsigned char *data, size_t body_size,
                  struct report *report, uint32_t *size)
{
    const uint64_t job_nonce = next_nonce(), cpu_before = s->cpu_us, start = monotonic_us();
    const uint64_t cpu_end = cpu_before + job->cpu_s * 1000000ull;
    const uint32_t max_output = job->output + SLACK;
    const long pid = s->pid;
    uint64_t since = 0, peak_kib = 0;
    lap(&since, NULL);
    if (deliver(s, job, data, body_size, job_nonce) != 0) {
        costs.lost++;
        drop(s);
        return 0;
    }
    lap(&since, &costs.deliver);
    enum stop stop = watch(s, start + job->wall_ms * 1000ull, cpu_end, &peak_kib);
    lap(&since, &costs.run);
    costs.runs++;
    enum outcome outcome = FORGED;
    if (stop == HANDED_OVER) {
        outcome = fetch(s, job_nonce, max_output, size);
        lap(&since, &costs.fetch);
    } else if (stop == OVER_TIME || stop == OVER_CPU) {
        outcome = stop == OVER_TIME ? WALL_LIMIT : NO_RESULT;
        report->wait_status = SIGKILL;
    }
    tell(report, outcome, pid, start, s->cpu_us - cpu_before);
    if (stop == ESCAPED || outcome == RESULT || outcome == OUTPUT_LIMIT) {
        if (!s->base_kib)
            s->base_kib = peak_kib;
        costs.escaped += stop == ESCAPED;
        const uint64_t base_kib = s->base_kib;
        put_back_or_drop(s);
        report->peak_kib = base_kib + (current == s ? s->new_pages * (PAGE / 1024) : 0);
    } else {
        costs.lost++;
        drop(s);
    }
    return outcome != FORGED && stop != ESCAPED;
}

int run_in_slot(const struct job *job, const unsigned char *data, size_t body_size,
                struct report *report, uint32_t *size)
{
    if (!current) {
        current = spare;
        spare = NULL;
    }
    if (!current || body_size > MAILBOX - sizeof(struct mailbox) ||
        (job->memory && job->memory < LEAST_MEMORY) ||
        reserve_own(&reply, &reply_capacity, 0, (size_t)job->output + SLACK + 16) != 0)
        return 0;
    *size = 0;
    if (run_in(current, job, data, body_size, report, size))
        return 1;
    *report = (struct report){0};
    return 0;
}

/* Whether a slot has to be made: the one to work in, or while there is nothing to do a spare one. */
static int slot_is_missing(void)
{
    if (!usable || spare)
        return 0;
    return !current || (want_spare && !frame_is_here());
}

/* Make what is missing. In a new slot: what serve() returns in it. In the zygote: NULL. */
PyObject *make_slots(void)
{
    if (!slot_is_missing())
        return NULL;
    int made = make_slot(current ? &spare : &current, current);
    if (made < 0)
        return await_job();
    failures = made ? 0 : failures + 1;
    if (failures >= MAX_FAILURES) {
        fprintf(stderr, "reset: given up at %s: %s\n", stage, strerror(errno));
        usable = 0;
    }
    return NULL;
}

int slots_in_use(void)
{
    return usable;
}

/* Forks inherit the blocked SIGCHLD. */
void unblock_signals(void)
{
    const uint64_t chld = 1ull << (SIGCHLD - 1);
    syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &chld, NULL, sizeof chld);
}

int drop_slots(void)
{
    struct slot *all[] = {current, spare};
    current = spare = NULL;
    for (int i = 0; i < 2; i++)
        if (all[i])
            release(all[i]);
    return 0;
}

/* ---- Python's side ---------------------------------------------------------------------------- */

static int drop_capabilities(void)
{
    for (int number = 0; number < 64; number++)
        if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0) {
            if (errno != EINVAL || number == 0)
                return -1;
            break; /* there are no more */
        }
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_capset, &head, none);
}

/* take_proc(path): keep the procfs that is mounted there, unmount it, and give up all capabilities.
 * Programs find no trace of it. */
PyObject *take_proc(PyObject *module, PyObject *path)
{
    const char *name = PyUnicode_AsUTF8(path);
    if (!name)
        return NULL;
    proc_fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc_fd < 0 || umount2(name, MNT_DETACH) != 0 || drop_capabilities() != 0)
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, name);
    Py_RETURN_NONE;
}

/* inherit_proc(fd): keep the procfs that whoever started us has opened. */
PyObject *inherit_proc(PyObject *module, PyObject *descriptor)
{
    proc_fd = (int)PyLong_AsLong(descriptor);
    if (proc_fd < 0 && PyErr_Occurred())
        return NULL;
    if (fcntl(proc_fd, F_SETFD, FD_CLOEXEC) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

/* prepare_slots(): map what slots will share with the zygote: before address_space(). */
PyObject *prepare_slots(PyObject *module, PyObject *ignored)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    const int rights = PROT_READ | PROT_WRITE;
    void *memory = mmap(NULL, MAILBOX, rights, flags, -1, 0);
    unsigned char *raw = mmap(NULL, POOL + ARENA, rights, flags, -1, 0);
    if (memory == MAP_FAILED || raw == MAP_FAILED || prepare_memory() != 0 || prepare_vectors() != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    mailbox = memory;
    pool = (unsigned char *)(((uintptr_t)raw + ARENA - 1) & ~(ARENA - 1));
    Py_RETURN_NONE;
}

/* use_slots(filter, audit, costs): from now on. Every `audit`th reset is checked whole (0: none);
 * with `costs` the steps are timed. */
PyObject *use_slots(PyObject *module, PyObject *args)
{
    Py_buffer source;
    if (!PyArg_ParseTuple(args, "y*Ip", &source, &audit_every, &keep_costs))
        return NULL;
    filter = malloc((size_t)source.len);
    if (!filter) {
        PyBuffer_Release(&source);
        return PyErr_NoMemory();
    }
    memcpy(filter, source.buf, (size_t)source.len);
    filter_count = (unsigned short)((size_t)source.len / sizeof *filter);
    PyBuffer_Release(&source);
    runs_until_audit = audit_every;
    const uint64_t chld = 1ull << (SIGCHLD - 1);
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &chld, NULL, sizeof chld);
    usable = 1;
    Py_RETURN_NONE;
}

/* try_slots(body): run a job of our own in a slot, twice, and check every byte after each. Raises
 * OSError that says what is not to be had here. In the slot: what serve() returns. */
PyObject *try_slots(PyObject *module, PyObject *body_object)
{
    const struct job job = {0, 10000, 10, 0, 1 << 20, 0};
    const unsigned char *data = (unsigned char *)PyBytes_AsString(body_object);
    if (!data)
        return NULL;
    PyObject *in_it = make_slots();
    if (in_it)
        return in_it;
    stage = current ? "a run" : stage;
    for (int i = 0; i < 2; i++) {
        struct report report = {0};
        uint32_t size = 0;
        if (!current || !run_in_slot(&job, data, (size_t)PyBytes_GET_SIZE(body_object), &report, &size) ||
            report.outcome != RESULT || !current || differences(current) != 0)
            return PyErr_Format(PyExc_OSError, "%s: %s (%x)", stage, strerror(errno), last_status);
    }
    drop_slots();
    Py_RETURN_NONE;
}

void tell_costs(void)
{
    if (!keep_costs)
        return;
#define FIELD(name) fprintf(stderr, "costs " #name " %llu\n", (unsigned long long)costs.name)
    FIELD(runs), FIELD(escaped), FIELD(lost), FIELD(made), FIELD(made_ns), FIELD(deliver);
    FIELD(run), FIELD(fetch), FIELD(scan), FIELD(write), FIELD(protect), FIELD(registers);
    FIELD(pages), FIELD(cold), FIELD(ranges), FIELD(cpu_us), FIELD(copied_kib);
}
