/* Host calls on network devices. All calls answer -errno on failure. */
#ifndef BACKEND_NETWORK_CALLS_H
#define BACKEND_NETWORK_CALLS_H

/* Makes a descriptor of /dev/net/tun the other end of the tap device `name`, of up to 15 bytes: each read and write is one Ethernet frame. A device that is not there
 * is made, where this process may, and goes with the descriptor. */
int bh_tap_attach(int descriptor, const char *name);

#endif
