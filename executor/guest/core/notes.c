/* Notes on what a run has used that may differ from process to process, and on tampering.
 * Two runs in different processes still agree by chance: a set of two strings has two orders, a
 * hash has one of two parities. So the interpreter notes the use of such a source (bits of `seen`),
 * and can show it otherwise than it is:
 *
 *            sets                  hashes, addresses    clocks
 *   ROTATED  one element further   a little larger      75 years and half a second on 
 *   REVERSED backwards             all bits flipped     39 years back, a quarter of a second on
 *   SHUFFLED at random             random bits flipped  at random
 *
 * Rotated, every element stands elsewhere and every remainder is another one; reversed, every two
 * elements change sides and every single bit is another one. SHUFFLED is for functions that were
 * made to agree in all that is fixed. */
#include "core.h"

unsigned seen;
int watching;
int order_shown = NATURAL;
uint64_t shuffle_key;

uint64_t mixed(uint64_t number)
{
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9u;
    number = (number ^ (number >> 27)) * 0x94D049BB133111EBu;
    return number ^ (number >> 31);
}

PyMethodDef *method_of(PyTypeObject *type, const char *name)
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

PyMethodDef *function_of(const char *module, const char *name)
{
    PyMethodDef *method = NULL;
    PyObject *loaded = PyImport_ImportModule(module);
    PyObject *found = loaded ? PyObject_GetAttrString(loaded, name) : NULL;
    if (found && PyCFunction_CheckExact(found))
        method = ((PyCFunctionObject *)found)->m_ml;
    PyErr_Clear();
    Py_XDECREF(found);
    Py_XDECREF(loaded);
    return method;
}

PyWrapperDescrObject *wrapper_of(PyTypeObject *type, const char *name)
{
    PyObject *dict = PyType_GetDict(type);
    PyObject *found = dict ? PyDict_GetItemString(dict, name) : NULL;
    Py_XDECREF(dict);
    return found && Py_IS_TYPE(found, &PyWrapperDescr_Type) ? (PyWrapperDescrObject *)found : NULL;
}

/* watch_sources(quiet): from now on note what a run uses, and show it as show_order() says. What
 * functions with these code objects hash goes no further than the tables of their own module. */
PyObject *watch_sources(PyObject *module, PyObject *quiet)
{
    if (watching || !PyTuple_CheckExact(quiet))
        Py_RETURN_FALSE;
    if (watch_order() < 0 || watch_endings() < 0 || watch_hashes(quiet) < 0 ||
        watch_addresses() < 0 || watch_own() < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_SystemError, "the interpreter is not as the core knows it");
        return NULL;
    }
    watch_host();
    watching = 1;
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

/* show_order(order): start a run with no notes on sources, shown them in one of the four ways. */
PyObject *show_order(PyObject *module, PyObject *order)
{
    order_shown = (int)PyLong_AsLong(order);
    if (PyErr_Occurred())
        return NULL;
    if (order_shown == SHUFFLED && !shuffle_key)
        syscall(SYS_getrandom, &shuffle_key, sizeof shuffle_key, 0);
    shift_clocks();
    seen &= SAW_TAMPERING | SAW_REFUSAL;
    Py_RETURN_NONE;
}

PyObject *sources_seen(PyObject *module, PyObject *ignored)
{
    return PyLong_FromUnsignedLong(seen);
}
