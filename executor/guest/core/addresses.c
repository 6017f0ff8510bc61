/* Addresses, where a program gets them as numbers or text; and extension modules that do without the
 * functions that are watched. */
#include "core.h"

#define SHOWN_BITS 0xFFFFFFFFF0u /* not the highest: an address keeps its length */

static PyObject *thread_number; /* there is one thread */

static uintptr_t shown(void *address)
{
    uintptr_t bits = (uintptr_t)address;
    seen |= SAW_IDENTITY;
    if (order_shown == ROTATED)
        bits += 16;
    if (order_shown == REVERSED)
        bits ^= SHOWN_BITS;
    if (order_shown == SHUFFLED)
        bits ^= mixed(shuffle_key + 3) & SHOWN_BITS;
    return bits;
}

PyObject *noted_address(void *address)
{
    return PyLong_FromVoidPtr((void *)shown(address));
}

static PyObject *builtin_id(PyObject *module, PyObject *value)
{
    return PyLong_FromVoidPtr((void *)shown(value));
}

static PyObject *get_ident(PyObject *module, PyObject *ignored) { return Py_NewRef(thread_number); }

static int print(char *text, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int size = vsprintf(text, format, values);
    va_end(values);
    return size;
}

/* The interpreter prints addresses, in the text of a function or an object, with this and "%p". */
static int watched_print(char *text, const char *format, va_list values)
{
    if (!watching || strcmp(format, "%p") != 0)
        return vsprintf(text, format, values);
    return print(text, "%p", (void *)shown(va_arg(values, void *)));
}

#undef sprintf
__attribute__((visibility("default"))) int sprintf(char *restrict text,
                                                   const char *restrict format, ...)
{
    va_list values;
    va_start(values, format);
    int size = watched_print(text, format, values);
    va_end(values);
    return size;
}

__attribute__((visibility("default"))) int __sprintf_chk(char *text, int flag, size_t room,
                                                         const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int size = watched_print(text, format, values);
    va_end(values);
    return size;
}

/* ---- extension modules ------------------------------------------------------------------------ */

struct replacement {
    const char *module; /* part of its file's name */
    const char *symbol;
    void *function;
};

static const struct replacement replacements[] = {
    {"", "_PySet_NextEntry", (void *)next_entry},
    {"/_random.", "PyObject_Hash", (void *)noted_seed},
    {"/array.", "PyLong_FromVoidPtr", (void *)noted_address},
};

/* Put a function into a slot of a module's table of imported functions. */
static void replace(void **slot, void *function)
{
    uintptr_t page = (uintptr_t)slot & ~(uintptr_t)4095;
    if (*slot == function)
        return;
    mprotect((void *)page, 4096, PROT_READ | PROT_WRITE);
    *slot = function;
}

static void replace_imports(const struct link_map *map)
{
    const ElfW(Rela) *tables[2] = {NULL, NULL};
    size_t sizes[2] = {0, 0};
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_JMPREL)
            tables[0] = (const ElfW(Rela) *)entry->d_un.d_ptr;
        else if (entry->d_tag == DT_PLTRELSZ)
            sizes[0] = entry->d_un.d_val / sizeof(ElfW(Rela));
        else if (entry->d_tag == DT_RELA)
            tables[1] = (const ElfW(Rela) *)entry->d_un.d_ptr;
        else if (entry->d_tag == DT_RELASZ)
            sizes[1] = entry->d_un.d_val / sizeof(ElfW(Rela));
        else if (entry->d_tag == DT_SYMTAB)
            symbols = (const ElfW(Sym) *)entry->d_un.d_ptr;
        else if (entry->d_tag == DT_STRTAB)
            names = (const char *)entry->d_un.d_ptr;
    }
    for (int table = 0; symbols && names && table < 2; table++)
        for (size_t i = 0; tables[table] && i < sizes[table]; i++) {
            const ElfW(Rela) *one = &tables[table][i];
            const char *name = names + symbols[ELF64_R_SYM(one->r_info)].st_name;
            for (size_t r = 0; r < sizeof replacements / sizeof *replacements; r++)
                if (strcmp(name, replacements[r].symbol) == 0 &&
                    strstr(map->l_name, replacements[r].module))
                    replace((void **)(map->l_addr + one->r_offset), replacements[r].function);
        }
}

static void *load(const char *file, int flags)
{
    static void *(*next)(const char *, int);
    if (!next)
        next = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
    return next(file, flags);
}

__attribute__((visibility("default"))) void *dlopen(const char *file, int flags)
{
    if (!watching || !file)
        return load(file, flags);
    void *library = load(file, (flags & ~RTLD_LAZY) | RTLD_NOW);
    struct link_map *map = NULL;
    if (library && dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 && map && map->l_name)
        replace_imports(map);
    return library;
}

static void replace_in_loaded(void)
{
    struct link_map *map = NULL;
    Dl_info own;
    void *program = load(NULL, RTLD_NOW);
    if (!program || !dladdr((void *)replace_in_loaded, &own) ||
        dlinfo(program, RTLD_DI_LINKMAP, &map) != 0)
        return;
    for (; map; map = map->l_next)
        if (map->l_addr != (ElfW(Addr))own.dli_fbase && strstr(map->l_name, ".cpython-"))
            replace_imports(map);
}

int watch_addresses(void)
{
    PyMethodDef *id = function_of("builtins", "id");
    PyMethodDef *ident = function_of("_thread", "get_ident");
    PyMethodDef *native = function_of("_thread", "get_native_id");
    thread_number = PyLong_FromLong(1);
    if (!id || !ident || !native || !thread_number)
        return -1;
    id->ml_meth = builtin_id;
    ident->ml_meth = native->ml_meth = get_ident;
    replace_in_loaded();
    return 0;
}
