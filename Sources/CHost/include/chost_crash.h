/* The crash reporter, the watchdog, the terminal's way back and the process's signals. All signal handlers of the VMM
 * live here and in kvm.c; all of them are async-signal-safe up to the end of the message.
 *
 * Lines on stderr, and nothing else goes there from here but backtraces:
 *   backplane: machine 'tour': plugin crashed: instance 'com1' (uart16550), in read of 0x3f8: SIGSEGV at address 0x10
 *   backplane: machine 'tour': the VMM crashed, in no plugin: SIGILL at address 0x5581...
 *   backplane: crashed while loading /usr/lib/x.so: SIGSEGV at address 0x0
 *   backplane: machine 'tour': plugin does not return: instance 'com1' (uart16550), in write of 0x3f8, for 10 s
 */
#ifndef CHOST_CRASH_H
#define CHOST_CRASH_H
#include "chost_sync.h"

/* ---- Crash reporter ---------------------------------------------------------------------------------------------- */
/* The calling thread works for `machine` (NULL: for none) from here on: gives it an alternate stack, so that a stack
 * overflow can be reported, and installs the handlers for SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP and SIGSYS
 * once for the process. May be called again to change the machine. The process ends by the same signal, its default
 * action taken, so that exit status and core dump are true. Returns 0 or -errno. */
int32_t ch_thread_begin(ch_machine *machine);
/* Before the thread ends, and before the machine is freed. */
void ch_thread_end(void);
/* What the thread is doing outside of any callback: "loading /usr/lib/x.so". Copied up to 511 bytes; NULL: nothing. */
void ch_set_activity(const char *text);
/* From here on an exit() while the calling thread has an activity is reported, and the status is 2. */
void ch_report_exit(void);

/* What runs in the machine, as reports have it: "read of 0x3f8". Of a copy too, and of another process's. */
void ch_describe_activity(const ch_machine *machine, char text[64]);

/* ---- Watchdog: ends the process with status 4 when a callback does not return ------------------------------------ */
/* `watchdog_limit` of the machine holds nanoseconds; looked at every 250 ms by one thread for the process, without any
 * lock of the machine. Time in which the whole process stood still (SIGSTOP, a debugger) does not count. Of its debts the
 * machine is told (`owed`), and goes on. Returns 0 or -errno. */
int32_t ch_watchdog_add(ch_machine *machine);
/* Before the machine is freed. */
void ch_watchdog_remove(ch_machine *machine);
enum { CH_STATUS_PLUGIN_FAULT = 4 };

/* ---- Terminal ---------------------------------------------------------------------------------------------------- */
/* Remembers the settings and the file flags of a terminal, to be put back whenever the process ends: exit(), a crash,
 * the watchdog, and SIGHUP, SIGINT, SIGQUIT and SIGTERM where nobody handles them. One terminal; a second call replaces
 * it. Returns 0 or -errno (-ENOTTY). */
int32_t ch_tty_save(int32_t fd);
/* Async-signal-safe, may be called any number of times; nothing if nothing is saved. Works from the background too. */
void ch_tty_restore(void);
/* Restores, and forgets. */
void ch_tty_release(void);

/* ---- Signals of the process -------------------------------------------------------------------------------------- */
void ch_ignore_sigpipe(void);
/* Turns SIGTERM, SIGINT, SIGHUP, SIGWINCH, SIGTSTP and SIGCONT into bytes, the signals' numbers, on a non-blocking
 * pipe, and returns its read end, the same at every call; or -errno. */
int32_t ch_signal_pipe(void);
#endif
