#define _GNU_SOURCE
#include "backend_network_calls.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

int bh_tap_attach(int fd, const char *name) {
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    if (strlen(name) >= sizeof request.ifr_name) return -ENAMETOOLONG;
    strcpy(request.ifr_name, name);
    return ioctl(fd, TUNSETIFF, &request) < 0 ? -errno : 0;
}
