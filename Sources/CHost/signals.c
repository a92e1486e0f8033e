#define _GNU_SOURCE
#include "chost_crash.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

void ch_ignore_write_signals(void) {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

static int signal_pipe[2] = {-1, -1};
static int signal_pipe_error;
/* Since when a signal that ends the process waits for the pipe's reader; 0: none does. */
static uint64_t waiting_since;
static const uint64_t patience = 2000000000;

void ch_signals_read(void) { ch_store64(&waiting_since, 0); }

/* Async-signal-safe. */
static _Noreturn void leave(int number) {
    static const char text[] = "backplane: the machine does not end: left by a signal that nobody reads\n";
    ch_tty_restore();
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    ch_end_process(128 + number);
}

static void to_pipe(int number) {
    int saved = errno;
    if (number == SIGTERM || number == SIGINT || number == SIGHUP) {
        uint64_t now = ch_monotonic(), since = ch_load64(&waiting_since);
        if (since && now - since >= patience) leave(number);
        if (!since) ch_store64(&waiting_since, now);
    }
    uint8_t byte = (uint8_t)number;
    ssize_t ignored = write(signal_pipe[1], &byte, 1); /* full: 64 Ki signals wait already */
    (void)ignored;
    errno = saved;
}

static void open_signal_pipe(void) {
    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
        signal_pipe_error = -errno;
        return;
    }
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGWINCH, SIGTSTP, SIGCONT};
    struct sigaction action = {.sa_handler = to_pipe, .sa_flags = SA_ONSTACK | SA_RESTART};
    sigset_t handled;
    sigemptyset(&action.sa_mask);
    sigemptyset(&handled);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (sigaction(numbers[i], &action, NULL) < 0) signal_pipe_error = -errno;
        else sigaddset(&handled, numbers[i]);
    /* A parent may have started us with signals blocked (test runners do). */
    pthread_sigmask(SIG_UNBLOCK, &handled, NULL);
}

int32_t ch_signal_pipe(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_signal_pipe);
    return signal_pipe_error ? signal_pipe_error : signal_pipe[0];
}
