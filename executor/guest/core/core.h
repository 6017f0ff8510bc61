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
#undef _FORTIFY_SOURCE /* clock.c and host.c define what it would wrap */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if !defined(__x86_64__) || !defined(__linux__)
#error "the accelerator is written for Linux on x86-64; elsewhere spawn.py is used"
#endif

/* Loaded before the C library for the sake of clock.c: no other name may take the place of another
 * library's. */
#pragma GCC visibility push(hidden)

/* RESULT: of a script: it ended. NO_RESULT: the child ended without one. CLOSED: it closed its pipe
 * and went on running. */
enum outcome { RESULT, WALL_LIMIT, OUTPUT_LIMIT, NO_RESULT, FORGED, CLOSED, SPAWN_FAILED, CPU_LIMIT };

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

/* As wire/layout.py has them; tests compare all that is declared here and there. */
_Static_assert(sizeof(struct job) == 25, "the layout of a job");
_Static_assert(sizeof(struct report) == 4 + 41, "the layout of a report, after its size");

/* What records and messages may add to a value. */
#define SLACK 65536u

/* How long, and how much, replies are held back while there are more jobs to do. */
#define HOLD_MS 1
#define HOLD_BYTES 16384u

/* lock.c */
extern volatile uint64_t capability;
extern uint64_t nonce_state;
extern struct iovec *vectors;
long privileged(long number, long a, long b, long c, long d, long e);
long move_memory(long number, long pid, size_t locals, size_t remotes);
int prepare_vectors(void);
void wipe_capability(void);
void limit(int resource, uint64_t value);
PyObject *lock_down(PyObject *module, PyObject *args);
PyObject *confine(PyObject *module, PyObject *filter);

/* frames.c */
extern unsigned char *reply;
extern size_t reply_capacity;
extern unsigned char *input;
extern unsigned char *held; /* replies not yet written, so that the host wakes once for several */
extern size_t held_used, held_capacity;
extern unsigned char *body; /* of the job at hand: the one buffer that the child needs */
uint64_t monotonic_us(void);
int write_parts(int fd, struct iovec *parts, int count);
void send_held(void);
int reserve(unsigned char **buffer, size_t *capacity, size_t used, size_t wanted);
int reserve_own(unsigned char **buffer, size_t *capacity, size_t used, size_t wanted);
uint32_t next_frame(void);
void hold_reply(const struct report *report, uint32_t result_size);
void drop_frame(uint32_t size);
void keep_body(const unsigned char *data, size_t size);
void forget_body(void);
int frame_is_here(void);
int host_is_gone(void);

/* forks.c */
extern int null_fd;
uint64_t next_nonce(void);
void fill_report(struct report *report, long pid, enum outcome outcome, int status,
                 const struct rusage *usage, uint64_t wall_us);
uint32_t kill_leftovers(void);
PyObject *prepare(PyObject *module, PyObject *ignored);
PyObject *address_space(PyObject *module, PyObject *ignored);
PyObject *count_frames(PyObject *module, PyObject *count);
PyObject *serve(PyObject *module, PyObject *address_space_in_use);
int in_child(void);
_Noreturn void end_with(const void *result, size_t size);
PyObject *emit(PyObject *module, PyObject *data);

/* refusals.c */
PyObject *watch_refusals(PyObject *module, PyObject *ignored);
PyObject *fill_arrays(PyObject *module, PyObject *args);
PyObject *refused(PyObject *module, PyObject *ignored);

/* slots.c */
int run_in_slot(const struct job *job, const unsigned char *data, size_t body_size,
                struct report *report, uint32_t *size);
PyObject *make_slots(void);
int drop_slots(void);
int slots_in_use(void);
int hand_over_if_slot(const void *result, size_t size);
void unblock_signals(void);
void tell_costs(void);
PyObject *take_proc(PyObject *module, PyObject *path);
PyObject *inherit_proc(PyObject *module, PyObject *descriptor);
PyObject *prepare_slots(PyObject *module, PyObject *ignored);
PyObject *use_slots(PyObject *module, PyObject *args);
PyObject *try_slots(PyObject *module, PyObject *body_object);

/* scripts.c */
PyObject *prepare_scripts(PyObject *module, PyObject *path);
PyObject *serve_scripts(PyObject *module, PyObject *args);

/* text.c */
PyObject *huge_text(PyObject *module, PyObject *ignored);
PyObject *immortalize(PyObject *module, PyObject *ignored);

/* notes.c: what a run has used that may differ from process to process, and which of the other
 * pictures of it this run is shown. */
enum {
    SAW_HASH_ORDER = 1,
    SAW_ENTROPY = 2,
    SAW_CLOCK = 4,
    SAW_TAMPERING = 8,
    SAW_IDENTITY = 16, /* a hash, an address, a number of the process */
    SAW_REFUSAL = 32,  /* a call that the filter refused (refusals.c) */
};
enum { NATURAL, ROTATED, REVERSED, SHUFFLED };
extern unsigned seen;
extern int watching; /* false in guests for scripts: they see everything as it is */
extern int order_shown;
extern uint64_t shuffle_key; /* another one in each SHUFFLED run */
uint64_t mixed(uint64_t number);
PyMethodDef *method_of(PyTypeObject *type, const char *name);
PyMethodDef *function_of(const char *module, const char *name);
PyWrapperDescrObject *wrapper_of(PyTypeObject *type, const char *name);
PyObject *watch_sources(PyObject *module, PyObject *quiet);
PyObject *watch_names(PyObject *module, PyObject *namespaces);
PyObject *show_order(PyObject *module, PyObject *order);
PyObject *sources_seen(PyObject *module, PyObject *ignored);

/* order.c */
int watch_order(void);
int order_is_random(PyObject *set);
Py_ssize_t place_shown(Py_ssize_t index, Py_ssize_t count);
int next_entry(PyObject *set, Py_ssize_t *position, PyObject **value, Py_hash_t *hash);

/* hashes.c */
int watch_hashes(PyObject *quiet);
int hash_is_fixed(PyObject *value);
int hash_is_seeded(PyObject *value);
Py_hash_t noted_seed(PyObject *value);

/* addresses.c */
int watch_addresses(void);
PyObject *noted_address(void *address);

/* endings.c */
int watch_endings(void);

/* own.c */
int watch_own(void);

/* clock.c */
void shift_clocks(void);

/* host.c */
void watch_host(void);

#pragma GCC visibility pop
