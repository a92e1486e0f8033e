import CBackplane
import Testing

@testable import Core

/// A virtio input device behind a transport, as a guest programs it and an operator's client feeds it: virtio 1.2, 5.8, by offsets.
@Suite struct VirtioInputTests {
    private static let registers: UInt64 = 0xd000_0000, buffers: UInt64 = 0x3_0000
    /// Descriptors of a queue; its available ring is at 0x1000, its used ring at 0x2000 behind them.
    private static func ring(_ queue: UInt64) -> UInt64 { 0x1_0000 + queue * 0x4000 }

    private func machine(_ kind: String) throws -> Machine {
        let machine = try TestMachine(
            """
            machine: virtio
            memory: 1MiB
            devices:
              - { id: pic, plugin: pic8259 }
              - { id: way, plugin: virtio-mmio, at: 0xd0000000, irq: pic.5 }
              - { id: device, plugin: virtio-input, transport: way, kind: \(kind) }
            backends:
              - { id: viewer, plugin: viewer, keys: device }
            """, engine: false
        ).machine
        machine.resetInstances(warm: false)
        return machine
    }

    private func set(_ machine: Machine, _ address: UInt64, _ value: UInt64, _ width: UInt8 = 4) {
        _ = machine.access(address: address, width: width, value: value)
    }
    private func get(_ machine: Machine, _ address: UInt64, _ width: UInt8 = 4) -> UInt64 {
        machine.access(address: address, width: width)
    }

    /// Both queues with 8 entries; buffers of 8 bytes, one a descriptor, at `buffers` and 0x100 behind.
    private func bringUp(_ machine: Machine, length: UInt64 = 8) {
        func write(_ offset: UInt64, _ value: UInt64) { set(machine, Self.registers + offset, value) }
        for status in [0, 1, 3] as [UInt64] { write(0x70, status) }
        write(0x24, 1)
        write(0x20, 1)
        write(0x70, 11)
        for queue in 0..<2 as Range<UInt64> {
            let ring = Self.ring(queue)
            write(0x30, queue)
            write(0x38, 8)
            for (offset, place) in [(0x80, ring), (0x90, ring + 0x1000), (0xa0, ring + 0x2000)]
                as [(UInt64, UInt64)]
            {
                write(offset, place)
            }
            for index in 0..<8 as Range<UInt64> {
                set(machine, ring + index * 16, Self.buffers + queue * 0x100 + index * 8, 8)
                set(machine, ring + index * 16 + 8, length | (queue == 0 ? 2 << 32 : 0), 8)
                set(machine, ring + 0x1004 + index * 2, index, 2)
            }
            set(machine, ring + 0x1002, 0, 2)
            set(machine, ring + 0x2002, 0, 2)
            write(0x44, 1)
        }
        write(0x70, 15)
    }

    /// The driver has given `count` buffers in all.
    private func give(_ machine: Machine, _ count: UInt64, queue: UInt64 = 0) {
        set(machine, Self.ring(queue) + 0x1002, count, 2)
        set(machine, Self.registers + 0x50, queue)
    }

    private func used(_ machine: Machine, queue: UInt64 = 0) -> UInt64 { get(machine, Self.ring(queue) + 0x2002, 2) }

    /// Type, code and value.
    private func event(_ machine: Machine, _ index: UInt64) -> [UInt64] {
        let place = Self.buffers + index % 8 * 8
        return [get(machine, place, 2), get(machine, place + 2, 2), get(machine, place + 4)]
    }

    private func enter(_ machine: Machine, _ events: [(type: UInt32, code: UInt32, value: Int64)]) throws {
        let input = try #require(machine.inputs.first { $0.name == "device" })
        let words = events + [(0, 0, 0)]
        _ = try machine.locked {
            input.send([(0, words.map { HostInputEvent(type: $0.type, code: $0.code, value: $0.value) })])
        }
    }

    // MARK: Events

    @Test func tabletIsToldWhereThePointerIs() throws {
        let machine = try machine("tablet")
        defer { machine.tearDown() }
        let input = try #require(machine.inputs.first { $0.name == "device" })
        #expect(input.kinds == UInt32(BP_INPUT_BUTTONS | BP_INPUT_ABSOLUTE))
        #expect(get(machine, Self.registers + 0x08) == 18)
        bringUp(machine)
        give(machine, 8)
        try enter(machine, [(3, 0, 100_000), (3, 1, -5), (1, 0x110, 1), (2, 0, 7), (1, 30, 1), (77, 1, 1)])
        #expect(used(machine) == 4 && get(machine, Self.registers + 0x60) == 1)
        #expect((0..<4).map { event(machine, $0) } == [[3, 0, 32767], [3, 1, 0], [1, 0x110, 1], [0, 0, 0]])
        #expect(get(machine, Self.ring(0) + 0x2008) == 8, "bytes written")
    }

