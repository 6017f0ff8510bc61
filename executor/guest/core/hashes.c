/* Hashes that differ from process to process, where a program gets them as numbers. */
#include "core.h"

#define MAX_DEPTH 32
#define MAX_PARTS 4096

static PyCFunction original_hash;
static ternaryfunc original_descriptor_call, original_wrapper_call;
static wrapperfunc hash_wrapper;
static hashfunc hash_in_python;
static PyObject *quiet_code;
static int seeds_count_as_fixed;

/* What a method-wrapper consists of (Objects/descrobject.c). */
typedef struct {
    PyObject_HEAD
    PyWrapperDescrObject *descr;
    PyObject *self;
} method_wrapper;

static int part_is_fixed(hashfunc function, PyObject *value, int depth, int *parts);

static int parts_are_fixed(PyObject *container, int depth, int *parts)
{
    PyObject *part;
    Py_hash_t hash;
    Py_ssize_t position = 0;
    if (PyTuple_Check(container)) {
        for (; position < PyTuple_GET_SIZE(container); position++) {
            part = PyTuple_GET_ITEM(container, position);
            if (!part_is_fixed(Py_TYPE(part)->tp_hash, part, depth + 1, parts))
                return 0;
        }
        return 1;
    }
    while (_PySet_NextEntry(container, &position, &part, &hash))
        if (!part_is_fixed(Py_TYPE(part)->tp_hash, part, depth + 1, parts))
            return 0;
    return 1;
}

static int is_number(PyObject *value) /* a NaN is not equal to itself, and hashes by its address */
{
    PyObject *equal = PyObject_RichCompare(value, value, Py_EQ);
    PyErr_Clear();
    Py_XDECREF(equal);
    return equal == Py_True;
}

/* No program can make a static type. */
static int is_static(PyTypeObject *type, const char *name)
{
    return !(type->tp_flags & Py_TPFLAGS_HEAPTYPE) && strcmp(type->tp_name, name) == 0;
}

/* Whether this function gives this value the same hash in every process. Of what is hashed in Python
 * that is so as long as no other hash went into it: that would have been noted. */
static int part_is_fixed(hashfunc function, PyObject *value, int depth, int *parts)
{
    if (depth > MAX_DEPTH || ++*parts > MAX_PARTS)
        return 0;
    if (function == PyLong_Type.tp_hash || function == Py_TYPE(Py_None)->tp_hash ||
        function == PyRange_Type.tp_hash)
        return 1;
    if (function == PyFloat_Type.tp_hash)
        return PyFloat_Check(value) && !isnan(PyFloat_AS_DOUBLE(value));
    if (function == PyComplex_Type.tp_hash)
        return PyComplex_Check(value) && !isnan(PyComplex_RealAsDouble(value)) &&
               !isnan(PyComplex_ImagAsDouble(value));
    if ((function == PyTuple_Type.tp_hash && PyTuple_Check(value)) ||
        (function == PyFrozenSet_Type.tp_hash && PyAnySet_Check(value)))
        return parts_are_fixed(value, depth, parts);
    if (function == hash_in_python)
        return !(seen & SAW_IDENTITY);
    if (function == PyUnicode_Type.tp_hash || function == PyBytes_Type.tp_hash)
        return seeds_count_as_fixed;
    return function == Py_TYPE(value)->tp_hash &&
           ((is_static(Py_TYPE(value), "decimal.Decimal") && is_number(value)) ||
            is_static(Py_TYPE(value), "datetime.timedelta"));
}

/* Whether a value has the same hash in every process. */
int hash_is_fixed(PyObject *value)
{
    int parts = 0;
    return part_is_fixed(Py_TYPE(value)->tp_hash, value, 0, &parts);
}

/* Whether a value has the same hash in every process with the same hash seed. */
int hash_is_seeded(PyObject *value)
{
    seeds_count_as_fixed = 1;
    int fixed = hash_is_fixed(value);
    seeds_count_as_fixed = 0;
    return fixed;
}

static Py_hash_t shown(Py_hash_t hash)
{
    uint64_t bits = (uint64_t)hash;
    if (order_shown == ROTATED)
        bits += 1;
    if (order_shown == REVERSED)
        bits = ~bits;
    if (order_shown == SHUFFLED)
        bits ^= mixed(shuffle_key + 2);
    return (Py_hash_t)bits == -1 ? -2 : (Py_hash_t)bits;
}

static int is_quiet(PyCodeObject *code)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(quiet_code); i++)
        if (PyTuple_GET_ITEM(quiet_code, i) == (PyObject *)code)
            return 1;
    return 0;
}

/* Whether the hash goes no further than the tables of a module of the library: called from there,
 * and on behalf of there. */
