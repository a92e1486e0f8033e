/* What becomes of a process that the host gives no memory. The Swift runtime answers NULL of malloc with abort(): a message and
 * a back trace that blame the program. Its calls of malloc and posix_memalign - of the runtime's library alone, so that C
 * libraries and plugins get their NULL - are therefore led through the two functions here, by their entries in the library's
 * global offset table. */
#define _GNU_SOURCE
#include "chost_crash.h"
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *(*host_malloc)(size_t);
static int (*host_posix_memalign)(void **, size_t, size_t);

static _Noreturn void end_without_memory(size_t size) {
    char text[96], digits[24];
    size_t length = 0, count = 0;
    static const char before[] = "\nbackplane: the host has no memory left: ", after[] = " bytes cannot be had\n";
    for (size_t i = 0; i < sizeof before - 1; i++) text[length++] = before[i];
    do digits[count++] = (char)('0' + size % 10);
    while (size /= 10);
    while (count > 0) text[length++] = digits[--count];
    for (size_t i = 0; i < sizeof after - 1; i++) text[length++] = after[i];
    ch_tty_reserve();
    ssize_t ignored = write(STDERR_FILENO, text + 1, length - 1);
    (void)ignored;
    ch_end_process(CH_STATUS_HOST_FAILED);
}

static void *runtime_malloc(size_t size) {
    void *memory = host_malloc(size);
    if (__builtin_expect(!memory && size, 0)) end_without_memory(size);
    return memory;
}

static int runtime_posix_memalign(void **memory, size_t alignment, size_t size) {
    int error = host_posix_memalign(memory, alignment, size);
    if (__builtin_expect(error == ENOMEM, 0)) end_without_memory(size);
    return error;
}

/* Whether the linker has made this part of the library read-only. */
static bool is_read_only(const struct link_map *map, const void *base, const void *place) {
    const ElfW(Ehdr) *header = base;
    const ElfW(Phdr) *segments = (const void *)((const char *)base + header->e_phoff);
    for (int i = 0; i < header->e_phnum; i++)
        if (segments[i].p_type == PT_GNU_RELRO &&
            (uintptr_t)place - (map->l_addr + segments[i].p_vaddr) < segments[i].p_memsz)
            return true;
    return false;
}

bool ch_end_without_memory(void) {
    void *symbol = dlsym(RTLD_DEFAULT, "swift_slowAlloc");
    Dl_info info;
    struct link_map *map = NULL;
    if (!symbol || !dladdr1(symbol, &info, (void **)&map, RTLD_DL_LINKMAP) || !map) return false;
    const ElfW(Rela) *relocations = NULL;
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    size_t bytes = 0;
    for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_JMPREL) relocations = (const void *)entry->d_un.d_ptr;
        if (entry->d_tag == DT_PLTRELSZ) bytes = entry->d_un.d_val;
        if (entry->d_tag == DT_SYMTAB) symbols = (const void *)entry->d_un.d_ptr;
        if (entry->d_tag == DT_STRTAB) names = (const void *)entry->d_un.d_ptr;
    }
    if (!relocations || !symbols || !names) return false;
    host_malloc = malloc;
    host_posix_memalign = posix_memalign;
    bool is_led = false;
    for (size_t i = 0; i < bytes / sizeof *relocations; i++) {
        const char *name = names + symbols[ELF64_R_SYM(relocations[i].r_info)].st_name;
        void **entry = (void **)(map->l_addr + relocations[i].r_offset);
        if (is_read_only(map, info.dli_fbase, entry)) return false;
        if (!strcmp(name, "malloc")) {
            *entry = (void *)runtime_malloc;
            is_led = true;
        } else if (!strcmp(name, "posix_memalign")) {
            *entry = (void *)runtime_posix_memalign;
        }
    }
    return is_led;
}
