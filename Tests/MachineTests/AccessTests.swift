import Core
import Testing

/// What the core makes of accesses, without a CPU.
@Suite struct AccessTests {
    private func machine(_ devices: String) throws -> Machine {
        let file = """
            machine: access
            cpu: { engine: kvm }
            memory: 1MiB
            devices:
            \(devices)
            """
        return try TestMachine(file, engine: false).machine
    }

    private let probe = "  - { id: probe, plugin: probe }"

    @Test func unclaimedPortsAndMemoryReadAsAllOnes() throws {
        let machine = try machine(probe)
        #expect(machine.access(port: 0x2f8, width: 1) == 0xff)
        #expect(machine.access(port: 0x2f8, width: 4) == 0xffff_ffff)
        #expect(machine.access(address: 0xe000_0000, width: 8) == .max)
        machine.tearDown()
    }

    @Test func wideAccessesAreSplitIntoWhatTheHandlerTakes() throws {
        let machine = try machine(probe)
        // Four byte registers that hold 0x10, 0x11, 0x12, 0x13.
        #expect(machine.access(port: 0x318, width: 4) == 0x1312_1110)
        // A claim of words only (plugin.h, bp_claim): a dword is two words, and a byte is one half of its word.
        #expect(machine.access(port: 0x320, width: 4) == 0xa0b2_a0b0)
        #expect((0x320...0x323).map { machine.access(port: $0, width: 1) } == [0xb0, 0xa0, 0xb2, 0xa0])
        // From the last byte register into nothing.
        #expect(machine.access(port: 0x31a, width: 4) == 0xffff_1312)
        machine.tearDown()
    }

    @Test func memoryAccessesStraddleTheEdgeOfAClaim() throws {
        let machine = try machine(probe)
        #expect(machine.access(address: 0xd000_0000, width: 8) == 0x1122_3344_5566_7788)
        #expect(machine.access(address: 0xd000_0ffe, width: 4) & 0xffff_0000 == 0xffff_0000)
        // RAM below its end, nothing above.
        _ = machine.access(address: 0xffffe, width: 2, value: 0xbeef)
        #expect(machine.access(address: 0xffffe, width: 4) == 0xffff_beef)
        machine.tearDown()
    }

    @Test func methodsCheckTheirArgumentsAndReportFailures() throws {
        let machine = try machine(probe)
        let probe = try #require(machine.instance(named: "probe"))
        func call(_ method: String, _ arguments: String...) -> Result<MethodResult, MethodError> {
            Result { () throws(MethodError) in
                try machine.invoke(method, arguments, on: probe)
            }
        }
        #expect(call("add", "0x10", "5") == .success(.unsigned(21)))
        #expect(call("add", "2KiB", "5") == .success(.unsigned(2053)))
        for text in ["4GiB", "99999999999TiB", "KiB", "1.5MiB", "-1KiB"] {
            #expect(call("add", text, "5") == .failure(MethodError("a: '\(text)' is not a u32")))
        }
        #expect(call("greet", "world", "on") == .success(.text("hello world!")))
        #expect(call("add", "1") == .failure(MethodError("add(a: u32, b: u16) -> u64 takes 2 arguments, and got 1")))
        #expect(call("add", "1", "65536") == .failure(MethodError("b: '65536' is not a u16")))
        #expect(
            call("nothing")
                == .failure(MethodError("'probe' has no method 'nothing'; it has: add, greet, is-counted, refuse")))
        #expect(call("refuse") == .failure(MethodError("probe.refuse: not today")))
        machine.tearDown()
    }

    /// clock/1 is_counted (ABI 1.10). With the test's own clock nothing is counted either.
    @Test(arguments: [("counted", true, 1), ("counted", false, 0), ("real", true, 0)] as [(String, Bool, UInt64)])
    func pluginsHearWhetherTheClockIsCounted(_ mode: String, _ hasEngine: Bool, _ answer: UInt64) throws {
        let file = """
            machine: counted
            clock: { mode: \(mode) }
            cpu: { engine: soft }
            memory: 1MiB
            devices:
            \(probe)
            """
        let machine = try TestMachine(file, engine: hasEngine).machine
        defer { machine.tearDown() }
        let probe = try #require(machine.instance(named: "probe"))
        let result = Result { () throws(MethodError) in try machine.invoke("is-counted", [], on: probe) }
        #expect(result == .success(.unsigned(answer)))
    }

    @Test func overlapsAtLoadNameBothOwners() {
        let error = #expect(throws: MachineError.self) {
            try machine(
                """
                  - { id: first, plugin: uart16550, at: 0x3f8 }
                  - { id: second, plugin: uart16550, at: 0x3fc }
                """)
        }
        let text = error?.description ?? ""
        #expect(text.contains("'second'") && text.contains("'first' 0x3f8-0x3ff"))
        #expect(error?.location?.line == 6)
    }

    @Test func aPluginThatCannotBeCreatedSaysWhy() {
        let error = #expect(throws: MachineError.self) {
            try machine("  - { id: bad, plugin: faulty, fail-create: on }")
        }
        #expect(error?.description == "'bad' (faulty) cannot be created: it was told to fail")
        let other = #expect(throws: MachineError.self) {
            try machine("  - { id: bad, plugin: faulty, fail-connect: on }")
        }
        #expect(other?.description == "'bad' (faulty) cannot be connected: it does not like its wires")
    }

    /// Every port, every width: nothing traps, nothing hangs.
    @Test func everyPortTakesEveryWidth() throws {
        let machine = try machine(
            """
              - { id: pic, plugin: pic8259 }
              - { id: pit, plugin: pit8254, irq: pic.0 }
              - { id: rtc, plugin: rtc146818, irq: pic.8 }
              - { id: com1, plugin: uart16550, irq: pic.4 }
              - { id: hd0, plugin: ata, irq: pic.14 }
              - { id: reset, plugin: reset-control }
              - { id: exit, plugin: debug-exit }
              - { id: e9, plugin: debug-console, stream: nowhere }
            backends:
              - { id: nowhere, plugin: "null" }
            """)
        machine.resetInstances(warm: false)
        for port in 0...0xffff {
            for width in [1, 2, 4] as [UInt8] {
                _ = machine.access(port: UInt16(port), width: width)
                _ = machine.access(port: UInt16(port), width: width, value: UInt64(port) &* 0x9e37_79b9)
            }
        }
        machine.clearRequests()
        machine.tearDown()
    }
}
