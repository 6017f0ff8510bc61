/* Sources of nondeterminism, and tampering.
 * Two runs with different hash seeds still agree by chance: a set of two strings has two orders. So
 * the interpreter notes when a program could have seen such an order, and can show it other ones:
 * rotated by one, every element stands elsewhere; reversed, every two elements change sides. Notes:
 * bits of `seen`. */
#include "core.h"

enum { NATURAL, ROTATED, REVERSED };

unsigned seen;
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
PyObject *watch_order(PyObject *module, PyObject *ignored)
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
PyObject *watch_names(PyObject *module, PyObject *namespaces)
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
PyObject *show_order(PyObject *module, PyObject *order)
{
    order_shown = (int)PyLong_AsLong(order);
    seen &= SAW_TAMPERING;
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

PyObject *sources_seen(PyObject *module, PyObject *ignored)
{
    return PyLong_FromUnsignedLong(seen);
}
