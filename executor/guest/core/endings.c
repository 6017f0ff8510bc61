/* The order in which the elements of a set come to their end, when the set ends or loses several at
 * once: finalizers and callbacks of weak references see it, without an iterator. */
#include "core.h"

#define MAX_DEPTH 8

static destructor original_dealloc;
static inquiry original_tp_clear;
static PyCFunction original_clear, original_difference_update, original_symmetric_update;
static binaryfunc original_subtract, original_xor;

/* Whether nothing runs, and nothing else ends, when this ends. */
static int is_inert(PyObject *value, int depth)
{
    if (Py_REFCNT(value) > 1)
        return 1; /* somebody else has it too */
    PyTypeObject *type = Py_TYPE(value);
    if (!PyTuple_CheckExact(value) || depth > MAX_DEPTH)
        return !(type->tp_flags & (Py_TPFLAGS_HEAPTYPE | Py_TPFLAGS_HAVE_GC));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(value); i++)
        if (!is_inert(PyTuple_GET_ITEM(value, i), depth + 1))
            return 0;
    return 1;
}

static int has_ends_to_see(PyObject *set)
{
    PyObject *value;
    Py_hash_t hash;
    Py_ssize_t position = 0;
    if (PySet_GET_SIZE(set) < 2)
        return 0;
    while (_PySet_NextEntry(set, &position, &value, &hash))
        if (!is_inert(value, 0))
            return order_is_random(set);
    return 0;
}

/* The elements, if the order of their ends depends on the process: whoever holds them last lets go
 * of them in the order that is shown. Else NULL, without an error. */
static PyObject *held_elements(PyObject *set)
{
    if (!has_ends_to_see(set))
        return NULL;
    seen |= SAW_HASH_ORDER;
    if (order_shown == NATURAL)
        return NULL;
    PyObject *error = PyErr_GetRaisedException();
    Py_ssize_t count = PySet_GET_SIZE(set), position = 0, index = 0;
    PyObject *natural = PyTuple_New(count), *held = PyList_New(count), *value;
    Py_hash_t hash;
    while (natural && held && _PySet_NextEntry(set, &position, &value, &hash))
        PyTuple_SET_ITEM(natural, index++, Py_NewRef(value));
    for (Py_ssize_t i = 0; natural && held && i < count; i++) /* a list ends from its last element */
        PyList_SET_ITEM(held, count - 1 - i,
                        Py_NewRef(PyTuple_GET_ITEM(natural, place_shown(i, count))));
    if (!natural || !held)
        Py_CLEAR(held);
    Py_XDECREF(natural);
    PyErr_SetRaisedException(error);
    return held;
}

static void set_dealloc(PyObject *set)
{
    PyObject_GC_UnTrack(set);
    Py_TRASHCAN_BEGIN(set, set_dealloc)
    PyObject *held = held_elements(set);
    original_dealloc(set);
    Py_XDECREF(held);
    Py_TRASHCAN_END
}

static int set_tp_clear(PyObject *set)
{
    PyObject *held = held_elements(set);
    int result = original_tp_clear(set);
    Py_XDECREF(held);
    return result;
}

static PyObject *after(PyObject *held, PyObject *result)
{
    Py_XDECREF(held);
    return result;
}

static PyObject *set_clear(PyObject *set, PyObject *ignored)
{
    PyObject *held = held_elements(set);
    return after(held, original_clear(set, ignored));
}

static PyObject *set_difference_update(PyObject *set, PyObject *others)
{
    int by_sets = 0; /* others take elements away in their own order */
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(others); i++)
        by_sets |= PyAnySet_Check(PyTuple_GET_ITEM(others, i));
    PyObject *held = by_sets ? held_elements(set) : NULL;
    return after(held, original_difference_update(set, others));
}

static PyObject *set_symmetric_update(PyObject *set, PyObject *other)
{
    PyObject *held = PyDict_CheckExact(other) ? NULL : held_elements(set);
    return after(held, original_symmetric_update(set, other));
}

static PyObject *set_subtract(PyObject *set, PyObject *other)
{
    PyObject *held = PyAnySet_Check(set) ? held_elements(set) : NULL;
    return after(held, original_subtract(set, other));
}

static PyObject *set_xor(PyObject *set, PyObject *other)
{
    PyObject *held = PyAnySet_Check(set) ? held_elements(set) : NULL;
    return after(held, original_xor(set, other));
}

static int watch_method(const char *name, PyCFunction watched, PyCFunction *original)
{
    PyMethodDef *method = method_of(&PySet_Type, name);
    if (!method)
        return -1;
    *original = method->ml_meth;
    method->ml_meth = watched;
    return 0;
}

static int watch_operator(const char *name, binaryfunc *slot, binaryfunc watched,
                          binaryfunc *original)
{
    PyWrapperDescrObject *wrapper = wrapper_of(&PySet_Type, name);
    if (!wrapper)
        return -1;
    *original = *slot;
    *slot = watched;
    wrapper->d_wrapped = (void *)watched;
    return 0;
}

int watch_endings(void)
{
    PyNumberMethods *operators = PySet_Type.tp_as_number;
    original_dealloc = PySet_Type.tp_dealloc;
    original_tp_clear = PySet_Type.tp_clear;
    if (PyFrozenSet_Type.tp_dealloc != original_dealloc ||
        PyFrozenSet_Type.tp_clear != original_tp_clear)
        return -1;
    PySet_Type.tp_dealloc = PyFrozenSet_Type.tp_dealloc = set_dealloc;
    PySet_Type.tp_clear = PyFrozenSet_Type.tp_clear = set_tp_clear;
    return watch_method("clear", set_clear, &original_clear) ||
                   watch_method("difference_update", set_difference_update,
                                &original_difference_update) ||
                   watch_method("symmetric_difference_update", set_symmetric_update,
                                &original_symmetric_update) ||
                   watch_operator("__isub__", &operators->nb_inplace_subtract, set_subtract,
                                  &original_subtract) ||
                   watch_operator("__ixor__", &operators->nb_inplace_xor, set_xor, &original_xor)
               ? -1
               : 0;
}
