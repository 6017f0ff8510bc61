/* What differs from host to host, and from moment to moment, is a constant for programs: files'
 * times and numbers, processors, memory, load, the kernel's version. Files of /proc and /sys are
 * not there. Names that a directory lists are sorted. */
#include "core.h"

#define MAX_FILES 1024

#define KERNEL_DEVICES 3

static const char *const kernel_paths[KERNEL_DEVICES] = {"/proc", "/sys", "/sys/fs/cgroup"};
static dev_t kernel_devices[KERNEL_DEVICES]; /* 0: not there */
static struct {
    dev_t device;
    ino_t number;
} files[MAX_FILES];
static size_t files_known;

/* A number for a file: the same whenever it is asked for, and another one than other files have. */
static ino_t file_number(dev_t device, ino_t number)
{
    for (size_t i = 0; i < files_known; i++)
        if (files[i].device == device && files[i].number == number)
            return i + 1;
    if (files_known == MAX_FILES)
        return number + MAX_FILES;
    files[files_known].device = device;
    files[files_known].number = number;
    return ++files_known;
}

static void make_constant(struct stat *status)
{
    static const struct timespec never = {0, 0};
    status->st_atim = status->st_mtim = status->st_ctim = never;
    status->st_ino = file_number(status->st_dev, status->st_ino);
    status->st_dev = 1;
    status->st_nlink = 1;
    status->st_uid = status->st_gid = 0;
    status->st_blksize = 4096;
    if (S_ISDIR(status->st_mode))
        status->st_size = 4096;
    status->st_blocks = (status->st_size + 511) / 512;
}

static int status_of(int directory, const char *path, struct stat *status, int flags)
{
    long result = syscall(SYS_newfstatat, directory, path, status, flags);
    if (result == 0 && watching)
        make_constant(status);
    return (int)result;
}

/* Whether a descriptor is of a file system that the kernel tells about the host in. */
static int is_of_the_kernel(int fd)
{
    struct stat status;
    if (syscall(SYS_newfstatat, fd, "", &status, AT_EMPTY_PATH) != 0)
        return 0;
    for (int i = 0; i < KERNEL_DEVICES; i++)
        if (kernel_devices[i] && status.st_dev == kernel_devices[i])
            return 1;
    return 0;
}

static int is_random_device(int fd)
{
    struct stat status;
    return syscall(SYS_newfstatat, fd, "", &status, AT_EMPTY_PATH) == 0 &&
           S_ISCHR(status.st_mode) && major(status.st_rdev) == 1 &&
           (minor(status.st_rdev) == 8 || minor(status.st_rdev) == 9);
}

static int open_shown(int directory, const char *path, int flags, mode_t mode)
{
    /* Who asks for it is to be seen also where there is none: sqlite takes the clock instead. */
    if (strcmp(path, "/dev/urandom") == 0 || strcmp(path, "/dev/random") == 0)
        seen |= SAW_ENTROPY;
    int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
    if (fd < 0 || !watching)
        return fd;
    if (is_random_device(fd))
        seen |= SAW_ENTROPY;
    if (!is_of_the_kernel(fd))
        return fd;
    close(fd);
    errno = ENOENT;
    return -1;
}

void watch_host(void)
{
    struct stat root, status;
    if (syscall(SYS_newfstatat, AT_FDCWD, "/", &root, 0) != 0)
        return;
    for (int i = 0; i < KERNEL_DEVICES; i++)
        if (syscall(SYS_newfstatat, AT_FDCWD, kernel_paths[i], &status, 0) == 0 &&
            status.st_dev != root.st_dev)
            kernel_devices[i] = status.st_dev;
}

#pragma GCC visibility push(default)

int stat64(const char *restrict path, struct stat64 *restrict status)
{
    return status_of(AT_FDCWD, path, (struct stat *)status, 0);
}

int lstat64(const char *restrict path, struct stat64 *restrict status)
{
    return status_of(AT_FDCWD, path, (struct stat *)status, AT_SYMLINK_NOFOLLOW);
}

int fstat64(int fd, struct stat64 *status)
{
    return status_of(fd, "", (struct stat *)status, AT_EMPTY_PATH);
}

int fstatat64(int directory, const char *restrict path, struct stat64 *restrict status, int flags)
{
    return status_of(directory, path, (struct stat *)status, flags);
}

#define MODE_OF(flags, mode)                                                                       \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                         \
        va_list values;                                                                            \
        va_start(values, flags);                                                                   \
        mode = va_arg(values, mode_t);                                                             \
        va_end(values);                                                                            \
    }

