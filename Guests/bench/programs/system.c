/* What programs ask of the kernel: what is measured is the way there and back. 64-bit. */
#include "programs.h"

extern char **arguments, **environment;

static long start_process(void) { return checked(call(FORK, 0, 0, 0)); }
/* The exit status of a child. */
static long status_of(long process) {
    int status = 0;
    checked(call6(WAIT4, process, (long)&status, 0, 0, 0, 0));
    return status >> 8 & 0xff;
}

PROGRAM(system_calls) {
    long parent = call(GETPPID, 0, 0, 0);
    uint64_t same = 0;
    for (int i = 0; i < 100000; i++) same += call(GETPPID, 0, 0, 0) == parent;
    return same;
}

PROGRAM(page_faults) {
    enum { SIZE = 16 << 20, READ_WRITE = 3, PRIVATE_ANONYMOUS = 0x22, NO_HUGE_PAGES = 15 };
    uint64_t result = 0;
    for (word turn = 1; turn <= 4; turn++) {
        char *memory = (char *)checked(call6(MMAP, 0, SIZE, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0));
        call(MADVISE, (long)memory, SIZE, NO_HUGE_PAGES);
        for (word at = 0; at < SIZE; at += 4096) result += ++memory[at + turn];
        checked(call(MUNMAP, (long)memory, SIZE, 0));
    }
    return result;
}

PROGRAM(forks) {
    uint64_t result = 0;
    for (int i = 0; i < 500; i++) {
        long child = start_process();
        if (!child) end(i & 63);
        result = mixed(result, (uint64_t)status_of(child));
    }
    return result;
}

/* `PROGRAM exit N` ends with that status (main.c). */
PROGRAM(execs) {
    uint64_t result = 0;
    for (int i = 0; i < 300; i++) {
        char number[] = {(char)('0' + i / 10 % 6), (char)('0' + i % 10), 0}, *words[] = {arguments[0], "exit", number, 0};
        long child = start_process();
        if (!child) {
            call(EXECVE, (long)arguments[0], (long)words, (long)environment);
            end(98);
        }
        result = mixed(result, (uint64_t)status_of(child));
    }
    return result;
}

struct ends { int read, write; };
static struct ends made_pipe(void) {
    int pair[2];
    checked(call(PIPE, (long)pair, 0, 0));
    return (struct ends){pair[0], pair[1]};
}

PROGRAM(pipe_ping_pong) {
    struct ends there = made_pipe(), back = made_pipe();
    long child = start_process();
    uint8_t byte = 1;
    if (!child) {
        call(CLOSE, there.write, 0, 0);
        while (call(READ, there.read, (long)&byte, 1) == 1) {
            byte = (uint8_t)(byte * 5 + 1);
            call(WRITE, back.write, (long)&byte, 1);
        }
        end(byte);
    }
    uint64_t result = 0;
    for (int i = 0; i < 10000; i++) {
        checked(call(WRITE, there.write, (long)&byte, 1));
        checked(call(READ, back.read, (long)&byte, 1));
        result = mixed(result, byte);
    }
    call(CLOSE, there.write, 0, 0);
    return mixed(result, (uint64_t)status_of(child));
}

/* A ring of processes hands a number on; each uses 16 KiB of its own before it does. */
PROGRAM(context_switches) {
    enum { RING = 16, ROUNDS = 500 };
    static uint64_t own[2048];
    struct ends pipes[RING];
    for (int i = 0; i < RING; i++) pipes[i] = made_pipe();
    long children[RING];
    uint64_t token = 7;
    for (int i = 1; i < RING; i++) {
        children[i] = start_process();
        if (children[i]) continue;
        for (int round = 0; round < ROUNDS; round++) {
            checked(call(READ, pipes[i - 1].read, (long)&token, 8));
            for (int k = 0; k < 2048; k += 8) token = mixed(token, own[k] += (uint64_t)i);
            checked(call(WRITE, pipes[i].write, (long)&token, 8));
        }
        end(i);
    }
    for (int round = 0; round < ROUNDS; round++) {
        checked(call(WRITE, pipes[0].write, (long)&token, 8));
        checked(call(READ, pipes[RING - 1].read, (long)&token, 8));
    }
    for (int i = 1; i < RING; i++) token = mixed(token, (uint64_t)status_of(children[i]));
    return token;
}

/* What the script beside this program prints. BENCH_SHELL names a BusyBox. */
PROGRAM(shell_script) {
    char *shell = "/bin/busybox", name[256];
    static const char key[] = "BENCH_SHELL=", script[] = "script.sh";
    for (char **at = environment; *at; at++) {
        int i = 0;
        while (key[i] && (*at)[i] == key[i]) i++;
        if (!key[i]) shell = *at + i;
    }
    int length = 0, folder = 0;
    for (; arguments[0][length] && length < 200; length++)
        if (arguments[0][length] == '/') folder = length + 1;
    for (int i = 0; i < folder; i++) name[i] = arguments[0][i];
    for (int i = 0; i < (int)sizeof script; i++) name[folder + i] = script[i];

    struct ends output = made_pipe();
    char *words[] = {shell, "sh", name, shell, 0};
    long child = start_process();
    if (!child) {
        call(DUP2, output.write, 1, 0);
        call(CLOSE, output.read, 0, 0);
        call(CLOSE, output.write, 0, 0);
        call(EXECVE, (long)shell, (long)words, (long)environment);
        end(98);
    }
    call(CLOSE, output.write, 0, 0);
    uint64_t result = 0;
    char text[512];
    for (long got; (got = checked(call(READ, output.read, (long)text, sizeof text))) > 0;)
        for (long i = 0; i < got; i++) result = mixed(result, (uint8_t)text[i]);
    return mixed(result, (uint64_t)status_of(child));
}
