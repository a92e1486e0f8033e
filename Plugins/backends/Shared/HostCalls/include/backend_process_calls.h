/* Host calls for a program that a backend starts. All descriptors are close-on-exec, and all calls answer -errno on failure. */
#ifndef BACKEND_PROCESS_CALLS_H
#define BACKEND_PROCESS_CALLS_H

/* Starts `path` in a session of its own, with nothing open but /dev/null as input and `output` as output and errors: its process number. It gets
 * SIGKILL when the *thread* that calls this ends, however it ends. `arguments` ends with NULL. */
int bh_spawn(const char *path, char *const arguments[], int output);
/* 1: it has ended, and its number is free; 0: it runs. */
int bh_reap(int process);
int bh_kill(int process, int signal);
/* A pipe: `ends[0]`, not blocking, reads what is written to `ends[1]`. */
int bh_pipe(int ends[2]);
/* A new folder of 0700; the six X at the end of `path` are replaced. */
int bh_private_folder(char *path);

#endif
