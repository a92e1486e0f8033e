#define _GNU_SOURCE
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include "chost_os.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int32_t result(int value) { return value < 0 ? -errno : value; }

int32_t ch_epoll_create(void) { return result(epoll_create1(EPOLL_CLOEXEC)); }

int32_t ch_pipe(int32_t ends[2]) { return result(pipe2(ends, O_CLOEXEC)); }

static int32_t control(int32_t epoll, int operation, int32_t fd, uint32_t events, uint64_t tag) {
    struct epoll_event event = {.events = events, .data.u64 = tag};
    return result(epoll_ctl(epoll, operation, fd, &event));
}
int32_t ch_epoll_add(int32_t epoll, int32_t fd, uint32_t events, uint64_t tag) {
    return control(epoll, EPOLL_CTL_ADD, fd, events, tag);
}
int32_t ch_epoll_change(int32_t epoll, int32_t fd, uint32_t events, uint64_t tag) {
    return control(epoll, EPOLL_CTL_MOD, fd, events, tag);
}
int32_t ch_epoll_remove(int32_t epoll, int32_t fd) { return control(epoll, EPOLL_CTL_DEL, fd, 0, 0); }

int32_t ch_epoll_wait(int32_t epoll, ch_event *events, int32_t room) {
    return ch_epoll_wait_for(epoll, events, room, -1);
}

int32_t ch_epoll_wait_for(int32_t epoll, ch_event *events, int32_t room, int32_t milliseconds) {
    struct epoll_event raw[64];
    int count = epoll_wait(epoll, raw, room < 64 ? room : 64, milliseconds);
    if (count < 0) return -errno;
    for (int i = 0; i < count; i++) events[i] = (ch_event){raw[i].data.u64, raw[i].events, 0};
    return count;
}

int32_t ch_eventfd(void) { return result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }
int32_t ch_timerfd(void) { return result(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)); }

int32_t ch_timerfd_set(int32_t fd, uint64_t when) {
    if (when > INT64_MAX) when = INT64_MAX;
    struct itimerspec setting = {{0, 0}, {(time_t)(when / 1000000000), (long)(when % 1000000000)}};
    return result(timerfd_settime(fd, TFD_TIMER_ABSTIME, &setting, NULL));
}

int32_t ch_memfd(const char *name, uint64_t length) {
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0) return -errno;
    if (ftruncate(fd, (off_t)length) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int32_t ch_random(void *bytes, uint64_t length) {
    for (uint64_t done = 0; done < length;) {
        ssize_t count = getrandom((char *)bytes + done, length - done, 0);
        if (count < 0 && errno != EINTR) return -errno;
        if (count > 0) done += (uint64_t)count;
    }
    return 0;
}

void ch_thread_name(const char *name) {
    char copy[16];
    strncpy(copy, name, sizeof copy - 1);
    copy[sizeof copy - 1] = 0;
    pthread_setname_np(pthread_self(), copy);
}

uint32_t ch_cpu_features(void) {
#if defined(__x86_64__)
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) ? ecx : 0;
#else
    return 0;
#endif
}
