/* The module as Python sees it. */
#include "core.h"

static PyMethodDef methods[] = {
    {"prepare", prepare, METH_NOARGS, "Open what the children will need."},
    {"huge_text", huge_text, METH_NOARGS, "Move the interpreter's text to huge pages."},
    {"address_space", address_space, METH_NOARGS, "Bytes of address space in use."},
    {"immortalize", immortalize, METH_NOARGS, "Stop counting references to what there is."},
    {"watch_sources", watch_sources, METH_O, "Note from now on what differs between processes."},
    {"show_order", show_order, METH_O, "show_order(order): begin a run."},
    {"sources_seen", sources_seen, METH_NOARGS,
     "Bits: 1 hash order, 2 entropy, 4 clock, 16 identity; 8 tampering; 32 refusals."},
    {"count_frames", count_frames, METH_O, "Let so many frames be below what the caller calls."},
    {"fill_arrays", fill_arrays, METH_VARARGS, "Fill what numpy allocates from now on."},
    {"watch_refusals", watch_refusals, METH_NOARGS, "Note from now on what the filter refuses."},
    {"refused", refused, METH_NOARGS, "The number and the line of the call that was refused."},
    {"watch_names", watch_names, METH_O, "Note from now on that a name of these was changed."},
    {"lock", lock_down, METH_VARARGS, "lock(filter, patches): install the filter."},
    {"confine", confine, METH_O, "confine(filter): install a filter in this process."},
    {"take_proc", take_proc, METH_O, "Keep a procfs that nobody sees; drop all capabilities."},
    {"inherit_proc", inherit_proc, METH_O, "Keep a procfs that was opened already."},
    {"prepare_slots", prepare_slots, METH_NOARGS, "Map what slots will need."},
    {"use_slots", use_slots, METH_VARARGS, "use_slots(filter, audit, costs): from now on."},
    {"try_slots", try_slots, METH_O, "Try whether a slot can be put back here."},
    {"serve", serve, METH_O, "serve(base): answer jobs; returns in the children."},
    {"prepare_scripts", prepare_scripts, METH_O, "Make the file that scripts are run from."},
    {"serve_scripts", serve_scripts, METH_VARARGS, "Answer scripts; returns never."},
    {"emit", emit, METH_O, "emit(data): send the child's result and end the child."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_core", "Accelerator of the zygote.", -1, methods,
};

PyMODINIT_FUNC PyInit__core(void) { return PyModule_Create(&definition); }
