import Core
import Foundation
import Testing

/// Local APIC, I/O APIC, PIC and the lines that drive both, wired as on a PC.
@Suite struct APICTests {
    private static let board = """
        cpu: { interrupts: apic }
        memory: 1MiB
        devices:
          - { id: gsi, plugin: gsi, pic: pic.0-15, ioapic: ioapic.0-23 }
          - { id: apic, plugin: lapic, extint: pic }
          - { id: ioapic, plugin: ioapic, apic: apic }
          - { id: pic, plugin: pic8259 }
        """

    private func machine(_ line: Int) throws -> Machine {
        let machine = try TestMachine(
            "machine: apic\n" + Self.board + "\n  - { id: source, plugin: faulty, irq: gsi.\(line) }\n", engine: false
        ).machine
        for name in ["apic", "ioapic", "pic"] { try machine.resetInstance(name) }
        return machine
    }

    private func apic(_ machine: Machine, _ offset: UInt64, _ value: UInt64) {
        _ = machine.access(address: 0xfee0_0000 + offset, width: 4, value: value)
    }

    /// Entry `pin` of the redirection table (82093AA, 3.2.4).
    private func route(_ machine: Machine, _ pin: UInt64, _ low: UInt64) {
        for (register, value) in [(0x11 + pin * 2, 0), (0x10 + pin * 2, low)] {
            _ = machine.access(address: 0xfec0_0000, width: 4, value: register)
            _ = machine.access(address: 0xfec0_0010, width: 4, value: value)
        }
    }

    @Test func aLevelComesThroughTheIOAPICUntilItsSourceIsQuiet() throws {
        let machine = try machine(5)
        defer { machine.tearDown() }
        apic(machine, 0xf0, 0x1ff)
        route(machine, 5, 0x55 | 1 << 15)
        try machine.resetInstance("source")
        #expect(machine.acknowledgeInterrupt() == 0x55)
        #expect(!machine.interruptPin())
        apic(machine, 0xb0, 0)
        #expect(machine.interruptPin(), "the line is still asserted: its end asks again")
        #expect(machine.acknowledgeInterrupt() == 0x55)
        try machine.takeOffline("source")
        apic(machine, 0xb0, 0)
        #expect(!machine.interruptPin())
    }

    /// IRQ 0 is at input 2 (ACPI, Interrupt Source Override).
    @Test func theTimersLineIsAtInput2() throws {
        let machine = try machine(0)
        defer { machine.tearDown() }
        apic(machine, 0xf0, 0x1ff)
        route(machine, 0, 0x40)
        route(machine, 2, 0x42)
        try machine.resetInstance("source")
        #expect(machine.acknowledgeInterrupt() == 0x42)
    }

    /// A kernel that a loader starts finds LINT0 as ExtINT, as where firmware has set virtual wire mode up.
    @Test func thePICsInterruptsComeThroughLINT0() throws {
        let machine = try machine(3)
        defer { machine.tearDown() }
        for (port, value) in [(0x20, 0x11), (0x21, 0x20), (0x21, 0x04), (0x21, 0x01), (0x21, 0xf7)]
            as [(UInt16, UInt64)]
        {
            _ = machine.access(port: port, width: 1, value: value)
        }
        try machine.resetInstance("source")
        #expect(machine.acknowledgeInterrupt() == 0x23)
        apic(machine, 0xf0, 0x1ff)
        apic(machine, 0x350, 0x1_0700)
        _ = machine.access(port: 0x20, width: 1, value: 0x20)
        #expect(!machine.interruptPin(), "LINT0 is masked")
    }

    /// Timer in one-shot mode, divided by 1: a tick a nanosecond.
    @Test func theTimerInterruptsWhenItsCountIsDone() throws {
        let machine = try machine(3)
        defer { machine.tearDown() }
        apic(machine, 0xf0, 0x1ff)
        apic(machine, 0x3e0, 0xb)
        apic(machine, 0x320, 0x60)
        apic(machine, 0x380, 1000)
        let start = machine.now
        machine.advance(to: start + 999)
        #expect(!machine.interruptPin())
        machine.advance(to: start + 1000)
        #expect(machine.acknowledgeInterrupt() == 0x60)
    }

