/* What makes the zygote's memory cheaper to share with its children. */
#include "core.h"

/* ---- the interpreter's text in huge pages ------------------------------------------------------ */

struct text_range {
    uintptr_t inside, low, high;
};

static int find_text(struct dl_phdr_info *info, size_t size, void *opaque)
{
    struct text_range *range = opaque;
    uintptr_t low = UINTPTR_MAX, high = 0;
    int found = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type != PT_LOAD || (header->p_flags & PF_W))
            continue;
        uintptr_t start = info->dlpi_addr + header->p_vaddr;
        uintptr_t end = start + header->p_memsz;
        low = start < low ? start : low;
        high = end > high ? end : high;
        found |= range->inside >= start && range->inside < end;
    }
    if (!found)
        return 0;
    range->low = low;
    range->high = high;
    return 1;
}

/* huge_text() -> bool: move the interpreter's code and constants to private huge pages, so that a
 * fork copies a few page-table entries and the child takes no file faults. */
PyObject *huge_text(PyObject *module, PyObject *ignored)
{
    const uintptr_t huge = (uintptr_t)2 << 20;
    struct text_range range = {(uintptr_t)&PyEval_EvalCode, 0, 0};
    if (!dl_iterate_phdr(find_text, &range))
        Py_RETURN_FALSE;
    uintptr_t low = (range.low + huge - 1) & ~(huge - 1), high = range.high & ~(huge - 1);
    if (low >= high)
        Py_RETURN_FALSE;
    size_t size = high - low;
    char *raw = mmap(NULL, size + huge, PROT_READ | PROT_WRITE | PROT_EXEC,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        Py_RETURN_FALSE;
    char *copy = (char *)(((uintptr_t)raw + huge - 1) & ~(huge - 1));
    if (madvise(copy, size, MADV_HUGEPAGE) != 0) {
        munmap(raw, size + huge);
        Py_RETURN_FALSE;
    }
    memcpy(copy, (void *)low, size);
    mprotect(copy, size, PROT_READ | PROT_EXEC);
    if (copy > raw)
        munmap(raw, (size_t)(copy - raw));
    munmap(copy + size, (size_t)(raw + huge - copy));
    void *moved = mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)low);
    return PyBool_FromLong(moved == (void *)low);
}

/* ---- objects that nobody counts --------------------------------------------------------------- */

static int make_immortal(PyObject *object, void *ignored)
{
    object->ob_refcnt = _Py_IMMORTAL_REFCNT;
    return 0;
}

static int make_reachable_immortal(PyObject *object, void *ignored)
{
    object->ob_refcnt = _Py_IMMORTAL_REFCNT;
    if (Py_TYPE(object)->tp_traverse)
        Py_TYPE(object)->tp_traverse(object, make_immortal, NULL);
    return 1;
}

/* immortalize(): stop counting references to all objects there are. They live as long as the zygote
 * does anyway; uncounted, a child that only looks at one does not write to, and so copy, its page. */
PyObject *immortalize(PyObject *module, PyObject *ignored)
{
    PyUnstable_GC_VisitObjects(make_reachable_immortal, NULL);
    Py_RETURN_NONE;
}
