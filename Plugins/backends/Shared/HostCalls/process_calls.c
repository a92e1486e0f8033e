#define _GNU_SOURCE
#include "backend_process_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What `start` does is done in this process's memory (vfork), while the caller waits: only calls of the kernel's, and no memory of others. */
typedef struct {
    const char *path;
    char *const *arguments;
    int input, output;
    pid_t parent;
    volatile int code;
} program;

static void start(program *it) {
    struct sigaction normal = {.sa_handler = SIG_DFL};
    sigset_t none;
    /* Before signals are let in: no handler of the parent's may run here. */
    for (int number = 1; number < NSIG; number++) (void)sigaction(number, &normal, NULL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return;
    /* It may have ended before that. */
    if (getppid() != it->parent) _exit(127);
    if (dup2(it->input, 0) < 0 || dup2(it->output, 1) < 0 || dup2(it->output, 2) < 0) return;
    /* What others of this process have opened without close-on-exec. Kernels before 5.9 do not know it. */
    (void)close_range(3, ~0U, 0);
    (void)execv(it->path, it->arguments);
}

int bh_spawn(const char *path, char *const arguments[], int output) {
    /* Above 2, so that no dup2 writes over what another one reads, and each clears close-on-exec. */
    int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (input < 0) return -errno;
    int high_input = fcntl(input, F_DUPFD_CLOEXEC, 3), high_output = fcntl(output, F_DUPFD_CLOEXEC, 3), code = errno;
    close(input);
    program it = {path, arguments, high_input, high_output, getpid(), 0};
    pid_t child = -1;
    if (high_input >= 0 && high_output >= 0) {
        child = vfork();
        if (child == 0) {
            start(&it);
            it.code = errno;
            _exit(127);
        }
        code = child < 0 ? errno : it.code;
    }
    if (high_input >= 0) close(high_input);
    if (high_output >= 0) close(high_output);
    if (child < 0) return -code;
    if (code == 0) return child;
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
    return -code;
}

int bh_reap(int process) {
    int result;
    do result = waitpid(process, NULL, WNOHANG);
    while (result < 0 && errno == EINTR);
    /* Nobody's child: somebody else has waited for it. */
    return result < 0 ? (errno == ECHILD ? 1 : -errno) : result == process;
}

int bh_kill(int process, int number) { return kill(process, number) < 0 ? -errno : 0; }

int bh_pipe(int ends[2]) {
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0) return 0;
    int code = errno;
    close(ends[0]);
    close(ends[1]);
    return -code;
}

int bh_private_folder(char *path) { return mkdtemp(path) ? 0 : -errno; }
