/* libslirp (apt libslirp-dev): a TCP/IP stack in user space. */
#include <slirp/libslirp.h>
