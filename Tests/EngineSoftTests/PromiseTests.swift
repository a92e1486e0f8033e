// What CPUID promises is there, and nothing else is. Source: SDM volume 2, CPUID; volume 3, 2.5 (CR4), 13.3 (XCR0); volume 4, table 2-2 (MSRs).

import Testing

@testable import EngineSoft

/// A bit of CPUID.
struct Promise: CustomTestStringConvertible {
    enum Output { case eax, ebx, ecx, edx }
    let leaf: UInt32
    var subleaf: UInt32 = 0
    let output: Output
    let bit: UInt32

    init(_ leaf: UInt32, _ output: Output, _ bit: UInt32, subleaf: UInt32 = 0) {
        (self.leaf, self.output, self.bit, self.subleaf) = (leaf, output, bit, subleaf)
    }

    func isMade(_ cpu: SoftCPU) -> Bool {
        let values = cpu.model.cpuid(leaf: leaf, subleaf: subleaf, cpu.s)
        let word =
            switch output {
            case .eax: values.eax
            case .ebx: values.ebx
            case .ecx: values.ecx
            case .edx: values.edx
            }
        return word >> bit & 1 != 0
    }

    var testDescription: String { "CPUID.\(String(leaf, radix: 16)):\(output)[\(bit)]" }
}

/// An MSR or a range of them: what promises it (nil: every CPU of family 6 has it), and bits that are reserved.
private struct PromisedMSR {
    let indices: ClosedRange<UInt32>
    let promise: Promise?
    var reserved: UInt64 = 0
    /// Written and read back as it is; nil: read-only, or not kept.
    var value: UInt64?

    init(_ first: UInt32, through last: UInt32? = nil, _ promise: Promise?, reserved: UInt64 = 0, value: UInt64? = nil)
    {
        indices = first...(last ?? first)
        (self.promise, self.reserved, self.value) = (promise, reserved, value)
    }

    private static let longMode = Promise(0x8000_0001, .edx, 29)
    private static let mtrr = Promise(1, .edx, 12), mca = Promise(1, .edx, 14), vmx = Promise(1, .ecx, 5)
    private static let sysenter = Promise(1, .edx, 11), acpi = Promise(1, .edx, 22)
    private static let address: UInt64 = 0xffff_8000_1234_5678

    static let all = [
        PromisedMSR(0x0, through: 0x1, Promise(1, .edx, 7)),  // P5_MC_ADDR, P5_MC_TYPE
        PromisedMSR(0x10, Promise(1, .edx, 4)),  // TSC
        PromisedMSR(0x17, nil),  // PLATFORM_ID
        PromisedMSR(0x1b, Promise(1, .edx, 9)),  // APIC_BASE
        PromisedMSR(0x3a, vmx),  // FEATURE_CONTROL
        PromisedMSR(0x3b, Promise(7, .ebx, 1)),  // TSC_ADJUST
        PromisedMSR(0x48, through: 0x49, Promise(7, .edx, 26)),  // SPEC_CTRL, PRED_CMD
        PromisedMSR(0x8b, nil),  // BIOS_SIGN_ID
        PromisedMSR(0xfe, mtrr), PromisedMSR(0x200, through: 0x213, mtrr), PromisedMSR(0x250, mtrr),
        PromisedMSR(0x258, through: 0x259, mtrr), PromisedMSR(0x268, through: 0x26f, mtrr), PromisedMSR(0x2ff, mtrr),
        PromisedMSR(0x10a, Promise(7, .edx, 29)),  // ARCH_CAPABILITIES
        PromisedMSR(0x174, sysenter, value: 0x10),
        PromisedMSR(0x175, through: 0x176, sysenter, value: address),
        // MCG_CAP, MCG_STATUS, MCG_CTL; the banks.
        PromisedMSR(0x179, through: 0x17b, mca), PromisedMSR(0x400, through: 0x47f, mca),
        PromisedMSR(0x19a, through: 0x19c, acpi),  // CLOCK_MODULATION, THERM_INTERRUPT, THERM_STATUS
        // MISC_ENABLE: fast strings; BTS and PEBS unavailable; limit of CPUID; XD disable.
        PromisedMSR(0x1a0, nil, reserved: ~(1 | 1 << 11 | 1 << 12 | 1 << 22 | 1 << 34), value: 0x40_1800),
        PromisedMSR(0x1d9, nil, reserved: ~0),  // DEBUGCTL
        PromisedMSR(0x277, Promise(1, .edx, 16), reserved: 0xf8f8_f8f8_f8f8_f8f8, value: 0x0006_0106_0504_0107),
        PromisedMSR(0x480, through: 0x491, vmx),
        PromisedMSR(0x600, Promise(1, .edx, 21)),  // DS_AREA
        PromisedMSR(0x6e0, Promise(1, .ecx, 24)),  // TSC_DEADLINE
        PromisedMSR(0x800, through: 0x8ff, Promise(1, .ecx, 21)),  // x2APIC
        PromisedMSR(0xda0, Promise(0xd, .eax, 3, subleaf: 1)),  // XSS
        PromisedMSR(0xc000_0080, longMode, reserved: ~0xd01, value: 0x901),
        PromisedMSR(0xc000_0081, longMode, value: 0x1234_5678_9abc_def0),
        PromisedMSR(0xc000_0082, through: 0xc000_0083, longMode, value: address),
        PromisedMSR(0xc000_0084, longMode, value: 0x4_7700),
        PromisedMSR(0xc000_0100, through: 0xc000_0102, longMode, value: address),
        PromisedMSR(0xc000_0103, Promise(0x8000_0001, .edx, 27), reserved: ~0xffff_ffff, value: 0x1234_5678),
    ]
}