    @Test func packetWaitsForAsManyBuffersAsItHasEvents() throws {
        let machine = try machine("tablet")
        defer { machine.tearDown() }
        bringUp(machine)
        give(machine, 2)
        try enter(machine, [(3, 0, 1), (3, 1, 2)])
        #expect(used(machine) == 0 && get(machine, Self.buffers, 8) == 0)
        give(machine, 3)
        #expect(used(machine) == 3)
        #expect((0..<3).map { event(machine, $0) } == [[3, 0, 1], [3, 1, 2], [0, 0, 0]])
    }

    @Test func keysAreReleasedHoweverLittleTheDriverGives() throws {
        let machine = try machine("keyboard")
        defer { machine.tearDown() }
        bringUp(machine)
        for _ in 0..<5000 {
            try enter(machine, [(1, 30, 1)])
            try enter(machine, [(1, 30, 0)])
        }
        try enter(machine, [(1, 30, 1)])
        try enter(machine, [(1, 30, 0)])
        var (given, values) = (0 as UInt64, [UInt64]())
        repeat {
            given += 2
            give(machine, given)
            if used(machine) == given { values.append(event(machine, given - 2)[2]) }
        } while used(machine) == given && given < 2000
        #expect(values.count > 200 && values.count < 300 && values.last == 0)
        #expect(values.enumerated().allSatisfy { $0.element == UInt64(1 - $0.offset % 2) })
    }

    @Test func sendkeyFindsTheKeyboard() throws {
        let machine = try machine("keyboard")
        defer { machine.tearDown() }
        bringUp(machine)
        give(machine, 8)
        try machine.press(keys: [30], hold: 1000, on: nil)
        #expect((0..<2).map { event(machine, $0) } == [[1, 30, 1], [0, 0, 0]])
    }

    @Test func driversLampsAreShownUntilItResets() throws {
        let machine = try machine("keyboard")
        defer { machine.tearDown() }
        func seen() throws -> String {
            let viewer = try #require(machine.instance(named: "viewer"))
            guard case .text(let text) = try machine.invoke("seen", [], on: viewer) else { return "" }
            return text
        }
        try machine.start()
        #expect(try seen() == "takes \(BP_INPUT_KEYS | BP_INPUT_LEDS)")
        bringUp(machine)
        set(machine, Self.buffers + 0x100, 0x11 | 1 << 16 | 1 << 32, 8)
        set(machine, Self.buffers + 0x108, 0, 8)
        give(machine, 2, queue: 1)
        #expect(used(machine, queue: 1) == 2 && get(machine, Self.ring(1) + 0x2008) == 0)
        #expect(try seen() == "lamps 2")
        set(machine, Self.registers + 0x70, 0)
        #expect(try seen() == "lamps 0")
    }

    // MARK: What no driver does

    @Test func shortBufferEndsInNeedsReset() throws {
        let machine = try machine("tablet")
        defer { machine.tearDown() }
        bringUp(machine, length: 7)
        give(machine, 8)
        try enter(machine, [(1, 0x110, 1)])
        #expect(get(machine, Self.registers + 0x70) == 15 | 64 && used(machine) == 0)
        try enter(machine, [(1, 0x110, 0)])
        bringUp(machine)
        give(machine, 8)
        try enter(machine, [(1, 0x110, 0)])
        #expect(used(machine) == 0, "the new driver has not seen it pressed")
        try enter(machine, [(1, 0x110, 1)])
        #expect(used(machine) == 2)
    }

    @Test func configurationIsReadOnlyButForItsSelection() throws {
        let machine = try machine("tablet")
        defer { machine.tearDown() }
        let space = Self.registers + 0x100
        set(machine, space, 0x12, 1)
        set(machine, space + 1, 1, 1)
        for offset in stride(from: 8, to: 160, by: 4) as StrideTo<UInt64> { set(machine, space + offset, 0) }
        #expect(get(machine, space, 4) == 0x14_0112 && get(machine, space + 12) == 32767)
        for select in 0..<256 as Range<UInt64> {
            set(machine, space, select, 1)
            set(machine, space + 1, 0xFF, 1)
            #expect(get(machine, space + 2, 1) == 0)
        }
    }
}
