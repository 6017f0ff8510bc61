/* Refused system calls. The filter sends SIGSYS for what the host is to be told of (seccomp.py).
 * Programs cannot take the handler's place; one that blocks the signal is killed by the kernel. */
#include "core.h"

#include <ucontext.h>

#define END_OF_RUN 64 /* with SAW_REFUSAL: the run has ended here, and there are no records */

static struct {
    uint16_t call;
    uint32_t line; /* of the program; 0: unknown */
} __attribute__((packed)) refusal;

static uint32_t line_of_program(void)
{
    uint32_t line = 0;
    PyGILState_STATE state = PyGILState_Ensure(); /* most calls are made without it */
    PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get());
    while (frame && !line) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        if (PyUnicode_Check(code->co_filename) &&
            PyUnicode_CompareWithASCIIString(code->co_filename, "<program>") == 0)
            line = (uint32_t)PyFrame_GetLineNumber(frame);
        Py_DECREF(code);
        PyFrameObject *back = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    PyGILState_Release(state);
    return line;
}

/* The result of a run that ends with a refused call. */
static void end_of_run(void)
{
    unsigned char result[1 + sizeof refusal] = {SAW_REFUSAL | END_OF_RUN};
    memcpy(result + 1, &refusal, sizeof refusal);
    end_with(result, sizeof result);
}

static void on_refusal(int number, siginfo_t *info, void *context)
{
    const int error = info->si_errno, before = errno;
    if (!in_child())
        _exit(1); /* a fault of ours */
    if (!(seen & SAW_REFUSAL) || !error) {
        refusal.call = (uint16_t)info->si_syscall;
        refusal.line = line_of_program();
    }
    if (!error)
        end_of_run();
    seen |= SAW_REFUSAL;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = -error;
    errno = before;
}

/* watch_refusals(): from now on note what the filter refuses with SIGSYS. */
PyObject *watch_refusals(PyObject *module, PyObject *ignored)
{
    struct sigaction action = {.sa_sigaction = on_refusal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    if (sigaction(SIGSYS, &action, NULL) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

/* refused() -> bytes: the number of the first call that was refused, and the program's line. */
PyObject *refused(PyObject *module, PyObject *ignored)
{
    return PyBytes_FromStringAndSize((char *)&refusal, sizeof refusal);
}
