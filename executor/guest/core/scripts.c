/* Scripts.
 * A script's child is a whole program: it gets pipes for its three streams, the file that it is run
 * from, and no other descriptor; it runs with no frame below its own and ends as the interpreter
 * does. The zygote watches it through a pidfd. */
#include "core.h"

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
PyObject *serve_scripts(PyObject *module, PyObject *args)
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
PyObject *prepare_scripts(PyObject *module, PyObject *path)
{
    const char *name = PyUnicode_AsUTF8(path);
    if (!name)
        return NULL;
    script_fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (script_fd < 0)
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, name);
    Py_RETURN_NONE;
}
