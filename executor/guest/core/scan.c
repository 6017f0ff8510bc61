/* Which pages of a slot were written: the kernel's lists.
 *
 * userfaultfd with asynchronous write protection notes the first write to each protected page,
 * PAGEMAP_SCAN lists these. The kernel has two ways to make the list. The general one looks at the
 * state of every page, which lies all over memory. The quick one looks at page table entries only, and
 * takes every entry for written that has no mark: also where there is no page, and in mappings that
 * are not watched. So it is for the parts of areas that have many pages, and there all entries are
 * marked at the snapshot, those without a page too. A mark goes with the first write, and stays where
 * something is only read. */
#include "slots.h"

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

/* Linux 6.7; older headers lack these. */
#ifndef PAGEMAP_SCAN
struct pm_scan_arg {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_WPALLOWED (1 << 0)
#define PAGE_IS_WRITTEN (1 << 1)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
#define PAGE_IS_PFNZERO (1 << 5)
#define PM_SCAN_WP_MATCHING (1 << 0)
#endif

#define TABLE (512 * PAGE) /* what one table of pages covers */
/* With fewer pages, a call of its own costs more than it saves. */
#define QUICK_PAGES 128u

struct listed *regions;

int prepare_scans(void)
{
    regions = own_memory(MAX_RANGES * sizeof *regions);
    return regions ? 0 : -1;
}

int watch_range(struct slot *s, uintptr_t start, uintptr_t end)
{
    struct uffdio_register wanted = {{start, end - start}, UFFDIO_REGISTER_MODE_WP, 0};
    return (int)privileged(SYS_ioctl, s->uffd, UFFDIO_REGISTER, (long)&wanted, 0, 0);
}

/* Also where there is no page, if so: the entry of the table is marked. */
int protect_range(struct slot *s, uintptr_t start, uintptr_t end)
{
    struct uffdio_writeprotect wanted = {{start, end - start}, UFFDIO_WRITEPROTECT_MODE_WP};
    return (int)privileged(SYS_ioctl, s->uffd, UFFDIO_WRITEPROTECT, (long)&wanted, 0, 0);
}

/* ---- the general way ---------------------------------------------------------------------------- */

static long ask(struct slot *s, struct pm_scan_arg *wanted, uintptr_t start, uintptr_t end, long after)
{
    wanted->size = sizeof *wanted;
    wanted->start = start;
    wanted->end = end;
    wanted->vec = (uintptr_t)(regions + after);
    wanted->vec_len = MAX_RANGES - (uint64_t)after;
    wanted->return_mask = PAGE_IS_WRITTEN;
    long count = privileged(SYS_ioctl, s->pagemap, PAGEMAP_SCAN, (long)wanted, 0, 0);
    return count >= 0 && wanted->walk_end == end ? count : -1;
}

/* The ranges of pages of these categories, into `regions` behind those there; protected against
 * writing if so asked. Their number, or less than 0. */
static long scan(struct slot *s, uintptr_t start, uintptr_t end, uint64_t categories, int protect,
                 long after)
{
    struct pm_scan_arg wanted = {
        .flags = protect ? PM_SCAN_WP_MATCHING : 0,
        /* Other mappings are skipped whole; pages that were never written need no protection. */
        .category_mask = categories | PAGE_IS_PFNZERO | PAGE_IS_WPALLOWED,
        .category_inverted = PAGE_IS_PFNZERO,
        .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
    };
    return ask(s, &wanted, start, end, after);
}

long scan_present(struct slot *s, uintptr_t start, uintptr_t end)
{
    return scan(s, start, end, PAGE_IS_PRESENT, 0, 0);
}

long scan_all(struct slot *s, int protect)
{
    return scan(s, s->areas[0].start, s->areas[s->area_count - 1].end, PAGE_IS_WRITTEN, protect, 0);
}

/* ---- the quick way ------------------------------------------------------------------------------ */

static long scan_quickly(struct slot *s, uintptr_t start, uintptr_t end, long after)
{
    struct pm_scan_arg wanted = {.category_mask = PAGE_IS_WRITTEN};
    return ask(s, &wanted, start, end, after);
}

/* The ranges of pages that were written, in order, into `regions`. Their number, or less than 0. */
long scan_written(struct slot *s)
{
    long found = 0;
    for (const struct span *p = s->spans; p < s->spans + s->span_count; p++) {
        long more = p->quick ? scan_quickly(s, p->start, p->end, found)
                             : scan(s, p->start, p->end, PAGE_IS_WRITTEN, 0, found);
        if (more < 0)
            return -1;
        found += more;
    }
    return found;
}

static void add_span(struct slot *s, uintptr_t start, uintptr_t end, size_t present)
{
    struct span *last = s->span_count ? &s->spans[s->span_count - 1] : NULL;
    const int quick = present >= QUICK_PAGES && s->span_count < MAX_SPANS - 1;
    if (last && quick == last->quick && (!quick || last->end == start))
        last->end = end;
    else
        s->spans[s->span_count++] = (struct span){start, end, quick};
}

/* Split an area where tables of pages begin, into parts with tables and parts without. */
static void add_parts(struct slot *s, const struct area *a)
{
    for (uintptr_t start = a->start; start < a->end;) {
        size_t present = 0;
        uintptr_t at = start, next;
        for (int any = -1; at < a->end; at = next) {
            size_t here = 0;
            next = (at / TABLE + 1) * TABLE < a->end ? (at / TABLE + 1) * TABLE : a->end;
            for (uintptr_t page = at; page < next; page += PAGE)
                here += a->pages[(page - a->start) / PAGE] & WAS_PRESENT;
            if (any >= 0 && any != (here > 0))
                break;
            any = here > 0;
            present += here;
        }
        add_span(s, start, at, present);
        start = at;
    }
}

/* After the snapshot, when all that is there is protected. */
int prepare_quick_scans(struct slot *s)
{
    s->span_count = 0;
    for (size_t i = 0; i < s->area_count; i++)
        add_parts(s, &s->areas[i]);
    for (size_t i = 0; i < s->span_count; i++)
        if (s->spans[i].quick && protect_range(s, s->spans[i].start, s->spans[i].end) != 0)
            return -1;
    return 0;
}
