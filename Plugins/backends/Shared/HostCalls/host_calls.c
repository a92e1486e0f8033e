#define _GNU_SOURCE
#include "backend_host_calls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#define RETRY(result, call) \
    do { \
        (result) = (call); \
    } while ((result) < 0 && errno == EINTR)
#define RETURN(type, call) \
    do { \
        type result_; \
        RETRY(result_, call); \
        return result_ < 0 ? (type)-errno : result_; \
    } while (0)

/* ---- Descriptors */

int bh_open(const char *path, int flags, unsigned mode) { RETURN(int, open(path, flags | O_CLOEXEC | O_NOCTTY, mode)); }
ssize_t bh_read(int fd, void *bytes, size_t count) { RETURN(ssize_t, read(fd, bytes, count)); }
ssize_t bh_write(int fd, const void *bytes, size_t count) { RETURN(ssize_t, write(fd, bytes, count)); }
ssize_t bh_pread(int fd, void *bytes, size_t count, int64_t offset) {
    RETURN(ssize_t, pread(fd, bytes, count, offset));
}
ssize_t bh_pread_cached(int fd, void *bytes, size_t count, int64_t offset) {
    struct iovec piece = {bytes, count};
    RETURN(ssize_t, preadv2(fd, &piece, 1, offset, RWF_NOWAIT));
}
ssize_t bh_pwrite(int fd, const void *bytes, size_t count, int64_t offset) {
    RETURN(ssize_t, pwrite(fd, bytes, count, offset));
}
int bh_fdatasync(int fd) { RETURN(int, fdatasync(fd)); }
int bh_punch(int fd, int64_t offset, int64_t length) {
    RETURN(int, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length));
}

int bh_set_blocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -errno;
    RETURN(int, fcntl(fd, F_SETFL, flags & ~O_NONBLOCK));
}

int bh_poll(int fd, short events, int milliseconds) {
    struct pollfd one = {.fd = fd, .events = events};
    int count = poll(&one, 1, milliseconds);
    if (count < 0) return errno == EINTR ? 0 : -errno;
    return count == 0 ? 0 : one.revents;
}

/* ---- Files */

static int kind_of(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG: return BH_REGULAR;
    case S_IFBLK: return BH_BLOCK_DEVICE;
    case S_IFSOCK: return BH_SOCKET;
    case S_IFLNK: return BH_LINK;
    case S_IFIFO: return BH_PIPE;
    case S_IFDIR: return BH_DIRECTORY;
    default: return BH_OTHER;
    }
}

static void describe(const struct stat *status, bh_file *out) {
    out->kind = kind_of(status->st_mode);
    out->length = status->st_size;
    out->device = status->st_dev;
    out->inode = status->st_ino;
}

int bh_stat(int fd, bh_file *out) {
    struct stat status;
    if (fstat(fd, &status) < 0) return -errno;
    describe(&status, out);
    if (out->kind == BH_BLOCK_DEVICE) {
        out->length = lseek(fd, 0, SEEK_END);
        if (out->length < 0) return -errno;
    }
    return 0;
}

int bh_stat_link(const char *path, bh_file *out) {
    struct stat status;
    if (lstat(path, &status) < 0) return -errno;
    describe(&status, out);
    return 0;
}

int bh_symlink(const char *target, const char *path) { RETURN(int, symlink(target, path)); }
int bh_rename(const char *from, const char *to) { RETURN(int, rename(from, to)); }

int bh_read_link(const char *path, char *target, size_t size) {
    ssize_t length = readlink(path, target, size);
    if (length < 0) return -errno;
    if ((size_t)length >= size) return -ENAMETOOLONG;
    target[length] = 0;
    return 0;
}

int bh_lock(int fd, int exclusive) {
    struct flock lock = {.l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
    RETURN(int, fcntl(fd, F_OFD_SETLK, &lock));
}

int bh_lock_first(int fd, int exclusive) {
    struct flock lock = {.l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
    RETURN(int, fcntl(fd, F_OFD_SETLK, &lock));
}

void bh_unlock(int fd) {
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    (void)fcntl(fd, F_OFD_SETLK, &lock);
}

int bh_is_write_locked(int fd) {
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_WRLCK;
}

int bh_temporary(const char *directory) {
    int fd;
    RETRY(fd, open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (fd >= 0) return fd;
    /* File systems without O_TMPFILE answer EOPNOTSUPP, or EISDIR. */
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) return -errno;
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/backplane-XXXXXX", directory);
    if (length < 0 || (size_t)length >= sizeof path) return -ENAMETOOLONG;
    RETRY(fd, mkostemp(path, O_CLOEXEC));
    if (fd < 0) return -errno;
    if (unlink(path) < 0) {
        int code = errno;
        close(fd);
        return -code;
    }
    return fd;
}

/* ---- Events */

int bh_event(void) { RETURN(int, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)); }

int bh_timer(void) { RETURN(int, timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)); }

static struct timespec milliseconds(uint32_t count) {
    return (struct timespec){.tv_sec = count / 1000, .tv_nsec = (long)(count % 1000) * 1000000};
}

int bh_timer_set(int fd, uint32_t first_ms, uint32_t interval_ms) {
    struct itimerspec setting = {.it_value = milliseconds(first_ms), .it_interval = milliseconds(interval_ms)};
    RETURN(int, timerfd_settime(fd, 0, &setting, NULL));
}

