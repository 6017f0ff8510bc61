/* The zygote's buffers, and the frames between it and the host. */
#include "core.h"

unsigned char *reply;
size_t reply_capacity;
unsigned char *input;
static size_t input_used, input_capacity;
unsigned char *held;
size_t held_used, held_capacity;
unsigned char *body;
static size_t body_used, body_capacity;

/* Clear what a fork must not inherit of another job. */
void forget_body(void)
{
    if (body_used)
        memset(body, 0, body_used);
    body_used = 0;
}

static short events_of_host(short wanted)
{
    struct pollfd host = {0, wanted, 0};
    return poll(&host, 1, 0) > 0 ? host.revents : 0;
}

/* Whether there is something to do. */
int frame_is_here(void)
{
    return input_used > 0 || events_of_host(POLLIN);
}

int host_is_gone(void)
{
    return (events_of_host(0) & (POLLHUP | POLLERR)) != 0;
}

uint64_t monotonic_us(void)
{
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now); /* not the shifted clock below */
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

int write_parts(int fd, struct iovec *parts, int count)
{
    while (count) {
        ssize_t written = writev(fd, parts, count);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            return -1;
        }
        while (count && (size_t)written >= parts->iov_len) {
            written -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count) {
            parts->iov_base = (char *)parts->iov_base + written;
            parts->iov_len -= (size_t)written;
        }
    }
    return 0;
}

void send_held(void)
{
    struct iovec whole = {held, held_used};
    if (held_used && write_parts(1, &whole, 1) != 0)
        _exit(0); /* the host is gone */
    held_used = 0;
}

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int reserve(unsigned char **buffer, size_t *capacity, size_t used, size_t wanted)
{
    if (*capacity >= wanted)
        return 0;
    unsigned char *larger = map(wanted);
    if (!larger)
        return -1;
    if (*buffer) {
        memcpy(larger, *buffer, used);
        munmap(*buffer, *capacity);
    }
    *buffer = larger;
    *capacity = wanted;
    return 0;
}

/* Buffers of the zygote that children must not see and forks need not copy. */
int reserve_own(unsigned char **buffer, size_t *capacity, size_t used, size_t wanted)
{
    if (*capacity >= wanted)
        return 0;
    if (reserve(buffer, capacity, used, wanted) != 0)
        return -1;
    return madvise(*buffer, *capacity, MADV_DONTFORK);
}

/* Read until a whole frame lies at the start of `input`; its size. Ends the process at end of file. */
uint32_t next_frame(void)
{
    for (;;) {
        size_t wanted = 1u << 18;
        if (input_used >= 4) {
            uint32_t size;
            memcpy(&size, input, 4);
            if (input_used - 4 >= size)
                return size;
            wanted = (size_t)size + 4 > wanted ? (size_t)size + 4 : wanted;
        }
        send_held();
        if (reserve_own(&input, &input_capacity, input_used, wanted) != 0)
            _exit(1);
        ssize_t got = read(0, input + input_used, input_capacity - input_used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            tell_costs();
            _exit(0);
        }
        input_used += (size_t)got;
    }
}

void hold_reply(const struct report *report, uint32_t result_size)
{
    size_t size = sizeof *report + result_size;
    if (reserve_own(&held, &held_capacity, held_used, held_used + size) != 0)
        _exit(1);
    memcpy(held + held_used, report, sizeof *report);
    memcpy(held + held_used + sizeof *report, reply + 12, result_size);
    held_used += size;
    if (held_used > HOLD_BYTES)
        send_held();
}

void drop_frame(uint32_t size)
{
    input_used -= (size_t)size + 4;
    memmove(input, input + 4 + size, input_used);
}

/* Keep the part of the frame that the child needs where the child can see it. */
void keep_body(const unsigned char *data, size_t size)
{
    if (reserve(&body, &body_capacity, 0, size + 1) != 0)
        _exit(1);
    memcpy(body, data, size);
    if (body_used > size)
        memset(body + size, 0, body_used - size); /* the rest of another job */
    body_used = size;
}