    /// SDM volume 3, "Local APIC Status and Location": bits 7:0 and 9 are reserved, 10 is x2APIC, which is not there.
    @Test func thePageIsWhereTheBaseRegisterSays() throws {
        let machine = try machine(3)
        defer { machine.tearDown() }
        let version = machine.access(address: 0xfee0_0030, width: 4)
        #expect(version & 0xff == 0x14)
        #expect(machine.access(msr: 0x1b) == 0xfee0_0900)
        for reserved: UInt64 in [1, 1 << 7, 1 << 9, 1 << 10, 1 << 63] {
            #expect(machine.access(msr: 0x1b, value: 0xfee0_0900 | reserved) == nil)
        }
        #expect(machine.access(msr: 0x1b, value: 0xd000_0900) != nil)
        #expect(machine.access(address: 0xd000_0030, width: 4) == version)
        #expect(machine.access(address: 0xfee0_0030, width: 4) == 0xffff_ffff)
        #expect(machine.access(msr: 0x1b, value: 0xd000_0100) != nil)
        #expect(machine.access(address: 0xd000_0030, width: 4) == 0xffff_ffff, "it is switched off")
        #expect(machine.access(msr: 0x1c) == nil)
        machine.resetInstances(warm: true)
        #expect(machine.access(address: 0xfee0_0030, width: 4) == version)
    }

    /// CPUID.1:EDX.APIC is there with the device, and follows the enable bit that the guest writes.
    @Test(arguments: TestEngine.here) func cpuidSaysWhetherThereIsALocalAPIC(engine: TestEngine) throws {
        let code: [UInt8] = [
            0x31, 0xf6,  // xor si, si
            0x66, 0xb9, 0x1b, 0, 0, 0, 0x0f, 0x32,  // mov ecx, 1bh; rdmsr
            0x66, 0x3d, 0x00, 0x09, 0xe0, 0xfe, 0x75, 0x03, 0x83, 0xce, 0x01,  // cmp eax, fee00900h; jne; or si, 1
            0x66, 0xb8, 1, 0, 0, 0, 0x0f, 0xa2,  // mov eax, 1; cpuid
            0x66, 0x0f, 0xba, 0xe2, 0x09, 0x73, 0x03, 0x83, 0xce, 0x02,  // bt edx, 9; jnc; or si, 2
            0x66, 0xb9, 0x1b, 0, 0, 0, 0x66, 0xb8, 0x00, 0x01, 0xe0, 0xfe, 0x66, 0x31, 0xd2, 0x0f, 0x30,  // wrmsr
            0x66, 0xb8, 1, 0, 0, 0, 0x0f, 0xa2,  // mov eax, 1; cpuid
            0x66, 0x0f, 0xba, 0xe2, 0x09, 0x72, 0x03, 0x83, 0xce, 0x04,  // bt edx, 9; jc; or si, 4
            0x89, 0xf0, 0xe6, 0xf4, 0xf4,  // mov ax, si; out f4h, al; hlt
        ]
        #expect(try status(of: code, Self.board, engine) == 7 << 1 | 1)
        let without = Self.board.replacing("interrupts: apic", with: "interrupts: pic")
            .replacing("  - { id: apic, plugin: lapic, extint: pic }\n", with: "")
            .replacing("  - { id: ioapic, plugin: ioapic, apic: apic }\n", with: "")
            .replacing(", ioapic: ioapic.0-23", with: "")
        // No RDMSR here: there is no such register, or it says that the APIC is off.
        let bare = Array(code[0..<2] + code[21...38] + code[74...])
        #expect(try status(of: bare, without, engine) == 0 << 1 | 1)
    }

    private func status(of code: [UInt8], _ board: String, _ engine: TestEngine) throws -> Int32 {
        let image = FileManager.default.temporaryDirectory.appendingPathComponent("bp-\(UUID().uuidString).img")
        try Data(code).write(to: image)
        defer { try? FileManager.default.removeItem(at: image) }
        let test = try TestMachine(
            "machine: apic\nboot: { plugin: flat, image: \(image.path), mode: real }\n" + board
                + "\n  - { id: exit, plugin: debug-exit, at: 0xf4 }\npolicies:\n  - { id: rules, plugin: standard }\n",
            on: engine)
        try test.machine.start()
        let end = test.machine.waitForEnd()
        return end.status
    }
}
