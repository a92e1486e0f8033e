/* Linux calls that Swift's Glibc module lacks. Each returns its result or -errno. */
#ifndef CHOST_OS_H
#define CHOST_OS_H
#include <stdint.h>

typedef struct ch_event {
    uint64_t tag;
    uint32_t events; /* CH_EVENT_* */
    uint32_t reserved;
} ch_event;
static const uint32_t ch_event_read = 1, ch_event_write = 4, ch_event_error = 8, ch_event_hangup = 16; /* EPOLL* */

int32_t ch_epoll_create(void);
int32_t ch_epoll_add(int32_t epoll, int32_t fd, uint32_t events, uint64_t tag);
int32_t ch_epoll_change(int32_t epoll, int32_t fd, uint32_t events, uint64_t tag);
int32_t ch_epoll_remove(int32_t epoll, int32_t fd);
/* Blocks; at most `room` (64) events. */
int32_t ch_epoll_wait(int32_t epoll, ch_event *events, int32_t room);
int32_t ch_epoll_wait_for(int32_t epoll, ch_event *events, int32_t room, int32_t milliseconds); /* negative: no limit */
int32_t ch_pipe(int32_t ends[2]);                 /* reading end, writing end; close-on-exec */
int32_t ch_eventfd(void);                         /* non-blocking, close-on-exec */
int32_t ch_timerfd(void);                         /* CLOCK_MONOTONIC, non-blocking, close-on-exec */
int32_t ch_timerfd_set(int32_t fd, uint64_t when); /* absolute ns; 0 disarms */
int32_t ch_memfd(const char *name, uint64_t length);
int32_t ch_random(void *bytes, uint64_t length);  /* all of it */
uint32_t ch_cpu_features(void);                   /* CPUID leaf 1, ECX, of the host; 0 where it is no x86 */
void ch_thread_name(const char *name);            /* at most 15 bytes are kept */
#endif
