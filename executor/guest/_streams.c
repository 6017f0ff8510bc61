/* /dev/stdin, /dev/stdout, /dev/stderr and /dev/fd/N for scripts in jails without /proc.
 *
 * Elsewhere they are links into /proc, which tells more than a script should see. This library is
 * loaded into each program of the script image (/etc/ld.so.preload). Where one of these paths is
 * not there, it is the descriptor that it names, of the process that asks; as on systems where
 * opening such a path is a dup(). All else is the C library's.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NEXT(name) \
    static __typeof__(name) *next; \
    if (!next) \
        next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* The descriptor that a path names, or -1. */
static int named(const char *path)
{
    static const char *const names[] = {"stdin", "stdout", "stderr"};
    if (!path || strncmp(path, "/dev/", 5) != 0)
        return -1;
    path += 5;
    for (int fd = 0; fd < 3; fd++)
        if (strcmp(path, names[fd]) == 0)
            return fd;
    if (strncmp(path, "fd/", 3) != 0 || path[3] < '0' || path[3] > '9')
        return -1;
    char *end;
    long fd = strtol(path + 3, &end, 10);
    return *end || fd > INT_MAX ? -1 : (int)fd;
}

/* That descriptor, if there is one: a name without one is a file that does not exist. */
static int present(const char *path)
{
    int error = errno, fd = named(path);
    if (fd >= 0 && fcntl(fd, F_GETFD) >= 0)
        return fd;
    errno = error;
    return -1;
}

/* What open() gives for a descriptor. */
static int again(int fd, int flags)
{
    int had = fcntl(fd, F_GETFL) & O_ACCMODE, wanted = flags & O_ACCMODE;
    if ((had != O_RDWR && had != wanted) || flags & O_DIRECTORY) {
        errno = flags & O_DIRECTORY ? ENOTDIR : EACCES;
        return -1;
    }
    int copy = fcntl(fd, flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
    struct stat about;
    if (copy >= 0 && flags & O_TRUNC && wanted != O_RDONLY && fstat(copy, &about) == 0 &&
        S_ISREG(about.st_mode) && ftruncate(copy, 0) != 0) {
        close(copy);
        return -1;
    }
    return copy;
}

#define MODE \
    mode_t mode = 0; \
    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) { \
        va_list arguments; \
        va_start(arguments, flags); \
        mode = va_arg(arguments, mode_t); \
        va_end(arguments); \
    }

#define OPEN(name) \
    int name(const char *path, int flags, ...) \
    { \
        NEXT(name); \
        MODE \
        int result = next(path, flags, mode), fd = result < 0 ? present(path) : -1; \
        return fd < 0 ? result : again(fd, flags); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int directory, const char *path, int flags, ...) \
    { \
        NEXT(name); \
        MODE \
        int result = next(directory, path, flags, mode), fd = result < 0 ? present(path) : -1; \
        return fd < 0 ? result : again(fd, flags); \
    }
OPENAT(openat)
OPENAT(openat64)

/* What programs compiled with checks call in place of open(). */
#define OPEN_2(name, full) \
    int name(const char *path, int flags) { return full(path, flags); }
OPEN_2(__open_2, open)
OPEN_2(__open64_2, open64)
#define OPENAT_2(name, full) \
    int name(int directory, const char *path, int flags) { return full(directory, path, flags); }
OPENAT_2(__openat_2, openat)
OPENAT_2(__openat64_2, openat64)

int creat(const char *path, mode_t mode) { return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* The flags of open() for a mode of fopen(). */
static int flags_of(const char *mode)
{
    int both = strchr(mode, '+') != NULL, flags = strchr(mode, 'e') ? O_CLOEXEC : 0;
    if (*mode == 'r')
        return flags | (both ? O_RDWR : O_RDONLY);
    return flags | (both ? O_RDWR : O_WRONLY) | (*mode == 'w' ? O_TRUNC : 0);
}

#define FOPEN(name) \
    FILE *name(const char *path, const char *mode) \
    { \
        NEXT(name); \
        FILE *result = next(path, mode); \
        int fd = result ? -1 : present(path); \
        int copy = fd < 0 ? -1 : again(fd, flags_of(mode)); \
        return copy < 0 ? result : fdopen(copy, mode); \
    }
FOPEN(fopen)
FOPEN(fopen64)

#define FREOPEN(name) \
    FILE *name(const char *path, const char *mode, FILE *stream) \
    { \
        NEXT(name); \
        int fd = present(path); \
        if (fd < 0 || syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0) \
            return next(path, mode, stream); \
        int copy = again(fd, flags_of(mode)); \
        FILE *result = copy < 0 ? NULL : next("/dev/null", mode, stream); \
        if (result) \
            dup2(copy, fileno(result)); \
        if (copy >= 0) \
            close(copy); \
        return result; \
    }
FREOPEN(freopen)
FREOPEN(freopen64)

#define STAT(name, kind) \
    int name(const char *path, struct kind *about) \
    { \
        NEXT(name); \
        int result = next(path, about), fd = result ? present(path) : -1; \
        return fd < 0 ? result : f##kind(fd, about); \
    }
STAT(stat, stat)
STAT(lstat, stat)
STAT(stat64, stat64)
STAT(lstat64, stat64)

#define FSTATAT(name, kind) \
    int name(int directory, const char *path, struct kind *about, int flags) \
    { \
        NEXT(name); \
        int result = next(directory, path, about, flags), fd = result ? present(path) : -1; \
        return fd < 0 ? result : f##kind(fd, about); \
    }
FSTATAT(fstatat, stat)
FSTATAT(fstatat64, stat64)

int statx(int directory, const char *restrict path, int flags, unsigned mask,
          struct statx *restrict about)
{
    NEXT(statx);
    int result = next(directory, path, flags, mask, about), fd = result ? present(path) : -1;
    return fd < 0 ? result : next(fd, "", AT_EMPTY_PATH, mask, about);
}

static int may(int fd, int mode)
{
    int had = fcntl(fd, F_GETFL) & O_ACCMODE;
    if ((mode & R_OK && had == O_WRONLY) || (mode & W_OK && had == O_RDONLY) || mode & X_OK) {
        errno = EACCES;
        return -1;
    }
    return 0;
}

#define ACCESS(name) \
    int name(const char *path, int mode) \
    { \
        NEXT(name); \
        int result = next(path, mode), fd = result ? present(path) : -1; \
        return fd < 0 ? result : may(fd, mode); \
    }
ACCESS(access)
ACCESS(eaccess)
ACCESS(euidaccess)

int faccessat(int directory, const char *path, int mode, int flags)
{
    NEXT(faccessat);
    int result = next(directory, path, mode, flags), fd = result ? present(path) : -1;
    return fd < 0 ? result : may(fd, mode);
}
