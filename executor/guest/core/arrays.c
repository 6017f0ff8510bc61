/* Memory of numpy's arrays that nobody has filled, such as numpy.empty's: whatever was there before.
 * It is filled here, in guests of one variant otherwise than in those of the other, so that a value
 * that depends on it is seen to differ. numpy takes an allocator by a capsule (NEP 49); nothing of
 * its headers is needed. */
#include "core.h"

#include <malloc.h>

#define SET_HANDLER 304 /* PyDataMem_SetHandler in numpy's table of functions, since 1.22 */

static struct {
    char name[127];
    uint8_t version;
    struct {
        void *context;
        void *(*allocate)(void *, size_t);
        void *(*allocate_zeros)(void *, size_t, size_t);
        void *(*reallocate)(void *, void *, size_t);
        void (*release)(void *, void *, size_t);
    } allocator;
} handler = {"filled", 1, {NULL, NULL, NULL, NULL, NULL}};

static int filling;

static void fill(void *block, size_t from)
{
    size_t size = malloc_usable_size(block);
    if (size > from)
        memset((char *)block + from, filling, size - from);
}

static void *allocate(void *context, size_t size)
{
    void *block = malloc(size ? size : 1);
    if (block)
        fill(block, 0);
    return block;
}

static void *allocate_zeros(void *context, size_t count, size_t size)
{
    return calloc(count ? count : 1, size ? size : 1);
}

static void *reallocate(void *context, void *block, size_t size)
{
    size_t known = block ? malloc_usable_size(block) : 0;
    void *moved = realloc(block, size ? size : 1);
    if (moved)
        fill(moved, known);
    return moved;
}

static void release(void *context, void *block, size_t size) { free(block); }

/* fill_arrays(table, byte): fill what numpy allocates from now on; table: its _ARRAY_API. */
PyObject *fill_arrays(PyObject *module, PyObject *args)
{
    PyObject *table;
    unsigned char byte;
    if (!PyArg_ParseTuple(args, "O!b", &PyCapsule_Type, &table, &byte))
        return NULL;
    void **functions = PyCapsule_GetPointer(table, NULL);
    if (!functions)
        return NULL;
    filling = byte;
    handler.allocator.allocate = allocate;
    handler.allocator.allocate_zeros = allocate_zeros;
    handler.allocator.reallocate = reallocate;
    handler.allocator.release = release;
    PyObject *capsule = PyCapsule_New(&handler, "mem_handler", NULL);
    if (!capsule)
        return NULL;
    PyObject *before = ((PyObject * (*)(PyObject *)) functions[SET_HANDLER])(capsule);
    Py_DECREF(capsule);
    if (!before)
        return NULL;
    Py_DECREF(before);
    Py_RETURN_NONE;
}
