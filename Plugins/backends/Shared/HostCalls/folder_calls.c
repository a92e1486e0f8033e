#define _GNU_SOURCE
#include "backend_folder_calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RETURN(type, call) \
    do { \
        type result_; \
        do { \
            result_ = (call); \
        } while (result_ < 0 && errno == EINTR); \
        return result_ < 0 ? (type)-errno : result_; \
    } while (0)

/* The kernel's own name of a descriptor: leads to the very node, wherever it lies by now. */
typedef struct own_name {
    char text[32];
} own_name;

static own_name name_of(int node) {
    own_name name;
    snprintf(name.text, sizeof name.text, "/proc/self/fd/%d", node);
    return name;
}

static int open_below(int directory, const char *name, int flags, unsigned mode) {
    struct open_how how = {
        .flags = (uint64_t)(unsigned)flags | O_CLOEXEC | O_NOFOLLOW | (flags & O_PATH ? 0 : O_NOCTTY),
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    };
    RETURN(int, (int)syscall(SYS_openat2, directory, name, &how, sizeof how));
}

int bh_folder_open(const char *path) { RETURN(int, open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)); }
int bh_node_find(int directory, const char *name) { return open_below(directory, name, O_PATH, 0); }

int bh_node_status(int node, bh_node *out) {
    struct stat status;
    if (fstat(node, &status) < 0) return -errno;
    *out = (bh_node){
        .device = status.st_dev, .inode = status.st_ino, .mode = status.st_mode, .user = status.st_uid,
        .group = status.st_gid, .links = status.st_nlink, .special = status.st_rdev, .size = (uint64_t)status.st_size,
        .block_size = (uint64_t)status.st_blksize, .blocks = (uint64_t)status.st_blocks,
        .accessed = {status.st_atim.tv_sec, status.st_atim.tv_nsec},
        .modified = {status.st_mtim.tv_sec, status.st_mtim.tv_nsec},
        .changed = {status.st_ctim.tv_sec, status.st_ctim.tv_nsec},
    };
    return 0;
}

int bh_node_file_system(int node, bh_file_system *out) {
    struct statfs status;
    if (fstatfs(node, &status) < 0) return -errno;
    uint64_t identity;
    memcpy(&identity, &status.f_fsid, sizeof identity);
    *out = (bh_file_system){
        .block_size = (uint64_t)status.f_bsize, .blocks = status.f_blocks, .free = status.f_bfree,
        .available = status.f_bavail, .files = status.f_files, .free_files = status.f_ffree, .identity = identity,
        .longest_name = (uint64_t)status.f_namelen,
    };
    return 0;
}

int bh_node_open(int node, int flags) {
    own_name name = name_of(node);
    RETURN(int, open(name.text, flags | O_CLOEXEC | O_NOCTTY));
}

int bh_file_create(int directory, const char *name, int flags, unsigned mode) {
    int file = open_below(directory, name, flags | O_CREAT | O_EXCL, mode);
    /* The guest's program has taken its own umask off; this process's is the host's business. */
    if (file >= 0) (void)fchmod(file, mode);
    return file;
}

int bh_directory_create(int directory, const char *name, unsigned mode) {
    RETURN(int, mkdirat(directory, name, mode));
}
int bh_link_create(int directory, const char *name, const char *target) {
    RETURN(int, symlinkat(target, directory, name));
}
int bh_special_create(int directory, const char *name, unsigned mode) {
    if (!S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode)) return -EPERM;
    RETURN(int, mknodat(directory, name, mode, 0));
}
int bh_node_name(int node, int directory, const char *name) {
    own_name own = name_of(node);
    RETURN(int, linkat(AT_FDCWD, own.text, directory, name, AT_SYMLINK_FOLLOW));
}
ssize_t bh_node_target(int link, char *target, size_t size) { RETURN(ssize_t, readlinkat(link, "", target, size)); }
int bh_name_move(int from, const char *old_name, int to, const char *new_name) {
    RETURN(int, renameat(from, old_name, to, new_name));
}
int bh_name_remove(int directory, const char *name, int is_directory) {
    RETURN(int, unlinkat(directory, name, is_directory ? AT_REMOVEDIR : 0));
}
int bh_node_set_mode(int node, unsigned mode) {
    own_name name = name_of(node);
    RETURN(int, fchmodat(AT_FDCWD, name.text, mode, 0));
}
int bh_node_set_owner(int node, uint32_t user, uint32_t group) {
    RETURN(int, fchownat(node, "", user, group, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
}
int bh_node_set_size(int node, uint64_t size) {
    own_name name = name_of(node);
    if (size > INT64_MAX) return -EFBIG;
    RETURN(int, truncate(name.text, (off_t)size));
}

int bh_file_set_size(int file, uint64_t size) {
    if (size > INT64_MAX) return -EFBIG;
    RETURN(int, ftruncate(file, (off_t)size));
}

static struct timespec time_of(const bh_time *time) {
    if (!time) return (struct timespec){.tv_nsec = UTIME_OMIT};
    if (time->nanoseconds == BH_NOW) return (struct timespec){.tv_nsec = UTIME_NOW};
    return (struct timespec){.tv_sec = time->seconds, .tv_nsec = time->nanoseconds};
}

int bh_node_set_times(int node, const bh_time *accessed, const bh_time *modified) {
    own_name name = name_of(node);
    struct timespec times[2] = {time_of(accessed), time_of(modified)};
    RETURN(int, utimensat(AT_FDCWD, name.text, times, 0));
}

int bh_fsync(int descriptor, int data_only) { RETURN(int, data_only ? fdatasync(descriptor) : fsync(descriptor)); }

ssize_t bh_entries(int directory, int64_t from, void *bytes, size_t count) {
    if (lseek(directory, from, SEEK_SET) < 0) return -errno;
    RETURN(ssize_t, getdents64(directory, bytes, count));
}

uint64_t bh_descriptor_limit(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 0 : limit.rlim_cur;
}
int bh_is_root(void) { return geteuid() == 0; }
