/* The yardstick of the benchmarks: the least that a VMM can do with /dev/kvm. One vCPU in real mode, 1 MiB of RAM, and
 * a loop around KVM_RUN that does nothing with an exit. */
#ifndef BARE_KVM_H
#define BARE_KVM_H
#include <stddef.h>
#include <stdint.h>

typedef struct bare_kvm {
    int32_t kvm, vm, vcpu;
    void *run, *ram;
    size_t run_size;
} bare_kvm;

/* The image goes to 0x7c00 and is entered there. Returns 0 or -errno; after an error `bare_kvm_close` is due too. */
int32_t bare_kvm_open(bare_kvm *machine, const void *image, size_t length);
/* Runs until the guest writes to `mark`. Returns the number of exits, that one included, or -errno; -EIO: an exit that
 * is no OUT. */
int64_t bare_kvm_run(bare_kvm *machine, uint16_t mark);
void bare_kvm_close(bare_kvm *machine);
#endif