struct PromiseTests {
    private func bench() throws -> SystemBench {
        let bench = try SystemBench([0xf4])
        bench.enterLongMode()
        return bench
    }

    // MARK: MSRs

    /// Over the ranges in which MSRs are, and that of hypervisors.
    @Test func anMSRIsThereIfCPUIDPromisesIt() throws {
        let bench = try bench()
        for range in [0..<0x2000, 0x4000_0000..<0x4000_0200, 0xc000_0000..<0xc000_2000] as [Range<UInt32>] {
            for index in range {
                let register = PromisedMSR.all.first { $0.indices.contains(index) }
                let isPromised = register.map { $0.promise?.isMade(bench.cpu) ?? true } ?? false
                #expect((bench.cpu.msr(index) != nil) == isPromised, "MSR 0x\(String(index, radix: 16))")
                if !isPromised { #expect(!bench.cpu.setMSR(index, 0), "MSR 0x\(String(index, radix: 16))") }
            }
        }
    }

    @Test func whatIsWrittenReadsBackAndReservedBitsAreRefused() throws {
        let bench = try bench()
        for register in PromisedMSR.all where register.promise?.isMade(bench.cpu) ?? true {
            for index in register.indices {
                let name: Comment = "MSR 0x\(String(index, radix: 16))"
                let before = try #require(bench.cpu.msr(index))
                for bit in 0..<64 as Range<UInt64> where register.reserved >> bit & 1 != 0 {
                    #expect(!bench.cpu.setMSR(index, before ^ 1 << bit), name)
                }
                if index != 0x10 { #expect(bench.cpu.msr(index) == before, name) }
                guard let value = register.value else { continue }
                #expect(bench.cpu.setMSR(index, before), "what was read can be written")
                #expect(bench.cpu.msr(index) == before, name)
                if index == 0xc000_0080 { continue }  // LME cannot change here
                #expect(bench.cpu.setMSR(index, value), name)
                #expect(bench.cpu.msr(index) == value, name)
                #expect(bench.cpu.setMSR(index, before), name)
            }
        }
    }

    /// Linear addresses must be canonical.
    @Test(arguments: [0x175, 0x176, 0xc000_0082, 0xc000_0083, 0xc000_0100, 0xc000_0101, 0xc000_0102] as [UInt32])
    func anAddressThatIsNotCanonicalIsRefused(index: UInt32) throws {
        let bench = try bench()
        #expect(!bench.cpu.setMSR(index, 0x8000_0000_0000))
        #expect(!bench.cpu.setMSR(index, 0x7fff << 48))
    }

    /// IA32_MISC_ENABLE's bits change what CPUID says, and its read-only ones stay.
    @Test func MISCENABLEDoesWhatItSays() throws {
        let bench = try bench()
        let leaf = { (number: UInt32) in bench.cpu.model.cpuid(leaf: number, subleaf: 0, bench.s) }
        #expect(leaf(0).eax == 0x16 && leaf(0x15).ecx == 1_000_000_000)
        #expect(bench.cpu.setMSR(0x1a0, 1 << 22))
        #expect(bench.cpu.msr(0x1a0) == 1 << 22 | 1 << 11 | 1 << 12)
        #expect(leaf(0).eax == 2 && leaf(0x15).ecx == 0)
        #expect(!bench.cpu.setMSR(0x1a0, 1 << 34), "NX is in use")
        bench.s.cpu.pointee.efer &= ~0x800
        #expect(bench.cpu.setMSR(0x1a0, 1 << 34))
        #expect(leaf(0x8000_0001).edx & 1 << 20 == 0)
        #expect(!bench.cpu.setMSR(0xc000_0080, 0xd01))
        #expect(bench.cpu.setMSR(0x1a0, 1) && bench.cpu.setMSR(0xc000_0080, 0xd01))
    }

    // MARK: Control registers

    /// Bits of CR4; nil: of every CPU of family 6.
    private static let cr4: [Int: Promise?] = [
        0: Promise(1, .edx, 1), 1: Promise(1, .edx, 1), 2: Promise(1, .edx, 4), 3: Promise(1, .edx, 2),
        4: Promise(1, .edx, 3), 5: Promise(1, .edx, 6), 6: Promise(1, .edx, 7), 7: Promise(1, .edx, 13), 8: nil,
        9: Promise(1, .edx, 24), 10: Promise(1, .edx, 25), 11: Promise(7, .ecx, 2), 12: Promise(7, .ecx, 16),
        13: Promise(1, .ecx, 5), 14: Promise(1, .ecx, 6), 16: Promise(7, .ebx, 0), 17: Promise(1, .ecx, 17),
        18: Promise(1, .ecx, 26), 20: Promise(7, .ebx, 7), 21: Promise(7, .ebx, 20), 22: Promise(7, .ecx, 3),
        23: Promise(7, .ecx, 7), 24: Promise(7, .ecx, 31),
    ]

    @Test func aBitOfCR4CanBeSetIfCPUIDPromisesIt() throws {
        let bench = try bench()
        for bit in 0..<64 {
            let promise = Self.cr4[bit]
            let isPromised = promise.map { $0?.isMade(bench.cpu) ?? true } ?? false
            let wanted = bench.s.cpu.pointee.cr4 | 1 << UInt64(bit)
            #expect(bench.cpu.setCR4(wanted) == isPromised, "CR4 bit \(bit)")
            if isPromised { #expect(bench.s.cpu.pointee.cr4 == wanted) }
        }
    }

    /// CPUID.D.0:EDX:EAX are the bits of XCR0, and XSETBV takes each of them (x87 must be among them).
    @Test func XCR0HasTheBitsOfLeafD() throws {
        for bit: UInt64 in 0..<64 {
            let bench = try SystemBench([0x0f, 0x01, 0xd1, 0xf4])
            bench.s.cpu.pointee.cr4 = 1 << 18
            let leaf = bench.cpu.model.cpuid(leaf: 0xd, subleaf: 0, bench.s)
            let promised = UInt64(leaf.edx) << 32 | UInt64(leaf.eax)
            let value: UInt64 = 1 | 1 << bit
            (bench.s[Register.rax], bench.s[Register.rdx], bench.s[Register.rcx]) = (
                value & 0xffff_ffff, value >> 32, 0
            )
            bench.runToHalt()
            let isTaken = bench.s.rip == 0x1004
            #expect(isTaken == (value & ~promised == 0), "XCR0 bit \(bit)")
        }
    }

    // MARK: Instructions

    struct Named: CustomTestStringConvertible {
        let promise: Promise
        let code: [UInt8]
        init(_ promise: Promise, _ code: UInt8...) { (self.promise, self.code) = (promise, code) }
        var testDescription: String { "\(promise.testDescription) \(code.map { String($0, radix: 16) })" }

        /// One instruction of each feature that has any that are undefined without it.
        static let all = [
            Named(Promise(1, .edx, 0), 0xd9, 0xe8), Named(Promise(1, .edx, 4), 0x0f, 0x31),
            Named(Promise(1, .edx, 8), 0x0f, 0xc7, 0x0f), Named(Promise(1, .edx, 15), 0x0f, 0x40, 0xc0),
            Named(Promise(1, .edx, 19), 0x0f, 0xae, 0x3f), Named(Promise(1, .edx, 23), 0x0f, 0x77),
            Named(Promise(1, .edx, 24), 0x0f, 0xae, 0x07), Named(Promise(1, .edx, 25), 0x0f, 0x57, 0xc0),
            Named(Promise(1, .edx, 26), 0x66, 0x0f, 0x57, 0xc0), Named(Promise(1, .ecx, 0), 0xf2, 0x0f, 0x7c, 0xc0),
            Named(Promise(1, .ecx, 1), 0x66, 0x0f, 0x3a, 0x44, 0xc0, 0), Named(Promise(1, .ecx, 3), 0x0f, 0x01, 0xc8),
            Named(Promise(1, .ecx, 5), 0x0f, 0x01, 0xc1), Named(Promise(1, .ecx, 9), 0x66, 0x0f, 0x38, 0x1c, 0xc0),
            Named(Promise(1, .ecx, 13), 0x48, 0x0f, 0xc7, 0x0f),
            Named(Promise(1, .ecx, 19), 0x66, 0x0f, 0x38, 0x10, 0xc0),
            Named(Promise(1, .ecx, 20), 0x66, 0x0f, 0x38, 0x37, 0xc0),
            Named(Promise(1, .ecx, 22), 0x0f, 0x38, 0xf0, 0x07),
            Named(Promise(1, .ecx, 23), 0xf3, 0x0f, 0xb8, 0xc0),
            Named(Promise(1, .ecx, 25), 0x66, 0x0f, 0x38, 0xdc, 0xc0),
            Named(Promise(1, .ecx, 26), 0x0f, 0xae, 0x27), Named(Promise(1, .ecx, 28), 0xc5, 0xf8, 0x57, 0xc0),
            Named(Promise(1, .ecx, 30), 0x0f, 0xc7, 0xf0), Named(Promise(7, .ebx, 0), 0xf3, 0x48, 0x0f, 0xae, 0xc0),
            Named(Promise(7, .ebx, 8), 0xc4, 0xe2, 0xfa, 0xf7, 0xc0),
            Named(Promise(7, .ebx, 10), 0x66, 0x0f, 0x38, 0x82, 0x07),
            Named(Promise(7, .ebx, 18), 0x0f, 0xc7, 0xf8), Named(Promise(7, .ebx, 19), 0x66, 0x0f, 0x38, 0xf6, 0xc0),
            Named(Promise(7, .ebx, 20), 0x0f, 0x01, 0xca), Named(Promise(7, .ebx, 23), 0x66, 0x0f, 0xae, 0x3f),
            Named(Promise(7, .ebx, 29), 0x0f, 0x38, 0xc8, 0xc0), Named(Promise(7, .ecx, 22), 0xf3, 0x0f, 0xc7, 0xf8),
            Named(Promise(0x8000_0001, .ecx, 0), 0x9f), Named(Promise(0x8000_0001, .edx, 27), 0x0f, 0x01, 0xf9),
            Named(Promise(0x8000_0001, .edx, 11), 0x0f, 0x05),
            Named(Promise(0xd, .eax, 0, subleaf: 1), 0x0f, 0xae, 0x37),  // XSAVEOPT
            Named(Promise(0xd, .eax, 1, subleaf: 1), 0x0f, 0xc7, 0x27),  // XSAVEC
            Named(Promise(0x8000_0001, .ecx, 2), 0x0f, 0x01, 0xd9),  // SVM: VMMCALL
        ]
    }

    @Test(arguments: Named.all) func anInstructionIsThereIfCPUIDPromisesIt(_ named: Named) throws {
        let bench = try SystemBench(named.code + [0xf4])
        bench.enterLongMode()
        #expect(bench.cpu.setCR4(bench.s.cpu.pointee.cr4 | 1 << 16 | 1 << 18))
        (bench.s[Register.rax], bench.s[Register.rcx], bench.s[Register.rdx]) = (0, 0, 0)
        bench.s[Register.rdi] = 0x20000
        // SYSCALL goes to a HLT.
        bench.put(0x20800, 0xf4)
        bench.s.cpu.pointee.msrs.lstar = 0x20800
        bench.s.cpu.pointee.efer |= 1
        let end = bench.cpu.run()
        if named.promise.isMade(bench.cpu) {
            guard case .halted = end else {
                Issue.record("no HLT: \(end)")
                return
            }
        } else {
            #expect(bench.cpu.undefinedSeen.count == 1)
        }
    }
}
