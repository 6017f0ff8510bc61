/* A slot's memory, seen from its parent: the snapshot, what was written since, and putting it back.
 *
 * Written pages are found by the kernel (scan.c). Pages that nearly every run writes stay unprotected
 * and are put back each time: a protection fault costs more than that.
 *
 * What is read from a slot is only ever compared or passed on. */
#include "slots.h"

#define BATCH 1024u /* parts of one process_vm_writev() */
#define MAX_LAYOUT (1u << 18)

/* A page written in a quarter of the first runs is hot. */
#define TRAINING_RUNS 48u
#define HOT_SHARE 4u
/* So many ranges are cheaper to protect one by one than by another walk. */
#define FEW_RANGES 96u

struct range {
    uintptr_t start, end;
};

static struct range *cold;
static char *text; /* of /proc/PID/maps */

/* Memory that forks do not get. */
void *own_memory(size_t size)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, size, MADV_DONTFORK);
    return memory;
}

int prepare_memory(void)
{
    cold = own_memory(MAX_RANGES * sizeof *cold);
    text = own_memory(MAX_LAYOUT);
    return cold && text && prepare_scans() == 0 ? 0 : -1;
}

/* ---- moving bytes ------------------------------------------------------------------------------ */

struct transfer {
    struct slot *slot;
    size_t count, bytes;
};

static int flush(struct transfer *t)
{
    if (!t->count)
        return 0;
    long moved = move_memory(SYS_process_vm_writev, t->slot->pid, t->count, t->count);
    int failed = moved != (long)t->bytes;
    t->count = t->bytes = 0;
    return failed ? -1 : 0;
}

static int add(struct transfer *t, uintptr_t to, unsigned char *from, size_t size)
{
    vectors[t->count] = (struct iovec){from, size};
    vectors[BATCH + t->count++] = (struct iovec){(void *)to, size};
    t->bytes += size;
    return t->count == BATCH ? flush(t) : 0;
}

int peek(struct slot *s, void *to, uintptr_t from, size_t size)
{
    vectors[0] = (struct iovec){to, size};
    vectors[BATCH] = (struct iovec){(void *)from, size};
    return move_memory(SYS_process_vm_readv, s->pid, 1, 1) == (long)size ? 0 : -1;
}

/* Write the parts one after another. */
int poke(struct slot *s, uintptr_t to, const struct iovec *parts, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        vectors[i] = parts[i];
        size += parts[i].iov_len;
    }
    vectors[BATCH] = (struct iovec){(void *)to, size};
    return move_memory(SYS_process_vm_writev, s->pid, count, 1) == (long)size ? 0 : -1;
}

/* ---- the snapshot ------------------------------------------------------------------------------ */