int bh_watch_opens(const char *path) {
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0) return -errno;
    if (inotify_add_watch(fd, path, IN_OPEN) < 0) {
        int code = errno;
        close(fd);
        return -code;
    }
    return fd;
}

/* ---- Pseudo-terminals */

int bh_pty_open(char *slave, size_t size) {
    int fd;
    RETRY(fd, posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
    if (fd < 0) return -errno;
    int code = 0;
    if (grantpt(fd) < 0 || unlockpt(fd) < 0) code = errno;
    else code = ptsname_r(fd, slave, size);
    if (code == 0) return fd;
    close(fd);
    return -code;
}

int bh_tty_raw(int fd) {
    struct termios settings;
    if (tcgetattr(fd, &settings) < 0) return -errno;
    cfmakeraw(&settings);
    RETURN(int, tcsetattr(fd, TCSANOW, &settings));
}

int bh_pty_prepare(const char *slave) {
    int fd = bh_open(slave, O_RDWR | O_NONBLOCK, 0);
    if (fd < 0) return fd;
    int result = bh_tty_raw(fd);
    close(fd);
    return result;
}

/* ---- Sockets */

static int unix_address(const char *path, struct sockaddr_un *address) {
    size_t length = strlen(path);
    if (length == 0) return -EINVAL;
    if (length > BH_PATH_LIMIT) return -ENAMETOOLONG;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, path, length + 1);
    return 0;
}

static struct sockaddr_in loopback(uint16_t port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
}

static int failed(int fd) {
    int code = errno;
    close(fd);
    return -code;
}

static int new_socket(int family) { RETURN(int, socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

int bh_unix_listen(const char *path) {
    struct sockaddr_un address;
    int result = unix_address(path, &address);
    if (result < 0) return result;
    int fd = new_socket(AF_UNIX);
    if (fd < 0) return fd;
    /* Linux makes the socket's file with the mode of the socket itself: others can connect at no moment. */
    if (fchmod(fd, 0600) < 0) return failed(fd);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 8) < 0) return failed(fd);
    return fd;
}

int bh_tcp_listen(uint16_t port) {
    struct sockaddr_in address = loopback(port);
    int fd = new_socket(AF_INET), on = 1;
    if (fd < 0) return fd;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) return failed(fd);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 8) < 0) return failed(fd);
    return fd;
}

static void no_delay(int fd) {
    int on = 1;
    /* Fails on a Unix socket, which never delays. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int begin_connection(int fd, const struct sockaddr *address, socklen_t length, int *progress) {
    *progress = 0;
    if (connect(fd, address, length) == 0) return fd;
    /* Interrupted: it goes on by itself, as one in progress. */
    if (errno != EINPROGRESS && errno != EINTR) return failed(fd);
    *progress = 1;
    return fd;
}

int bh_unix_connect(const char *path, int *progress) {
    struct sockaddr_un address;
    int result = unix_address(path, &address);
    if (result < 0) return result;
    int fd = new_socket(AF_UNIX);
    return fd < 0 ? fd : begin_connection(fd, (struct sockaddr *)&address, sizeof address, progress);
}

int bh_tcp_connect(uint16_t port, int *progress) {
    struct sockaddr_in address = loopback(port);
    int fd = new_socket(AF_INET);
    if (fd < 0) return fd;
    no_delay(fd);
    return begin_connection(fd, (struct sockaddr *)&address, sizeof address, progress);
}

int bh_accept(int listener) {
    int fd;
    RETRY(fd, accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd < 0) return -errno;
    no_delay(fd);
    return fd;
}

int bh_socket_error(int fd) {
    int code = 0;
    socklen_t length = sizeof code;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0) return -errno;
    return -code;
}

ssize_t bh_send(int fd, const void *bytes, size_t count) { RETURN(ssize_t, send(fd, bytes, count, MSG_NOSIGNAL)); }

static int port_of(int fd, int (*name)(int, struct sockaddr *, socklen_t *)) {
    struct sockaddr_in address = {0};
    socklen_t length = sizeof address;
    if (name(fd, (struct sockaddr *)&address, &length) < 0) return -errno;
    return address.sin_family == AF_INET ? ntohs(address.sin_port) : -EINVAL;
}

int bh_local_port(int fd) { return port_of(fd, getsockname); }
int bh_peer_port(int fd) { return port_of(fd, getpeername); }

int bh_peer_process(int fd, int *process, unsigned *user) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -errno;
    *process = credentials.pid;
    *user = credentials.uid;
    return 0;
}

/* ---- Threads and words */

void bh_thread_begin(const char *name) {
    static const int own[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t all;
    sigfillset(&all);
    for (size_t index = 0; index < sizeof own / sizeof *own; index++) sigdelset(&all, own[index]);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    char short_name[16];
    snprintf(short_name, sizeof short_name, "%s", name);
    pthread_setname_np(pthread_self(), short_name);
}

void bh_error_text(int code, char *text, size_t size) {
    /* The GNU form may answer a constant and leave the buffer alone. */
    const char *words = strerror_r(code, text, size);
    if (words != text) snprintf(text, size, "%s", words);
}
