/* Source: Documentation/virt/kvm/api.rst of the Linux kernel. */
#define _GNU_SOURCE
#include "bare_kvm.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RAM_BYTES = 1 << 20, IMAGE_ADDRESS = 0x7c00 };

static int32_t make_vm(bare_kvm *machine) {
    machine->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (machine->kvm < 0) return -errno;
    machine->vm = ioctl(machine->kvm, KVM_CREATE_VM, 0);
    if (machine->vm < 0) return -errno;
    /* Intel CPUs without unrestricted guest need three pages for real mode. */
    ioctl(machine->vm, KVM_SET_TSS_ADDR, 0xfeffd000ul);
    return 0;
}

static int32_t make_ram(bare_kvm *machine, const void *image, size_t length) {
    if (length > RAM_BYTES - IMAGE_ADDRESS) return -E2BIG;
    void *ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ram == MAP_FAILED) return -errno;
    machine->ram = ram;
    memcpy((char *)ram + IMAGE_ADDRESS, image, length);
    struct kvm_userspace_memory_region region = {.memory_size = RAM_BYTES, .userspace_addr = (uintptr_t)ram};
    return ioctl(machine->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static int32_t make_vcpu(bare_kvm *machine) {
    machine->vcpu = ioctl(machine->vm, KVM_CREATE_VCPU, 0);
    if (machine->vcpu < 0) return -errno;
    int size = ioctl(machine->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < 0) return -errno;
    void *run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, machine->vcpu, 0);
    if (run == MAP_FAILED) return -errno;
    machine->run = run;
    machine->run_size = (size_t)size;
    return 0;
}

static int32_t enter_image(bare_kvm *machine) {
    struct kvm_sregs system;
    if (ioctl(machine->vcpu, KVM_GET_SREGS, &system) < 0) return -errno;
    system.cs.base = 0;
    system.cs.selector = 0;
    if (ioctl(machine->vcpu, KVM_SET_SREGS, &system) < 0) return -errno;
    struct kvm_regs registers = {.rip = IMAGE_ADDRESS, .rflags = 2};
    return ioctl(machine->vcpu, KVM_SET_REGS, &registers) < 0 ? -errno : 0;
}

int32_t bare_kvm_open(bare_kvm *machine, const void *image, size_t length) {
    *machine = (bare_kvm){.kvm = -1, .vm = -1, .vcpu = -1};
    int32_t result = make_vm(machine);
    if (result == 0) result = make_ram(machine, image, length);
    if (result == 0) result = make_vcpu(machine);
    return result == 0 ? enter_image(machine) : result;
}

int64_t bare_kvm_run(bare_kvm *machine, uint16_t mark) {
    struct kvm_run *run = machine->run;
    int64_t exits = 0;
    while (1) {
        if (ioctl(machine->vcpu, KVM_RUN, 0) < 0) {
            if (errno == EINTR) continue;
            return -errno;
        }
        if (run->exit_reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT) return -EIO;
        exits += 1;
        if (run->io.port == mark) return exits;
    }
}

void bare_kvm_close(bare_kvm *machine) {
    if (machine->run) munmap(machine->run, machine->run_size);
    if (machine->vcpu >= 0) close(machine->vcpu);
    if (machine->vm >= 0) close(machine->vm);
    if (machine->kvm >= 0) close(machine->kvm);
    if (machine->ram) munmap(machine->ram, RAM_BYTES);
}
