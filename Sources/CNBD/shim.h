/* libnbd (apt libnbd-dev): the client's end of the NBD protocol. Linked by the name of its file: the plugin nbd is a libnbd.so too. */
#include <libnbd.h>
