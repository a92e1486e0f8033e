/* libwebsockets (apt libwebsockets-dev): HTTP and WebSocket. */
#include <libwebsockets.h>

/* Macros that Swift does not see: bytes before what is written, and an end at once. */
enum { CWS_PRE = LWS_PRE, CWS_KILL = LWS_TO_KILL_ASYNC, CWS_NO_LISTEN = CONTEXT_PORT_NO_LISTEN_SERVER };
