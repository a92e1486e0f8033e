import Core
import Synchronization
import Testing

/// What the operator does at the terminal reaches the guest's UART.
@Suite struct ConsoleTests {
    private final class Operator: ConsoleProvider {
        let client = Mutex<ConsoleClient?>(nil)

        func open(_ client: ConsoleClient) { self.client.withLock { $0 = client } }
        func write(_ client: ConsoleClient, _ bytes: UnsafeRawBufferPointer) {}
        func ready(_ client: ConsoleClient, room: UInt64) {}
        func close(_ client: ConsoleClient) {}
    }

    /// 16550: LSR (offset 5) bit 0 data ready, bit 4 break, bit 3 framing error; RBR (offset 0) then holds a zero.
    @Test func breakComesAfterTheBytesTypedBeforeIt() throws {
        let file = """
            machine: console
            memory: 1MiB
            devices:
              - { id: com1, plugin: uart16550, at: 0x3f8, stream: term }
            backends:
              - { id: term, plugin: terminal }
            """
        let console = Operator()
        let machine = try TestMachine(file, engine: false, console: console).machine
        defer { machine.tearDown() }
        machine.adoptThread()
        defer { machine.releaseThread() }
        machine.resetInstances(warm: false)
        try machine.startInstances()
        // Characters of eight bits, and FIFOs on, so that a byte and the break both fit.
        _ = machine.access(port: 0x3fb, width: 1, value: 3)
        _ = machine.access(port: 0x3fa, width: 1, value: 1)
        let client = try #require(console.client.withLock { $0 })
        client.receive([0x41])
        #expect(client.sendBreak())
        for _ in 0..<8 { machine.runPosted() }
        #expect(machine.access(port: 0x3fd, width: 1) & 0x11 == 0x01, "the byte comes first")
        #expect(machine.access(port: 0x3f8, width: 1) == 0x41)
        #expect(machine.access(port: 0x3fd, width: 1) & 0x19 == 0x19, "the break, which is a framing error too")
        #expect(machine.access(port: 0x3f8, width: 1) == 0)
        #expect(machine.access(port: 0x3fd, width: 1) & 1 == 0)
    }
}
