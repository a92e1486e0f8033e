// Short sequences of system instructions, on KVM and in software, from one image of memory. KVM is a witness: where the two differ, the
// SDM judges.

import CBackplane
import Core
import Glibc
import Testing

@Suite(.serialized, .enabled(if: kvmIsHere, needsKVM)) struct WitnessTests {
    private static func number(_ name: String) -> Int? { getenv(name).flatMap { Int(String(cString: $0)) } }
    /// In a box each case takes 50 ms.
    static let count = (KVMHost.box == nil ? 200 : 60) * max(1, min(number("BACKPLANE_SOAK") ?? 1, 10_000))
    static let seed = UInt64(number("BACKPLANE_SEED") ?? 1)

    @Test(arguments: WitnessMode.allCases) func systemSequencesDoAsKVMs(mode: WitnessMode) throws {
        let kvm = try WitnessMachine(.kvm)
        let soft = try WitnessMachine(.soft)
        defer {
            kvm.stop()
            soft.stop()
        }
        do throws(EngineError) {
            try kvm.cpu.setRegisters(mode.registers(try kvm.cpu.registers()))
        } catch {
            print("witness: this KVM has no mode '\(mode)': \(error)")
            return
        }
        let image = WitnessImage(mode)
        var comparison = WitnessComparison()
        for number in 0..<Self.count {
            let one = WitnessCase(mode, image, seed: Self.seed &* 0x1_0000_0000 &+ UInt64(number))
            let a = try kvm.run(one.image.bytes, mode.registers(try kvm.powerOn()))
            let b = try soft.run(one.image.bytes, mode.registers(try soft.powerOn()))
            comparison.add(one, a, b, kvm, soft)
        }
        let (compared, differences) = (comparison.compared, comparison.differences)
        #expect(differences.isEmpty, "\(differences.count):\n\(differences.prefix(20).joined(separator: "\n"))")
        #expect(compared > Self.count / 4, "\(mode): only \(compared) of \(Self.count) could be compared")
    }

    // MARK: What is compared

    /// Each as "name KVM value soft value".
    static func differences(_ a: WitnessEnd, _ b: WitnessEnd, _ kvm: WitnessMachine, _ soft: WitnessMachine) -> [String]
    {
        if a.kind != b.kind { return ["end KVM \(a.kind) soft \(b.kind)"] }
        // Where a program without an end is when it is stopped is nobody's doing.
        if a.kind == .shutdown || a.kind == .endless { return [] }
        var lines: [String] = []
        func compare(_ name: String, _ x: UInt64, _ y: UInt64) {
            if x != y { lines.append("\(name) KVM \(String(x, radix: 16)) soft \(String(y, radix: 16))") }
        }
        for ((name, x), (_, y)) in zip(values(a.registers), values(b.registers)) { compare(name, x, y) }
        for (p, q) in zip(segments(a.registers), segments(b.registers)) {
            compare("\(p.0).selector", UInt64(p.1.selector), UInt64(q.1.selector))
            // In long mode a null SS can be used, and is unusable to some.
            if p.1.selector < 4, q.1.selector < 4 { continue }
            compare("\(p.0).unusable", UInt64(p.1.attributes & 0x100), UInt64(q.1.attributes & 0x100))
            if (p.1.attributes | q.1.attributes) & 0x100 != 0 { continue }
            compare("\(p.0).base", p.1.base, q.1.base)
            compare("\(p.0).limit", UInt64(p.1.limit), UInt64(q.1.limit))
            compare("\(p.0).attributes", UInt64(p.1.attributes), UInt64(q.1.attributes))
        }
        guard memcmp(kvm.ram, soft.ram, Image.length) != 0 else { return lines }
        for at in stride(from: 0, to: Image.length, by: 4) where lines.count < 16 {
            let x = kvm.ram.load(fromByteOffset: at, as: UInt32.self)
            let y = soft.ram.load(fromByteOffset: at, as: UInt32.self)
            // RF in what a fault has pushed, at a stack of 4 or 2 bytes.
            if KVMHost.box == "tcg", [1 << 16, 1].contains(x ^ y) { continue }
            compare("[\(String(at, radix: 16))]", UInt64(x), UInt64(y))
        }
        return lines
    }

    private static func values(_ x: bp_registers) -> [(String, UInt64)] {
        let general = withUnsafeBytes(of: x.general) { bytes in
            (0..<16).map { ("r\($0)", bytes.load(fromByteOffset: $0 * 8, as: UInt64.self)) }
        }
        return general + [
            ("rip", x.rip), ("rflags", x.rflags), ("gdtr", x.gdtr_base), ("gdtr.limit", UInt64(x.gdtr_limit)),
            ("idtr", x.idtr_base), ("idtr.limit", UInt64(x.idtr_limit)), ("cr0", x.cr0), ("cr2", x.cr2), ("cr3", x.cr3),
            ("cr4", x.cr4), ("efer", x.efer), ("dr6", x.dr.6), ("dr7", x.dr.7), ("dr0", x.dr.0), ("dr1", x.dr.1),
        ]
    }

    private static func segments(_ x: bp_registers) -> [(String, bp_segment)] {
        [
            ("es", x.es), ("cs", x.cs), ("ss", x.ss), ("ds", x.ds), ("fs", x.fs), ("gs", x.gs), ("ldtr", x.ldtr),
            ("tr", x.tr),
        ]
    }
}

/// What cases have come to on both engines.
struct WitnessComparison {
    private(set) var compared = 0
    private(set) var differences: [String] = []

    /// What this KVM cannot emulate says nothing, nor what is excluded.
    mutating func add(
        _ one: WitnessCase, _ a: WitnessEnd, _ b: WitnessEnd, _ kvm: WitnessMachine, _ soft: WitnessMachine
    ) {
        if case .failed = a.kind { return }
        let found = WitnessTests.differences(a, b, kvm, soft)
        if !found.isEmpty, Exclusion.here.contains(where: { $0.covers(one, a, b, found) }) { return }
        compared += 1
        if !found.isEmpty { differences.append("\(one.description)\n    \(found.joined(separator: "; "))") }
    }
}
