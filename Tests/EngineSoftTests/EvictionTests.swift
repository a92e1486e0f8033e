// What the block cache holds changes no result.

import Glibc
import NativeCPU
import Testing

@testable import Core
@testable import EngineSoft

struct EvictionTests {
    /// A 16-bit shift register (taps 16, 14, 13, 11) drives branches for 20,000 rounds, in flat 32-bit segments, where blocks are linked.
    private static let code: [UInt8] = [
        0xb8, 0xe1, 0xac, 0x00, 0x00,  // 00: mov eax, 0xace1
        0x31, 0xdb,  // 05: xor ebx, ebx
        0xb9, 0x20, 0x4e, 0x00, 0x00,  // 07: mov ecx, 20000
        0xd1, 0xe8,  // 0c: shr eax, 1
        0x73, 0x05,  // 0e: jnc 15
        0x35, 0x00, 0xb4, 0x00, 0x00,  // 10: xor eax, 0xb400
        0xa8, 0x01, 0x74, 0x03, 0x83, 0xc3, 0x07,  // 15: test al, 1; jz 1c; add ebx, 7
        0xa8, 0x02, 0x74, 0x03, 0x83, 0xf3, 0x11,  // 1c: test al, 2; jz 23; xor ebx, 0x11
        0xa8, 0x04, 0x74, 0x03, 0x83, 0xeb, 0x03,  // 23: test al, 4; jz 2a; sub ebx, 3
        0x49, 0x75, 0xdf,  // 2a: dec ecx; jnz 0c
        0xf4,  // 2d: hlt
    ]

    private static func run(_ options: SoftOptions) throws -> [UInt64] {
        let machine = try Machine(
            MachineDescription(name: "test", cpuCount: 1, memory: 0, instances: [], watchdog: 0),
            options: MachineOptions(makeEngine: nil, log: { _, _, _ in }))
        defer { machine.tearDown() }
        let ram = nc_guarded(0x10000)
        defer { munmap(ram! - 4096, 0x12000) }
        let engine = SoftEngine(options: options)
        try engine.setMemory([MappedMemory(address: 0, length: 0x10000, host: ram!, isReadOnly: false)])
        let cpu = try #require(try engine.makeCPU(machine.vcpus[0]) as? SoftCPU)
        code.withUnsafeBytes { ram!.advanced(by: 0x1000).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        let s = cpu.s
        s.cpu.pointee.cr0 = 0x11
        for number in 0..<6 {
            s.segment(number).pointee = SegmentRegister(
                base: 0, limit: .max, selector: 8, attributes: number == 1 ? 0xc09b : 0xc093)
        }
        s.rip = 0x1000
        cpu.updateMode()
        guard case .halted = cpu.run() else {
            Issue.record("the program does not come to its HLT")
            return []
        }
        return [s[Register.rax], s[Register.rbx], s[Register.rcx], s.rip, s.run.pointee.executed]
    }

    /// The same in Swift.
    private static var expected: [UInt64] {
        var (a, b, instructions): (UInt32, UInt32, UInt64) = (0xace1, 0, 4)
        for _ in 0..<20_000 {
            let carry = a & 1
            a >>= 1
            if carry != 0 { a ^= 0xb400 }
            if a & 1 != 0 { b &+= 7 }
            if a & 2 != 0 { b ^= 0x11 }
            if a & 4 != 0 { b &-= 3 }
            instructions += 10 + UInt64(carry) + UInt64(a & 1) + UInt64(a >> 1 & 1) + UInt64(a >> 2 & 1)
        }
        return [UInt64(a), UInt64(b), 0, 0x102e, instructions]
    }

    @Test func anArenaThatIsEmptiedAtAnyTimeChangesNoResult() throws {
        for period in 0..<40 {
            var options = SoftOptions.tested
            options.emptiesArenaEvery = period
            #expect(try Self.run(options) == Self.expected, "every \(period) look-ups")
        }
    }

    @Test(arguments: [Translation.off, .on, .always])
    func hostCodeChangesNoResult(translation: Translation) throws {
        for period in [0, 1, 2, 3, 7, 20, 39] {
            var options = SoftOptions()
            (options.emptiesArenaEvery, options.translation) = (period, translation)
            #expect(try Self.run(options) == Self.expected, "every \(period) look-ups")
        }
    }

    @Test func blocksOfOneInstructionChangeNoResult() throws {
        var options = SoftOptions.tested
        options.singleStepsAlways = true
        #expect(try Self.run(options) == Self.expected)
    }
}
