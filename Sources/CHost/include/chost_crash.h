/* The crash reporter, the watchdog, the terminal's way back and the process's signals. All signal handlers of the VMM
 * live here and in kvm.c; all of them are async-signal-safe up to the end of the message.
 *
 * Lines on stderr, and nothing else goes there from here but backtraces:
 *   backplane: machine 'tour': plugin crashed: instance 'com1' (uart16550), in read of 0x3f8: SIGSEGV at address 0x10
 *   backplane: machine 'tour': the VMM crashed, in no plugin: SIGILL at address 0x5581...
 *   backplane: crashed while loading /usr/lib/x.so: SIGSEGV at address 0x0
 *   backplane: machine 'tour': plugin does not return: instance 'com1' (uart16550), in write of 0x3f8, for 10 s
 *   backplane: machine 'tour': a plugin has ended the process: instance 'com1' (uart16550), in write of 0x3f8: exit(3)
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
/* From here on this process ends with a line that says who ended it where it was a plugin, by exit(), quick_exit(), _exit() or _Exit(), and the
 * terminal is restored: in a callback or on a thread of its own, with CH_STATUS_PLUGIN_FAULT; while the thread has an activity, with 2. */
void ch_report_exit(void);
/* What _exit() does, and nothing is reported: for the VMM's own ends. */
_Noreturn void ch_end_process(int status);

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
 * the watchdog, and every signal that ends a process where nobody handles it. One terminal; a second call replaces it.
 * Returns 0 or -errno (-ENOTTY). */
int32_t ch_tty_save(int32_t fd);
/* Async-signal-safe, may be called any number of times; nothing if nothing is saved. Works from the background too. */
void ch_tty_restore(void);
/* Restores, and forgets. */
void ch_tty_release(void);
/* What takes a terminal out of its alternate screen: plain text, the usual cursor, shown; the screen from before. */
#define CH_TTY_PLAIN "\033[0m\033[0 q\033[?25h\033[?1049l"
/* Whether the terminal shows its alternate screen: then it is left, too. */
void ch_tty_painted(bool is_painted);
/* Around each write to the terminal, by its one writer. False: it is reserved, and nothing was begun. */
bool ch_tty_begin_write(void);
void ch_tty_end_write(void);
/* As ch_tty_restore, for a process that ends and says why: from now on nobody else writes. */
void ch_tty_reserve(void);

/* ---- Signals of the process -------------------------------------------------------------------------------------- */
/* SIGPIPE and SIGXFSZ: a reader that has gone and a file-size limit are errors of the write that meets them. */
void ch_ignore_write_signals(void);
/* Turns SIGTERM, SIGINT, SIGHUP, SIGWINCH, SIGTSTP and SIGCONT into bytes, the signals' numbers, on a non-blocking
 * pipe, and returns its read end, the same at every call; or -errno. A SIGTERM, SIGINT or SIGHUP that comes while another
 * has waited in the pipe for two seconds ends the process: nobody reads it any more. */
int32_t ch_signal_pipe(void);
/* The reader has taken what was in the pipe. */
void ch_signals_read(void);

/* ---- Memory ------------------------------------------------------------------------------------------------------ */
/* Where the host gives the Swift runtime no memory, a line says so, the terminal is restored and the process ends with
 * status 6, instead of a crash of the runtime's: Swift code cannot go on without. C code is answered NULL as always.
 * Once, at the start of the process. False: the runtime's calls were not found, and all is as before. */
bool ch_end_without_memory(void);
enum { CH_STATUS_HOST_FAILED = 6 };
#endif
