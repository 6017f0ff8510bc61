/* The order of sets and of other tables that are sorted by hash. */
#include "core.h"

static getiterfunc original_set_iter;
static PyCFunction original_pop;
static _PyCFunctionFast original_fromkeys;
static PyCFunction original_referents;
static getiterfunc original_context_iter;
static PyCFunction original_context_views[3];

#define MANY_SEEDED 64 /* more are not looked at: of these alone no two seeds have the same order */

/* Whether the order of a set depends on the process: two elements, one with a random hash. If it is
 * sorted by addresses, it differs between two guests of a variant too: that is for more runs. */
int order_is_random(PyObject *set)
{
    PyObject *value;
    Py_hash_t hash;
    Py_ssize_t position = 0;
    if (PySet_GET_SIZE(set) < 2)
        return 0;
    int random = 0;
    while (_PySet_NextEntry(set, &position, &value, &hash)) {
        if (hash_is_fixed(value))
            continue;
        if (hash_is_seeded(value) && random++ < MANY_SEEDED)
            continue;
        if (random > MANY_SEEDED)
            break;
        random = 1;
        seen |= SAW_IDENTITY;
        break;
    }
    return random;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The place of the element that is shown at place `index` of `count`: the same each time in a run. */
Py_ssize_t place_shown(Py_ssize_t index, Py_ssize_t count)
{
    if (order_shown == ROTATED)
        return (index + 1) % count;
    if (order_shown == REVERSED)
        return count - 1 - index;
    if (order_shown != SHUFFLED)
        return index;
    uint64_t length = (uint64_t)count, step = 1 + mixed(shuffle_key) % length;
    while (common_divisor(step, length) != 1) /* else some places would come twice */
        step++;
    return (Py_ssize_t)((mixed(shuffle_key + 1) % length + step % length * (uint64_t)index) % length);
}

/* An iterator over what another one gives, in the order that is shown. Takes the other one over. */
static PyObject *shown(PyObject *plain)
{
    seen |= SAW_HASH_ORDER;
    if (order_shown == NATURAL || !plain)
        return plain;
    PyObject *found = PySequence_Tuple(plain);
    Py_DECREF(plain);
    PyObject *order = found ? PyList_New(PyTuple_GET_SIZE(found)) : NULL;
    Py_ssize_t count = order ? PyTuple_GET_SIZE(found) : 0;
    for (Py_ssize_t i = 0; i < count; i++)
        PyList_SET_ITEM(order, i,
                        Py_NewRef(PyTuple_GET_ITEM(found, place_shown(i, count))));
    Py_XDECREF(found);
    PyObject *iterator = order ? PyObject_GetIter(order) : NULL;
    Py_XDECREF(order);
    return iterator;
}

static PyObject *set_iter(PyObject *set)
{
    PyObject *plain = original_set_iter(set);
    return order_is_random(set) ? shown(plain) : plain;
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
    Py_ssize_t position = 0, wanted = place_shown(0, PySet_GET_SIZE(set));
    do
        _PySet_NextEntry(set, &position, &value, &hash);
    while (wanted--);
    Py_INCREF(value);
    if (PySet_Discard(set, value) < 0)
        Py_CLEAR(value);
    return value;
}

#define MANY_ELEMENTS 4096 /* two hash seeds never agree on their order */

/* For extension modules that read the table of a set themselves: _pickle does. */
int next_entry(PyObject *set, Py_ssize_t *position, PyObject **value, Py_hash_t *hash)
{
    if (!order_is_random(set))
        return _PySet_NextEntry(set, position, value, hash);
    seen |= SAW_HASH_ORDER;
    Py_ssize_t count = PySet_GET_SIZE(set), place = 0;
    if (order_shown == NATURAL || count > MANY_ELEMENTS)
        return _PySet_NextEntry(set, position, value, hash);
    if (*position >= count)
        return 0;
    Py_ssize_t wanted = place_shown((*position)++, count);
    do
        if (!_PySet_NextEntry(set, &place, value, hash))
            return 0;
    while (wanted--);
    return 1;
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

/* gc.get_referents() walks the tables of sets as the collector does. */
static PyObject *referents(PyObject *module, PyObject *args)
{
    PyObject *lists = PyTuple_New(PyTuple_GET_SIZE(args));
    for (Py_ssize_t i = 0; lists && i < PyTuple_GET_SIZE(args); i++) {
        PyObject *one = PyTuple_GET_ITEM(args, i), *elements = Py_NewRef(one);
        if (PyAnySet_Check(one)) {
            PyObject *iterator = set_iter(one);
            Py_SETREF(elements, iterator ? PySequence_List(iterator) : NULL);
            Py_XDECREF(iterator);
        }
        if (!elements)
            Py_CLEAR(lists);
        else
            PyTuple_SET_ITEM(lists, i, elements);
    }
    PyObject *found = lists ? original_referents(module, lists) : NULL;
    Py_XDECREF(lists);
    return found;
}

/* A context sorts its variables by their hashes, which come from addresses. */
static PyObject *context_iter(PyObject *context)
{
    PyObject *plain = original_context_iter(context);
    return plain && PyObject_Length(context) > 1 ? shown(plain) : plain;
}

static PyObject *context_view(PyObject *context, PyCFunction original)
{
    PyObject *plain = original(context, NULL);
    return plain && PyObject_Length(context) > 1 ? shown(plain) : plain;
}

static PyObject *context_keys(PyObject *context, PyObject *ignored)
{
    return context_view(context, original_context_views[0]);
}

static PyObject *context_values(PyObject *context, PyObject *ignored)
{
    return context_view(context, original_context_views[1]);
}

static PyObject *context_items(PyObject *context, PyObject *ignored)
{
    return context_view(context, original_context_views[2]);
}

static int watch_contexts(void)
{
    static const char *names[3] = {"keys", "values", "items"};
    static const PyCFunction watched[3] = {context_keys, context_values, context_items};
    PyWrapperDescrObject *iter = wrapper_of(&PyContext_Type, "__iter__");
    if (!iter)
        return -1;
    original_context_iter = PyContext_Type.tp_iter;
    PyContext_Type.tp_iter = context_iter;
    iter->d_wrapped = (void *)context_iter;
    for (int i = 0; i < 3; i++) {
        PyMethodDef *view = method_of(&PyContext_Type, names[i]);
        if (!view)
            return -1;
        original_context_views[i] = view->ml_meth;
        view->ml_meth = watched[i];
    }
    return 0;
}

/* Put the watched iterator into a type and all that are derived from it so far. Later ones take it
 * from the wrapper `__iter__`. */
static int watch_iterators(PyTypeObject *type)
{
    if (type->tp_iter == original_set_iter)
        type->tp_iter = set_iter;
    PyObject *derived = PyObject_CallMethod((PyObject *)&PyType_Type, "__subclasses__", "O", type);
    if (!derived)
        return -1;
    int failed = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(derived) && !failed; i++)
        failed = watch_iterators((PyTypeObject *)PyList_GET_ITEM(derived, i));
    Py_DECREF(derived);
    return failed;
}

int watch_order(void)
{
    PyMethodDef *pop = method_of(&PySet_Type, "pop");
    PyMethodDef *fromkeys = method_of(&PyDict_Type, "fromkeys");
    PyMethodDef *walk = function_of("gc", "get_referents");
    PyWrapperDescrObject *iters[2] = {wrapper_of(&PySet_Type, "__iter__"),
                                      wrapper_of(&PyFrozenSet_Type, "__iter__")};
    if (!pop || !fromkeys || !walk || !iters[0] || !iters[1])
        return -1;
    original_set_iter = PySet_Type.tp_iter;
    for (int i = 0; i < 2; i++)
        iters[i]->d_wrapped = (void *)set_iter;
    if (watch_iterators(&PySet_Type) < 0 || watch_iterators(&PyFrozenSet_Type) < 0)
        return -1;
    original_pop = pop->ml_meth;
    pop->ml_meth = set_pop;
    original_fromkeys = (_PyCFunctionFast)(void (*)(void))fromkeys->ml_meth;
    fromkeys->ml_meth = (PyCFunction)(void (*)(void))dict_fromkeys;
    original_referents = walk->ml_meth;
    walk->ml_meth = referents;
    return watch_contexts();
}