int open64(const char *path, int flags, ...)
{
    mode_t mode = 0;
    MODE_OF(flags, mode)
    return open_shown(AT_FDCWD, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...)
{
    mode_t mode = 0;
    MODE_OF(flags, mode)
    return open_shown(directory, path, flags, mode);
}

int __open64_2(const char *path, int flags) { return open_shown(AT_FDCWD, path, flags, 0); }

int __openat64_2(int directory, const char *path, int flags)
{
    return open_shown(directory, path, flags, 0);
}

/* On this machine the two sets of names mean the same. (Python's headers let the plain names stand
 * for the others.) */
#define ALSO(name, function)                                                                       \
    extern __typeof__(function) also_##name __asm__(#name)                                         \
        __attribute__((alias(#function), copy(function)));
ALSO(stat, stat64)
ALSO(lstat, lstat64)
ALSO(fstat, fstat64)
ALSO(fstatat, fstatat64)
ALSO(open, open64)
ALSO(openat, openat64)
ALSO(__open_2, __open64_2)
ALSO(__openat_2, __openat64_2)

long sysconf(int name)
{
    static long (*next)(int);
    if (watching && (name == _SC_NPROCESSORS_ONLN || name == _SC_NPROCESSORS_CONF))
        return 1;
    if (watching && name == _SC_PHYS_PAGES)
        return 1 << 18;
    if (watching && name == _SC_AVPHYS_PAGES)
        return 1 << 17;
    if (!next)
        next = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
    return next(name);
}

static int limits_of(pid_t process, int kind, const struct rlimit64 *wanted, struct rlimit64 *found)
{
    long result = syscall(SYS_prlimit64, process, kind, wanted, found);
    if (result == 0 && found && watching && kind == RLIMIT_AS) /* what the guest has, and some more */
        found->rlim_cur = found->rlim_max = RLIM64_INFINITY;
    return (int)result;
}

int getrlimit64(__rlimit_resource_t kind, struct rlimit64 *found)
{
    return limits_of(0, (int)kind, NULL, found);
}

int prlimit64(pid_t process, __rlimit_resource_t kind, const struct rlimit64 *wanted,
              struct rlimit64 *found)
{
    return limits_of(process, (int)kind, wanted, found);
}

ALSO(getrlimit, getrlimit64)
ALSO(prlimit, prlimit64)

int sched_getaffinity(pid_t process, size_t size, cpu_set_t *set)
{
    memset(set, 0, size);
    long result = syscall(SYS_sched_getaffinity, process, size, set);
    if (result > 0 && watching) {
        memset(set, 0, size);
        CPU_SET_S(0, size, set);
    }
    return result < 0 ? -1 : 0;
}

int getloadavg(double loads[], int count)
{
    static int (*next)(double *, int);
    if (!watching) {
        if (!next)
            next = (int (*)(double *, int))dlsym(RTLD_NEXT, "getloadavg");
        return next(loads, count);
    }
    for (int i = 0; i < count; i++)
        loads[i] = 0;
    return count;
}

int uname(struct utsname *name)
{
    long result = syscall(SYS_uname, name);
    if (result == 0 && watching) {
        strcpy(name->release, "6.1.0");
        strcpy(name->version, "#1 SMP");
    }
    return (int)result;
}

/* ---- directories ------------------------------------------------------------------------------- */

/* A directory that is being read, as a whole. */
struct listing {
    DIR *directory;
    struct listing *next;
    struct dirent64 *entries;
    size_t known, read;
};

static struct listing *listings;

static int by_name(const void *one, const void *other)
{
    return strcmp(((const struct dirent64 *)one)->d_name, ((const struct dirent64 *)other)->d_name);
}

static struct dirent64 *next_of_library(DIR *directory)
{
    static struct dirent64 *(*next)(DIR *);
    if (!next)
        next = (struct dirent64 * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir64");
    return next(directory);
}

static void forget(DIR *directory)
{
    struct listing **place = &listings;
    while (*place && (*place)->directory != directory)
        place = &(*place)->next;
    struct listing *found = *place;
    if (!found)
        return;
    *place = found->next;
    free(found->entries);
    free(found);
}

static int read_all(DIR *directory, struct listing *whole)
{
    struct dirent64 *entry;
    struct stat status;
    size_t capacity = 0;
    if (is_of_the_kernel(dirfd(directory)) ||
        syscall(SYS_newfstatat, dirfd(directory), "", &status, AT_EMPTY_PATH) != 0)
        return 0;
    while ((entry = next_of_library(directory))) {
        if (whole->known == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            void *moved = realloc(whole->entries, capacity * sizeof *entry);
            if (!moved)
                return -1;
            whole->entries = moved;
        }
        struct dirent64 *copy = memcpy(&whole->entries[whole->known++], entry, entry->d_reclen);
        copy->d_ino = file_number(status.st_dev, entry->d_ino);
    }
    qsort(whole->entries, whole->known, sizeof *entry, by_name);
    return 0;
}

static struct listing *listing_of(DIR *directory)
{
    struct listing *found = listings;
    while (found && found->directory != directory)
        found = found->next;
    if (found || !(found = calloc(1, sizeof *found)))
        return found;
    found->directory = directory;
    found->next = listings;
    listings = found;
    if (read_all(directory, found) == 0)
        return found;
    forget(directory);
    return NULL;
}

struct dirent64 *readdir64(DIR *directory)
{
    if (!watching)
        return next_of_library(directory);
    struct listing *whole = listing_of(directory);
    return whole && whole->read < whole->known ? &whole->entries[whole->read++] : NULL;
}

ALSO(readdir, readdir64)

int closedir(DIR *directory)
{
    static int (*next)(DIR *);
    if (!next)
        next = (int (*)(DIR *))dlsym(RTLD_NEXT, "closedir");
    forget(directory);
    return next(directory);
}

void rewinddir(DIR *directory)
{
    static void (*next)(DIR *);
    if (!next)
        next = (void (*)(DIR *))dlsym(RTLD_NEXT, "rewinddir");
    forget(directory);
    next(directory);
}

#pragma GCC visibility pop