static int nobody_looks(void)
{
    PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get());
    int quiet = frame != NULL;
    for (int i = 0; quiet && i < 2; i++) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        quiet = is_quiet(code);
        Py_DECREF(code);
        PyFrameObject *caller = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = caller;
        quiet = quiet && frame;
    }
    Py_XDECREF(frame);
    return quiet;
}

/* What a program is told of the hash that this function gives this value. What is hashed in Python
 * is as Python has it: its parts have been told of. */
static Py_hash_t told(hashfunc function, PyObject *value, Py_hash_t hash)
{
    int parts = 0;
    if (hash == -1 || function == hash_in_python)
        return hash;
    unsigned before = seen;
    seen &= ~SAW_IDENTITY; /* else the same value would have two hashes in a run */
    int fixed = part_is_fixed(function, value, 0, &parts);
    seen |= before;
    if (fixed || nobody_looks())
        return hash;
    seen |= SAW_IDENTITY;
    return shown(hash);
}

static Py_hash_t noted_hash(PyObject *value)
{
    return told(Py_TYPE(value)->tp_hash, value, PyObject_Hash(value));
}

/* For _random, which seeds with hashes: what it makes of one that differs from process to process is
 * as random as what comes from the kernel, so single bits of it agree by chance. */
Py_hash_t noted_seed(PyObject *value)
{
    unsigned before = seen;
    seen &= ~SAW_IDENTITY;
    Py_hash_t hash = noted_hash(value);
    if (seen & SAW_IDENTITY)
        seen |= SAW_ENTROPY;
    seen |= before;
    return hash;
}

static PyObject *builtin_hash(PyObject *module, PyObject *value)
{
    Py_hash_t hash = noted_hash(value);
    return hash == -1 ? NULL : PyLong_FromSsize_t(hash);
}

/* `__hash__` of a type in C, called as a method. */
static PyObject *after_wrapper(PyWrapperDescrObject *descriptor, PyObject *self, PyObject *result)
{
    if (!result || descriptor->d_base->wrapper != hash_wrapper || !PyLong_CheckExact(result))
        return result;
    Py_hash_t hash = PyLong_AsSsize_t(result);
    Py_hash_t visible = told((hashfunc)descriptor->d_wrapped, self, hash);
    if (visible == hash)
        return result;
    Py_DECREF(result);
    return PyLong_FromSsize_t(visible);
}

static PyObject *descriptor_call(PyObject *descriptor, PyObject *args, PyObject *names)
{
    PyObject *result = original_descriptor_call(descriptor, args, names);
    PyObject *self = PyTuple_GET_SIZE(args) ? PyTuple_GET_ITEM(args, 0) : NULL;
    return after_wrapper((PyWrapperDescrObject *)descriptor, self, result);
}

static PyObject *wrapper_call(PyObject *wrapper, PyObject *args, PyObject *names)
{
    PyObject *result = original_wrapper_call(wrapper, args, names);
    return after_wrapper(((method_wrapper *)wrapper)->descr, ((method_wrapper *)wrapper)->self,
                         result);
}

static int find_hash_in_python(void)
{
    PyObject *names = PyDict_New();
    PyObject *type = NULL;
    if (names && PyDict_SetItemString(names, "__builtins__", PyEval_GetBuiltins()) == 0)
        type = PyRun_String("type('', (), {'__hash__': lambda self: 0})", Py_eval_input, names,
                            names);
    if (type)
        hash_in_python = ((PyTypeObject *)type)->tp_hash;
    Py_XDECREF(type);
    Py_XDECREF(names);
    return type ? 0 : -1;
}

/* The calls of both kinds of wrappers are also reached through their own `__call__`. */
static ternaryfunc watch_call(PyTypeObject *type, ternaryfunc watched)
{
    PyWrapperDescrObject *call = wrapper_of(type, "__call__");
    ternaryfunc original = type->tp_call;
    if (!call)
        return NULL;
    type->tp_call = watched;
    call->d_wrapped = (void *)watched;
    return original;
}

int watch_hashes(PyObject *quiet)
{
    PyMethodDef *hash = function_of("builtins", "hash");
    PyWrapperDescrObject *of_object = wrapper_of(&PyBaseObject_Type, "__hash__");
    if (!hash || !of_object || find_hash_in_python() < 0)
        return -1;
    quiet_code = Py_NewRef(quiet);
    hash_wrapper = of_object->d_base->wrapper;
    original_hash = hash->ml_meth;
    hash->ml_meth = builtin_hash;
    original_descriptor_call = watch_call(&PyWrapperDescr_Type, descriptor_call);
    original_wrapper_call = watch_call(&_PyMethodWrapper_Type, wrapper_call);
    return original_descriptor_call && original_wrapper_call ? 0 : -1;
}
