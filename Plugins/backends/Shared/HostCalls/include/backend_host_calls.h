/* Host calls that the backends make and Swift cannot: those that glibc declares only with _GNU_SOURCE, those with C
 * unions in their arguments, and all whose errno would be lost between the call and a Swift read of it.
 * All are tried again on EINTR, all descriptors are close-on-exec, and all answer -errno on failure. */
#ifndef BACKEND_HOST_CALLS_H
#define BACKEND_HOST_CALLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "backend_folder_calls.h"
#include "backend_network_calls.h"
#include "backend_process_calls.h"

/* Descriptors */
int bh_open(const char *path, int flags, unsigned mode);
ssize_t bh_read(int descriptor, void *bytes, size_t count);
ssize_t bh_write(int descriptor, const void *bytes, size_t count);
ssize_t bh_pread(int descriptor, void *bytes, size_t count, int64_t offset);
/* Of what lies in the host's page cache, without waiting for a medium (preadv2's RWF_NOWAIT): -EAGAIN where nothing of it does, -EOPNOTSUPP where the
 * file system cannot tell. */
ssize_t bh_pread_cached(int descriptor, void *bytes, size_t count, int64_t offset);
ssize_t bh_pwrite(int descriptor, const void *bytes, size_t count, int64_t offset);
/* Zeros, which take no room where the file system can do that. */
int bh_punch(int descriptor, int64_t offset, int64_t length);
int bh_fdatasync(int descriptor);
int bh_set_blocking(int descriptor);
/* poll(2) on one descriptor: the returned events, 0 at the end of the time. A signal counts as its end. */
int bh_poll(int descriptor, short events, int milliseconds);

/* Files */
enum { BH_REGULAR = 1, BH_BLOCK_DEVICE = 2, BH_SOCKET = 3, BH_LINK = 4, BH_PIPE = 5, BH_DIRECTORY = 6, BH_OTHER = 7 };
typedef struct bh_file {
    int kind;                  /* BH_* */
    int64_t length;            /* of a regular file or block device */
    uint64_t device, inode;
} bh_file;
int bh_stat(int descriptor, bh_file *out);
int bh_stat_link(const char *path, bh_file *out); /* of the link itself */
int bh_symlink(const char *target, const char *path);
int bh_rename(const char *from, const char *to);
int bh_read_link(const char *path, char *target, size_t size); /* NUL-terminated; what does not fit is -ENAMETOOLONG */
/* An open-file-description lock of the whole file. */
int bh_lock(int descriptor, int exclusive);
int bh_lock_first(int descriptor, int exclusive); /* of its first byte alone: QEMU has locks of its own further on */
void bh_unlock(int descriptor);
/* 1: somebody holds it for writing, 0: not. */
int bh_is_write_locked(int descriptor);
/* A file of 0600 without a name. */
int bh_temporary(const char *directory);

/* Events: descriptors for a host's event loop */
int bh_event(void);            /* an eventfd: 8 bytes written make it readable, 8 bytes read end that */
int bh_timer(void);
int bh_timer_set(int descriptor, uint32_t first_ms, uint32_t interval_ms); /* 0, 0 stops it */
int bh_watch_opens(const char *path); /* inotify: becomes readable whenever somebody opens `path` */

/* Pseudo-terminals */
int bh_pty_open(char *slave, size_t size); /* the master, not blocking; writes the slave's path */
int bh_pty_prepare(const char *slave);     /* raw mode; opens and closes it: the master knows then that nobody is there */
int bh_tty_raw(int descriptor);

/* Stream sockets, not blocking. */
enum { BH_PATH_LIMIT = 107 };              /* bytes in the path of a Unix socket */
int bh_unix_listen(const char *path);      /* mode 0600 from the beginning */
int bh_tcp_listen(uint16_t port);          /* 127.0.0.1; 0: any */
int bh_unix_connect(const char *path, int *progress); /* progress 1: wait until writable, then bh_socket_error */
int bh_tcp_connect(uint16_t port, int *progress);
int bh_accept(int descriptor);
int bh_socket_error(int descriptor);
ssize_t bh_send(int descriptor, const void *bytes, size_t count); /* never raises SIGPIPE */
int bh_local_port(int descriptor);
int bh_peer_port(int descriptor);
int bh_peer_process(int descriptor, int *process, unsigned *user);

/* Threads: names the thread and blocks all signals in it but those of its own faults. */
void bh_thread_begin(const char *name);

/* strerror_r */
void bh_error_text(int code, char *text, size_t size);

#endif
