import CHost
import Core

/// CPUID as the guest sees it: what KVM supports, masked to what the machine has. There is no local APIC, so nothing
/// that lives in one or reports through one; one thread in one core in one package; no nested virtualization. The
/// hypervisor bit stays, the leaves of KVM's own paravirtual interface do not. Sources: SDM volume 2 "CPUID", AMD APM
/// volume 3 appendix E.
enum GuestCPUID {
    static func make(kvm: Int32, cpuCount: Int) throws(EngineError) -> [kvm_cpuid_entry2] {
        let limit = ch_kvm_check(kvm, UInt32(KVM_CAP_MAX_VCPUS))
        guard cpuCount >= 1, cpuCount <= max(1, Int(limit)) else {
            throw EngineError("\(cpuCount) vCPUs: KVM takes 1 to \(max(1, limit))")
        }
        return masked(try supported(kvm: kvm))
    }

    static func masked(_ entries: [kvm_cpuid_entry2]) -> [kvm_cpuid_entry2] {
        var result: [kvm_cpuid_entry2] = []
        for entry in entries where entry.function & 0xf000_0000 != 0x4000_0000 {
            // Levels of a topology that is not there: an all-zero leaf says so.
            if [0xb, 0x1f, 0x8000_0026].contains(entry.function), entry.index > 0 { continue }
            var entry = entry
            mask(&entry)
            result.append(entry)
        }
        // Otherwise Intel's rule for leaves beyond the last one would repeat the last one here.
        result.append(kvm_cpuid_entry2(function: 0x4000_0000))
        return result
    }

    private static func supported(kvm: Int32) throws(EngineError) -> [kvm_cpuid_entry2] {
        var room: UInt32 = 128
        while true {
            var entries = [kvm_cpuid_entry2](repeating: .init(), count: Int(room))
            var count = room
            let result = ch_kvm_supported_cpuid(kvm, &entries, &count)
            if result == -7, room < 4096 {  // E2BIG
                room *= 2
                continue
            }
            _ = try check(result, "KVM_GET_SUPPORTED_CPUID")
            return Array(entries.prefix(Int(count)))
        }
    }

    private static func mask(_ entry: inout kvm_cpuid_entry2) {
        switch entry.function {
        case 1:
            entry.ebx = entry.ebx & 0x0000_ffff | 1 << 16  // APIC id 0, one logical processor
            // MONITOR, VMX, PDCM, x2APIC, TSC deadline
            entry.ecx &= ~(1 << 3 | 1 << 5 | 1 << 15 | 1 << 21 | 1 << 24)
            entry.ecx |= 1 << 31  // hypervisor
            entry.edx &= ~(1 << 9 | 1 << 28)  // APIC, HTT
        case 4, 0x8000_001d:  // caches, by subleaf: shared by one thread, one core in the package
            entry.eax &= 0x0000_3fff
        case 5, 6, 0xa, 0xb, 0x12, 0x1f, 0x8000_001e, 0x8000_0022, 0x8000_0026, 0x8000_000a:
            // MONITOR, thermal and power, counters, topology, SGX, SVM
            entry = kvm_cpuid_entry2(function: entry.function, index: entry.index, flags: entry.flags)
        case 7 where entry.index == 0:
            entry.ebx &= ~(1 << 2)  // SGX
            entry.ecx &= ~(1 << 5 | 1 << 30)  // WAITPKG, SGX launch control
        case 0x8000_0001:
            // CmpLegacy, SVM, extended APIC space, topology extensions, three counter groups, MONITORX
            entry.ecx &= ~(1 << 1 | 1 << 2 | 1 << 3 | 1 << 22 | 1 << 23 | 1 << 24 | 1 << 28 | 1 << 29)
            entry.edx &= ~(1 << 9)  // APIC, as in leaf 1
        case 0x8000_0008:
            entry.ecx = 0  // threads in the package, APIC id bits
        default: break
        }
    }

    /// Family, model and stepping: what DX holds after RESET.
    static func signature(_ entries: [kvm_cpuid_entry2]) -> UInt32 {
        entries.first { $0.function == 1 }?.eax ?? 0x600
    }
}

extension kvm_cpuid_entry2 {
    init(function: UInt32, index: UInt32 = 0, flags: UInt32 = 0) {
        self.init()
        self.function = function
        self.index = index
        self.flags = flags
    }
}
