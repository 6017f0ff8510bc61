/* What the interpreter's own modules tell of its process without asking the C library: the number of
 * its thread, what the kernel gives by chance, how many objects are the harness' own. */
#include "core.h"

#include <frameobject.h>

#define OWN_THREAD 1 /* as get_ident() has it: there is one */

typedef PyObject *(*with_keywords)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

static PyCFunction original_frames, original_exceptions, original_release, original_restore;
static reprfunc original_lock_text;
static with_keywords original_getrandom;

static PyObject *by_own_thread(PyObject *by_thread)
{
    PyObject *value, *key, *shown = by_thread ? PyDict_New() : NULL;
    Py_ssize_t position = 0;
    while (shown && PyDict_Next(by_thread, &position, &key, &value)) {
        PyObject *own = PyLong_FromLong(OWN_THREAD);
        if (!own || PyDict_SetItem(shown, own, value) < 0)
            Py_CLEAR(shown);
        Py_XDECREF(own);
    }
    Py_XDECREF(by_thread);
    return shown;
}

static PyObject *current_frames(PyObject *module, PyObject *ignored)
{
    return by_own_thread(original_frames(module, ignored));
}

static PyObject *current_exceptions(PyObject *module, PyObject *ignored)
{
    return by_own_thread(original_exceptions(module, ignored));
}

/* RLock._release_save() -> (count, owner), which _acquire_restore() takes. */
static PyObject *release_save(PyObject *lock, PyObject *ignored)
{
    PyObject *saved = original_release(lock, ignored);
    PyObject *shown = saved ? Py_BuildValue("(Oi)", PyTuple_GET_ITEM(saved, 0), OWN_THREAD) : NULL;
    Py_XDECREF(saved);
    return shown;
}

static PyObject *acquire_restore(PyObject *lock, PyObject *args)
{
    PyObject *saved = PyTuple_GET_SIZE(args) == 1 ? PyTuple_GET_ITEM(args, 0) : NULL;
    if (!saved || !PyTuple_Check(saved) || PyTuple_GET_SIZE(saved) != 2)
        return original_restore(lock, args);
    PyObject *own = Py_BuildValue("((Ok))", PyTuple_GET_ITEM(saved, 0), PyThread_get_thread_ident());
    PyObject *result = own ? original_restore(lock, own) : NULL;
    Py_XDECREF(own);
    return result;
}

static PyObject *lock_text(PyObject *lock)
{
    char number[32];
    snprintf(number, sizeof number, "owner=%lu", PyThread_get_thread_ident());
    PyObject *text = original_lock_text(lock);
    PyObject *found = text ? PyUnicode_FromString(number) : NULL;
    PyObject *own = found ? PyUnicode_FromFormat("owner=%d", OWN_THREAD) : NULL;
    PyObject *shown = own ? PyUnicode_Replace(text, found, own, 1) : NULL;
    Py_XDECREF(own);
    Py_XDECREF(found);
    Py_XDECREF(text);
    return shown;
}

static PyObject *noted_getrandom(PyObject *module, PyObject *const *args, Py_ssize_t count,
                                 PyObject *names)
{
    seen |= SAW_ENTROPY;
    return original_getrandom(module, args, count, names);
}

static PyObject *freeze_count(PyObject *module, PyObject *ignored) { return PyLong_FromLong(0); }

static int watch_locks(void)
{
    PyObject *module = PyImport_ImportModule("_thread");
    PyObject *found = module ? PyObject_GetAttrString(module, "RLock") : NULL;
    Py_XDECREF(module);
    if (!found || !PyType_Check(found))
        return -1;
    PyTypeObject *type = (PyTypeObject *)found; /* lives as long as the module */
    PyMethodDef *release = method_of(type, "_release_save");
    PyMethodDef *restore = method_of(type, "_acquire_restore");
    PyWrapperDescrObject *text = wrapper_of(type, "__repr__");
    if (!release || !restore || !text)
        return -1;
    original_release = release->ml_meth;
    release->ml_meth = release_save;
    original_restore = restore->ml_meth;
    restore->ml_meth = acquire_restore;
    original_lock_text = type->tp_repr;
    type->tp_repr = lock_text;
    text->d_wrapped = (void *)lock_text;
    return 0;
}

int watch_own(void)
{
    PyMethodDef *frames = function_of("sys", "_current_frames");
    PyMethodDef *exceptions = function_of("sys", "_current_exceptions");
    PyMethodDef *chance = function_of("posix", "getrandom");
    PyMethodDef *frozen = function_of("gc", "get_freeze_count");
    if (!frames || !exceptions || !chance || !frozen)
        return -1;
    frozen->ml_meth = freeze_count;
    original_frames = frames->ml_meth;
    frames->ml_meth = current_frames;
    original_exceptions = exceptions->ml_meth;
    exceptions->ml_meth = current_exceptions;
    original_getrandom = (with_keywords)(void (*)(void))chance->ml_meth;
    chance->ml_meth = (PyCFunction)(void (*)(void))noted_getrandom;
    return watch_locks();
}
