/* What the files about slots share: see slots.c. */
#include "core.h"

#include <sys/ptrace.h>
#include <sys/user.h>

#pragma GCC visibility push(hidden)

#define PAGE 4096ul

/* How a job in a slot went. HANDED_OVER: there is a result. ESCAPED: the slot was stopped before a
 * call that is not free. LOST: the slot is of no more use. */
enum stop { HANDED_OVER, ESCAPED, OVER_TIME, OVER_CPU, LOST };

/* A writable part of a slot's memory, and what was there at the snapshot. */
struct area {
    uintptr_t start, end;
    unsigned char *copy;
    unsigned char *pages; /* for each: the bits below, and above them how often it was written */
};
enum { WAS_PRESENT = 1, HOT = 2, COUNT_SHIFT = 2 };

/* A part of the address space that the kernel is asked about in one call; see scan.c. */
struct span {
    uintptr_t start, end;
    int quick;
};
#define MAX_SPANS 32u

#define MAX_AREAS 1024 /* each extension module that is loaded has one or two */
#define MAX_XSTATE 16384u

struct slot {
    long pid;
    int uffd, pagemap, maps;
    struct area areas[MAX_AREAS];
    size_t area_count;
    struct span spans[MAX_SPANS];
    size_t span_count;
    char *layout; /* what /proc/PID/maps said */
    size_t layout_size, layout_capacity;
    struct user_regs_struct registers;
    unsigned char xstate[MAX_XSTATE];
    size_t xstate_size;
    uint64_t cpu_us; /* that it had used when it was last stopped */
    uint64_t base_kib;
    uint32_t runs, trained, extra_pages, new_pages;
};

/* Nanoseconds of each step, and counts; kept only if asked for. */
struct costs {
    uint64_t runs, escaped, lost, made, made_ns;
    uint64_t deliver, run, fetch, scan, write, protect, registers;
    uint64_t pages, cold, ranges, cpu_us, copied_kib;
};
extern struct costs costs;
extern int keep_costs;
extern int proc_fd;

uint64_t lap(uint64_t *since, uint64_t *total);

/* scan.c */
#define MAX_RANGES 16384u
struct listed { /* as the kernel lists them: struct page_region */
    uint64_t start, end, categories;
};
extern struct listed *regions;
int prepare_scans(void);
int watch_range(struct slot *s, uintptr_t start, uintptr_t end);
int protect_range(struct slot *s, uintptr_t start, uintptr_t end);
long scan_present(struct slot *s, uintptr_t start, uintptr_t end);
long scan_all(struct slot *s, int protect);
int prepare_quick_scans(struct slot *s);
long scan_written(struct slot *s);

/* memory.c */
int peek(struct slot *s, void *to, uintptr_t from, size_t size);
int poke(struct slot *s, uintptr_t to, const struct iovec *parts, size_t count);
int take_snapshot(struct slot *s, const struct slot *like);
int put_back(struct slot *s);
long differences(struct slot *s);
void *own_memory(size_t size);
void forget_snapshot(struct slot *s);
int prepare_memory(void);

#pragma GCC visibility pop