static size_t read_layout(struct slot *s)
{
    size_t used = 0;
    lseek(s->maps, 0, SEEK_SET);
    for (;;) {
        ssize_t got = read(s->maps, text + used, MAX_LAYOUT - used - 1);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    text[used] = 0;
    return used;
}

static int copy_present(struct slot *s, struct area *a)
{
    long found = scan_present(s, a->start, a->end);
    for (long i = 0; i < found; i++) {
        size_t offset = regions[i].start - a->start, size = regions[i].end - regions[i].start;
        if (peek(s, a->copy + offset, regions[i].start, size) != 0)
            return -1;
        memset(a->pages + offset / PAGE, WAS_PRESENT, size / PAGE);
        costs.copied_kib += size / 1024;
    }
    return found < 0 ? -1 : 0;
}

/* Pages of a file's private mapping that nobody has written are the file's: make them the slot's. */
static int copy_of_file(struct slot *s, struct area *a)
{
    const size_t size = a->end - a->start;
    const struct iovec whole = {a->copy, size};
    memset(a->pages, WAS_PRESENT, size / PAGE);
    costs.copied_kib += size / 1024;
    return peek(s, a->copy, a->start, size) == 0 && poke(s, a->start, &whole, 1) == 0 ? 0 : -1;
}

/* The slots of a zygote are alike: what one has learnt about hot pages serves the next. */
static void learn_from(struct slot *s, const struct slot *like)
{
    if (!like || like->trained < TRAINING_RUNS || like->area_count != s->area_count)
        return;
    for (size_t i = 0; i < s->area_count; i++)
        if (s->areas[i].start != like->areas[i].start || s->areas[i].end != like->areas[i].end)
            return;
    for (size_t i = 0; i < s->area_count; i++)
        for (size_t p = 0; p < (s->areas[i].end - s->areas[i].start) / PAGE; p++)
            s->areas[i].pages[p] |= like->areas[i].pages[p] & HOT;
    s->trained = like->trained;
}

static int add_area(struct slot *s, uintptr_t start, uintptr_t end, int of_file)
{
    const size_t size = end - start;
    if (s->area_count == MAX_AREAS)
        return -1;
    struct area *a = &s->areas[s->area_count++];
    *a = (struct area){start, end, own_memory(size), own_memory(size / PAGE)};
    if (!a->copy || !a->pages || watch_range(s, start, end) != 0)
        return -1;
    return of_file ? copy_of_file(s, a) : copy_present(s, a);
}

/* The stack has been grown to its limit: it must not grow any more, since no call shows that. */
static int fix_stack(struct slot *s, size_t size)
{
    const struct rlimit both = {size, size};
    return (int)privileged(SYS_prlimit64, s->pid, RLIMIT_STACK, (long)&both, 0, 0);
}

static int add_areas(struct slot *s)
{
    unsigned long start, end;
    char rights[5];
    for (const char *line = s->layout; *line;) {
        int skip = 0;
        if (sscanf(line, "%lx-%lx %4s %*s %*s %*s%n", &start, &end, rights, &skip) < 3)
            return -1;
        const char *name = line + skip + strspn(line + skip, " ");
        if (rights[1] == 'w') {
            if (rights[2] == 'x' || rights[3] != 'p' || add_area(s, start, end, *name == '/') != 0)
                return -1;
            if (strncmp(name, "[stack]", 7) == 0 && fix_stack(s, end - start) != 0)
                return -1;
        }
        const char *next = strchr(line, '\n');
        line = next ? next + 1 : "";
    }
    return s->area_count ? 0 : -1;
}

static long xstate(struct slot *s, long request, unsigned char *data, size_t *size)
{
    struct iovec x = {data, *size};
    long failed = privileged(SYS_ptrace, request, s->pid, NT_X86_XSTATE, (long)&x, 0);
    *size = x.iov_len;
    return failed;
}

int take_snapshot(struct slot *s, const struct slot *like)
{
    s->layout_size = read_layout(s);
    s->layout_capacity = (s->layout_size + PAGE) & ~(PAGE - 1);
    s->layout = own_memory(s->layout_capacity);
    if (!s->layout)
        return -1;
    memcpy(s->layout, text, s->layout_size + 1);
    if (add_areas(s) != 0)
        return -1;
    learn_from(s, like);
    s->xstate_size = sizeof s->xstate;
    if (privileged(SYS_ptrace, PTRACE_GETREGS, s->pid, 0, (long)&s->registers, 0) != 0 ||
        xstate(s, PTRACE_GETREGSET, s->xstate, &s->xstate_size) != 0)
        return -1;
    s->registers.orig_rax = ~0ull; /* no system call to make or to restart, wherever it is stopped */
    return scan_all(s, 1) < 0 ? -1 : prepare_quick_scans(s);
}

void forget_snapshot(struct slot *s)
{
    for (size_t i = 0; i < s->area_count; i++) {
        const size_t size = s->areas[i].end - s->areas[i].start;
        if (s->areas[i].copy)
            munmap(s->areas[i].copy, size);
        if (s->areas[i].pages)
            munmap(s->areas[i].pages, size / PAGE);
    }
    if (s->layout)
        munmap(s->layout, s->layout_capacity);
}

/* ---- putting it back --------------------------------------------------------------------------- */

static size_t note_page(struct slot *s, unsigned char *page, uintptr_t at, size_t colds)
{
    if (!(*page & WAS_PRESENT)) {
        s->new_pages++;
        *page |= WAS_PRESENT; /* it stays, as zeros */
        s->extra_pages++;
    }
    if (s->trained < TRAINING_RUNS)
        *page += 1 << COUNT_SHIFT;
    if (*page & HOT)
        return colds;
    if (colds && cold[colds - 1].end == at)
        cold[colds - 1].end += PAGE;
    else
        cold[colds++] = (struct range){at, at + PAGE};
    return colds;
}

/* Write the old contents of the pages of `regions`, and list the cold ones; their number of ranges,
 * or less than 0. The copy of a page that was not there is one of zeros. */
static long write_back(struct slot *s, long found)
{
    struct transfer t = {s, 0, 0};
    struct area *a = s->areas;
    const struct area *end = s->areas + s->area_count;
    size_t colds = 0;
    for (long i = 0; i < found; i++) {
        for (uintptr_t at = regions[i].start; at < regions[i].end;) {
            while (a < end && a->end <= at)
                a++;
            if (a == end || at < a->start)
                return -1; /* writable, but not of the snapshot */
            uintptr_t stop = regions[i].end < a->end ? regions[i].end : a->end;
            if (add(&t, at, a->copy + (at - a->start), stop - at) != 0)
                return -1;
            costs.pages += (stop - at) / PAGE;
            costs.ranges++;
            for (; at < stop; at += PAGE)
                colds = note_page(s, &a->pages[(at - a->start) / PAGE], at, colds);
        }
    }
    return flush(&t) == 0 ? (long)colds : -1;
}

static int protect(struct slot *s, size_t colds)
{
    if (s->trained < TRAINING_RUNS || colds > FEW_RANGES)
        return scan_all(s, 1) < 0 ? -1 : 0;
    for (size_t i = 0; i < colds; i++)
        if (protect_range(s, cold[i].start, cold[i].end) != 0)
            return -1;
    return 0;
}

static void train(struct slot *s)
{
    if (s->trained >= TRAINING_RUNS || ++s->trained < TRAINING_RUNS)
        return;
    for (size_t i = 0; i < s->area_count; i++)
        for (size_t p = 0; p < (s->areas[i].end - s->areas[i].start) / PAGE; p++) {
            unsigned char *page = &s->areas[i].pages[p];
            int hot = *page >> COUNT_SHIFT >= (int)(TRAINING_RUNS / HOT_SHARE);
            *page = (unsigned char)((*page & WAS_PRESENT) | (hot ? HOT : 0));
        }
}

static int put_registers_back(struct slot *s)
{
    size_t size = s->xstate_size;
    if (privileged(SYS_ptrace, PTRACE_SETREGS, s->pid, 0, (long)&s->registers, 0) != 0 ||
        xstate(s, PTRACE_SETREGSET, s->xstate, &size) != 0)
        return -1;
    return 0;
}

/* Put memory and registers of a stopped slot back to the snapshot. */
int put_back(struct slot *s)
{
    uint64_t since = 0;
    lap(&since, NULL);
    s->new_pages = 0;
    long found = scan_written(s);
    lap(&since, &costs.scan);
    long colds = found < 0 ? -1 : write_back(s, found);
    lap(&since, &costs.write);
    if (colds < 0 || protect(s, (size_t)colds) != 0)
        return -1;
    costs.cold += (uint64_t)colds;
    train(s);
    lap(&since, &costs.protect);
    int failed = put_registers_back(s);
    lap(&since, &costs.registers);
    return failed;
}

/* ---- the proof --------------------------------------------------------------------------------- */

static long area_differences(struct slot *s, const struct area *a)
{
    static unsigned char *page;
    long count = 0;
    if (!page && !(page = own_memory(PAGE)))
        return 1;
    for (uintptr_t at = a->start; at < a->end; at += PAGE) {
        if (peek(s, page, at, PAGE) == 0 && memcmp(page, a->copy + (at - a->start), PAGE) == 0)
            continue;
        if (count++ < 8)
            fprintf(stderr, "reset: page %lx differs\n", at);
    }
    return count;
}

/* How much of the slot differs from the snapshot: pages, registers, the memory map. Reads all of it.
 */
long differences(struct slot *s)
{
    long count = 0;
    for (size_t i = 0; i < s->area_count; i++)
        count += area_differences(s, &s->areas[i]);
    size_t size = read_layout(s);
    if (size != s->layout_size || memcmp(text, s->layout, size) != 0) {
        fprintf(stderr, "reset: the memory map differs\n");
        count++;
    }
    struct user_regs_struct now;
    long failed = privileged(SYS_ptrace, PTRACE_GETREGS, s->pid, 0, (long)&now, 0);
    if (failed || memcmp(&now, &s->registers, sizeof now) != 0) {
        fprintf(stderr, "reset: registers differ\n");
        count++;
    }
    static unsigned char state[MAX_XSTATE];
    size = sizeof state;
    failed = xstate(s, PTRACE_GETREGSET, state, &size);
    if (failed || size != s->xstate_size || memcmp(state, s->xstate, size) != 0) {
        fprintf(stderr, "reset: extended state differs\n");
        count++;
    }
    return count;
}
