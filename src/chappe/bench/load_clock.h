/* Clocks of the load generator, and what the kernel tells about the server: CPU seconds and memory. Linux only. */
#ifndef CHAPPE_LOAD_CLOCK_H
#define CHAPPE_LOAD_CLOCK_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull

static uint64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    return clock_gettime(clock, &t) ? 0.0 : (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* CPU of the calling thread only: the rest of the process (Python) is not part of the load. */
static double thread_cpu_s(void) { return seconds_of(CLOCK_THREAD_CPUTIME_ID); }

/* User and system time of all threads of a process; 0 for one that is gone. The clock of the process counts in
 * nanoseconds, where /proc/PID/stat counts in hundredths of a second. */
static double process_cpu_s(int pid)
{
    clockid_t clock;
    return clock_getcpuclockid(pid, &clock) ? 0.0 : seconds_of(clock);
}

/* The first number after `key` at the start of a line of a file under /proc; -1 without it. */
static long proc_number(const char *path, const char *key, const char *within)
{
    char line[512];
    long value = -1;
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    while (value < 0 && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)))
            continue;
        const char *number = within ? strstr(line, within) : line + strlen(key);
        if (number && sscanf(within ? number + strlen(within) : number, "%ld", &value) != 1)
            value = -1;
    }
    fclose(file);
    return value;
}

/* The memory a process would give back: pages shared with others count in part. */
static long process_pss_kb(int pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    long kb = proc_number(path, "Pss:", NULL);
    return kb < 0 ? 0 : kb;
}

/* Buffers of all TCP sockets of the machine (what is queued in them). */
static long socket_buffers_kb(void)
{
    long pages = proc_number("/proc/net/sockstat", "TCP:", " mem ");
    return pages < 0 ? 0 : pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* The kernel's own objects: sockets, files, epoll entries. Both ends of a loopback connection are in it. */
static long kernel_objects_kb(void)
{
    long kb = proc_number("/proc/meminfo", "Slab:", NULL);
    return kb < 0 ? 0 : kb;
}

/* Wait for events until a moment of the monotonic clock. epoll_wait counts in milliseconds, too coarse for an open
 * loop; where the kernel has no epoll_pwait2 (before 5.11) the last millisecond is polled. */
static int wait_events(int epoll, struct epoll_event *events, int capacity, uint64_t until)
{
    uint64_t now = monotonic_ns(), left = until > now ? until - now : 0;
#ifdef SYS_epoll_pwait2
    struct timespec timeout = {.tv_sec = (time_t)(left / NS_PER_S), .tv_nsec = (long)(left % NS_PER_S)};
    int count = (int)syscall(SYS_epoll_pwait2, epoll, events, capacity, &timeout, NULL, (size_t)0);
    if (count >= 0 || errno != ENOSYS)
        return count;
#endif
    return epoll_wait(epoll, events, capacity, (int)(left / 1000000));
}

/* The same without ever sleeping. Who sleeps must be woken, and on loopback the server's own send does that: on a virtual
 * machine it can cost more than the send, for one server or the other as it happens to be slower or faster than the
 * generator. No client across a network has this effect. `idle_ns` grows by what was waited. */
static int poll_events(int epoll, struct epoll_event *events, int capacity, uint64_t until, uint64_t *idle_ns)
{
    uint64_t began = monotonic_ns(), now = began;
    int count;
    while ((count = epoll_wait(epoll, events, capacity, 0)) == 0 && now < until)
        now = monotonic_ns();
    *idle_ns += now - began;
    return count;
}

#endif
