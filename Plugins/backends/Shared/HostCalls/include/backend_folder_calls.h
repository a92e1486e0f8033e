/* Host calls on what lies in a folder, by descriptors alone: no path is ever looked up, only single names below a descriptor, and no link is followed. All
 * descriptors are close-on-exec, and all calls answer -errno on failure. `node` is a descriptor of O_PATH or any other. */
#ifndef BACKEND_FOLDER_CALLS_H
#define BACKEND_FOLDER_CALLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct bh_time {
    int64_t seconds, nanoseconds;
} bh_time;

typedef struct bh_node {
    uint64_t device, inode;
    uint32_t mode; /* S_IFMT and permissions */
    uint32_t user, group;
    uint64_t links, special, size, block_size, blocks; /* special: the device that a device node is */
    bh_time accessed, modified, changed;
} bh_node;

typedef struct bh_file_system {
    uint64_t block_size, blocks, free, available, files, free_files, identity, longest_name;
} bh_file_system;

/* The descriptor of a directory that a host's user names, the end of links followed. */
int bh_folder_open(const char *path);
/* What `name` is below `directory`, without opening it: a descriptor of O_PATH; of a link, of the link itself. */
int bh_node_find(int directory, const char *name);
int bh_node_status(int node, bh_node *out);
int bh_node_file_system(int node, bh_file_system *out);
/* Opens what `node` is for reading or writing. The caller has seen that it is a file or a directory. */
int bh_node_open(int node, int flags);
/* A file that was not there. */
int bh_file_create(int directory, const char *name, int flags, unsigned mode);
int bh_directory_create(int directory, const char *name, unsigned mode);
int bh_link_create(int directory, const char *name, const char *target);
int bh_special_create(int directory, const char *name, unsigned mode); /* a file, a pipe or a socket: never a device */
int bh_node_name(int node, int directory, const char *name);           /* one more name of a node */
ssize_t bh_node_target(int link, char *target, size_t size);
int bh_name_move(int from, const char *old_name, int to, const char *new_name);
int bh_name_remove(int directory, const char *name, int is_directory);
int bh_node_set_mode(int node, unsigned mode);
int bh_node_set_owner(int node, uint32_t user, uint32_t group); /* -1: as it is */
int bh_node_set_size(int node, uint64_t size);
int bh_file_set_size(int file, uint64_t size); /* by a descriptor that may write, whatever the permissions are by now */
/* NULL: as it is. Nanoseconds of BH_NOW: the present. */
enum { BH_NOW = -1 };
int bh_node_set_times(int node, const bh_time *accessed, const bh_time *modified);
int bh_fsync(int descriptor, int data_only);
/* getdents64(2) from a place that an entry names, 0 being the first: bytes, 0 at the end. */
ssize_t bh_entries(int directory, int64_t from, void *bytes, size_t count);
/* Descriptors that this process may have. */
uint64_t bh_descriptor_limit(void);
int bh_is_root(void);

#endif
