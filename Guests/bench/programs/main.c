/* PROGRAM list: the names of what it has, a line each. PROGRAM NAME: prints "ready NAME", waits for a byte, does the work, prints
 * "done NAME CHECKSUM" and waits for a byte again, so that who measures looks at clocks while nothing runs. */
#include "programs.h"

static const struct { const char *name; uint64_t (*run)(void); } programs[] = {
    {"multiply", multiply_long}, {"sha256", sha256}, {"chase", chase}, {"recursion", recursion}, {"indirect", indirect_calls},
    {"interpreter", interpreter}, {"hash", hash_table}, {"sort", sort}, {"bytes", byte_loops},
#ifdef __x86_64__
    {"doubles", doubles}, {"sse", sse}, {"strings", strings}, {"x87", x87},
    {"syscalls", system_calls}, {"faults", page_faults}, {"fork", forks}, {"exec", execs}, {"pipe", pipe_ping_pong},
    {"switches", context_switches}, {"shell", shell_script},
#endif
};
enum { COUNT = sizeof programs / sizeof programs[0] };

char **arguments, **environment;

static int is_equal(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}

static char line[128];
static int used;
static void add(const char *text) {
    while (*text && used < (int)sizeof line) line[used++] = *text++;
}
static void print(void) {
    add("\n");
    call(WRITE, 1, (long)line, used);
    used = 0;
}
static void wait(void) {
    char byte;
    if (call(READ, 0, (long)&byte, 1) != 1) end(1);
}

static void run(int number) {
    add("ready "), add(programs[number].name), print();
    wait();
    uint64_t result = programs[number].run();
    char digits[17] = "";
    for (int i = 0; i < 16; i++) digits[i] = "0123456789abcdef"[result >> (60 - 4 * i) & 15];
    add("done "), add(programs[number].name), add(" "), add(digits), print();
    wait();
}

__attribute__((used)) void begin(word *stack) {
    arguments = (char **)(stack + 1);
    environment = arguments + stack[0] + 1;
    if (stack[0] == 3 && is_equal(arguments[1], "exit")) end((arguments[2][0] - '0') * 10 + arguments[2][1] - '0');
    if (stack[0] != 2) end(2);
    for (int i = 0; i < COUNT; i++) {
        if (is_equal(arguments[1], "list"))
            add(programs[i].name), print();
        else if (is_equal(arguments[1], programs[i].name)) {
            run(i);
            end(0);
        }
    }
    end(is_equal(arguments[1], "list") ? 0 : 2);
}

#ifdef __x86_64__
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call begin");
#else
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %esp, %eax\n and $-16, %esp\n sub $12, %esp\n push %eax\n call begin");
#endif

/* Compilers call these by themselves. */
void *memcpy(void *to, const void *from, size_t count) {
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(count) : : "memory");
    return to;
}
void *memset(void *to, int value, size_t count) {
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(value) : "memory");
    return to;
}
