/* What only the zygote may do, and the filter that sees to it: see core.h. */
#include "core.h"

volatile uint64_t capability;
uint64_t nonce_state;

/* Two times 1,024 parts of memory, for move_memory(), at an address that only the zygote knows. */
struct iovec *vectors;
#define VECTORS_SIZE (2 * 1024 * sizeof(struct iovec))

long privileged(long number, long a, long b, long c, long d, long e)
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

/* process_vm_readv() and process_vm_writev(), whose six arguments are all used: the capability's high
 * word goes where the kernel reads no number of a process, and `vectors` is the other part. */
long move_memory(long number, long pid, size_t locals, size_t remotes)
{
    register uint64_t rdi __asm__("rdi") = (capability & ~0xFFFFFFFFull) | (uint32_t)pid;
    register long r10 __asm__("r10") = (long)(vectors + 1024);
    register size_t r8 __asm__("r8") = remotes;
    register long r9 __asm__("r9") = 0;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result), "+r"(rdi)
                     : "0"(number), "S"(vectors), "d"(locals), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* Forks do not get the memory either. */
int prepare_vectors(void)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    for (int i = 0; i < 16; i++) {
        uintptr_t place;
        if (getrandom(&place, sizeof place, 0) != sizeof place)
            return -1;
        place = (place & (((uintptr_t)1 << 46) - 1)) & ~(uintptr_t)4095;
        vectors = mmap((void *)place, VECTORS_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (vectors != MAP_FAILED)
            return madvise(vectors, VECTORS_SIZE, MADV_DONTFORK);
    }
    return -1;
}

/* Ended functions may have left the place of `vectors` in what was their part of the stack. */
static __attribute__((noinline)) void wipe_dead_stack(void)
{
    unsigned char dead[8192];
    explicit_bzero(dead, sizeof dead);
}

void wipe_capability(void)
{
    capability = 0;
    if (vectors)
        wipe_dead_stack();
    vectors = NULL;
    privileged(SYS_getpid, 0, 0, 0, 0, 0); /* leaves 0 in the register that carried it */
}

void limit(int resource, uint64_t value)
{
    struct rlimit both = {value, value};
    privileged(SYS_prlimit64, 0, resource, (long)&both, 0, 0);
}

/* lock(filter, patches): no new privileges, not dumpable, and the filter, with the low word of a
 * secret written at each instruction number of `patches` and its high word two instructions later: of
 * the capability, or where the number is negative of the address of `vectors`. No copy of the
 * capability remains outside `capability`. */
PyObject *lock_down(PyObject *module, PyObject *args)
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
        Py_ssize_t patch = PyLong_AsSsize_t(PyTuple_GET_ITEM(patches, i));
        size_t low = (size_t)(patch < 0 ? -patch : patch);
        uint64_t secret = patch < 0 ? (uintptr_t)vectors : fresh[0];
        if (low >= count || count - low < 3) {
            free(filter);
            PyErr_SetString(PyExc_ValueError, "lock: patch outside the filter");
            return NULL;
        }
        filter[low].k = (uint32_t)secret;
        filter[low + 2].k = (uint32_t)(secret >> 32);
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
PyObject *confine(PyObject *module, PyObject *filter)
{
    PyObject *args = Py_BuildValue("(O())", filter);
    PyObject *result = args ? lock_down(module, args) : NULL;
    Py_XDECREF(args);
    return result;
}
