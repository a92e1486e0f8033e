import E1000
import PluginKit

/// The chip's state as tagged fields. Numbers of more than a byte are little-endian where they are in arrays.
enum E1000State {
    static func put(_ chip: E1000.State, to state: StateWriter) {
        state.put("control", chip.control.rawValue)
        state.put("vlan-type", chip.vlanType)
        state.put("mdi", chip.mdi)
        state.put("cause", chip.cause.rawValue)
        state.put("mask", chip.mask.rawValue)
        state.put("throttle", chip.throttle)
        state.put("is-signalled", chip.isSignalled)
        state.put("quiet-until", chip.quietUntil)
        state.put("receive-control", chip.receiveControl.rawValue)
        state.put("receive-checksum", chip.receiveChecksum.rawValue)
        state.put("transmit-control", chip.transmitControl.rawValue)
        put(chip.receive, to: state.prefixed("receive-"))
        put(chip.transmit, to: state.prefixed("transmit-"))
        state.put("addresses", bytes(chip.addresses.flatMap { [$0.low, $0.high] }))
        state.put("multicast", bytes(chip.multicast))
        state.put("vlans", bytes(chip.vlans))
        state.put("statistics", bytes(chip.statistics.values))
        state.put("kept", bytes(chip.kept))
        state.put("window", chip.window)
        state.put("has-carrier", chip.hasCarrier)
        put(chip.eeprom, to: state.prefixed("eeprom-"))
        put(chip.phy, to: state.prefixed("phy-"))
        put(chip.packet, to: state.prefixed("packet-"))
    }

    static func get(from state: StateReader, into before: E1000.State) throws(PluginError) -> E1000.State {
        var chip = before
        chip.control = .init(rawValue: try state.get("control"))
        chip.vlanType = try state.get("vlan-type")
        chip.mdi = try state.get("mdi")
        chip.cause = .init(rawValue: try state.get("cause"))
        chip.mask = .init(rawValue: try state.get("mask"))
        chip.throttle = try state.get("throttle")
        chip.isSignalled = try state.get("is-signalled")
        chip.quietUntil = try state.get("quiet-until")
        chip.receiveControl = .init(rawValue: try state.get("receive-control"))
        chip.receiveChecksum = .init(rawValue: try state.get("receive-checksum"))
        chip.transmitControl = .init(rawValue: try state.get("transmit-control"))
        chip.receive = try ring(from: state.prefixed("receive-"))
        chip.transmit = try ring(from: state.prefixed("transmit-"))
        let addresses: [UInt32] = numbers(try state.get("addresses", count: 8 * chip.addresses.count))
        for index in chip.addresses.indices {
            (chip.addresses[index].low, chip.addresses[index].high) = (addresses[2 * index], addresses[2 * index + 1])
        }
        chip.multicast = numbers(try state.get("multicast", count: 4 * chip.multicast.count))
        chip.vlans = numbers(try state.get("vlans", count: 4 * chip.vlans.count))
        chip.statistics.values = numbers(try state.get("statistics", count: 4 * chip.statistics.values.count))
        chip.kept = numbers(try state.get("kept", count: 4 * chip.kept.count))
        chip.window = try state.get("window")
        chip.hasCarrier = try state.get("has-carrier")
        try get(&chip.eeprom, from: state.prefixed("eeprom-"))
        try get(&chip.phy, from: state.prefixed("phy-"))
        chip.packet = try packet(from: state.prefixed("packet-"))
        return chip
    }

    // MARK: Parts

    private static func put(_ ring: E1000.Ring, to state: StateWriter) {
        state.put("base-low", ring.baseLow)
        state.put("base-high", ring.baseHigh)
        state.put("length", ring.length)
        state.put("head", ring.head)
        state.put("tail", ring.tail)
    }

    private static func ring(from state: StateReader) throws(PluginError) -> E1000.Ring {
        var ring = E1000.Ring()
        ring.baseLow = try state.get("base-low")
        ring.baseHigh = try state.get("base-high")
        ring.length = try state.get("length")
        ring.head = try state.get("head")
        ring.tail = try state.get("tail")
        return ring
    }

    private static func put(_ eeprom: E1000.EEPROM, to state: StateWriter) {
        state.put("words", bytes(eeprom.words))
        state.put("pins", eeprom.pins)
        state.put("command", eeprom.command)
        state.put("command-bits", eeprom.commandBits)
        state.put("data", eeprom.data)
        state.put("data-bits", eeprom.dataBits)
        state.put("read-bits", eeprom.readBits)
        state.put("output", eeprom.output)
        state.put("is-writable", eeprom.isWritable)
        state.put("read-register", eeprom.readRegister)
    }

    private static func get(_ eeprom: inout E1000.EEPROM, from state: StateReader) throws(PluginError) {
        eeprom.words = numbers(try state.get("words", count: 2 * eeprom.words.count))
        eeprom.pins = try state.get("pins")
        eeprom.command = try state.get("command")
        eeprom.commandBits = try state.get("command-bits")
        eeprom.data = try state.get("data")
        eeprom.dataBits = try state.get("data-bits")
        eeprom.readBits = try state.get("read-bits")
        eeprom.output = try state.get("output")
        eeprom.isWritable = try state.get("is-writable")
        eeprom.readRegister = try state.get("read-register")
    }

    private static func put(_ phy: E1000.PHY, to state: StateWriter) {
        state.put("control", phy.control)
        state.put("advertisement", phy.advertisement)
        state.put("gigabit-control", phy.gigabitControl)
        state.put("specific-control", phy.specificControl)
        state.put("interrupt-enable", phy.interruptEnable)
        state.put("extended-control", phy.extendedControl)
        state.put("page", phy.page)
        state.put("has-carrier", phy.hasCarrier)
    }

    private static func get(_ phy: inout E1000.PHY, from state: StateReader) throws(PluginError) {
        phy.control = try state.get("control")
        phy.advertisement = try state.get("advertisement")
        phy.gigabitControl = try state.get("gigabit-control")
        phy.specificControl = try state.get("specific-control")
        phy.interruptEnable = try state.get("interrupt-enable")
        phy.extendedControl = try state.get("extended-control")
        phy.page = try state.get("page")
        phy.hasCarrier = try state.get("has-carrier")
    }

    private static func put(_ packet: E1000.Packet, to state: StateWriter) {
        state.put("bytes", packet.bytes)
        state.put("has-begun", packet.hasBegun)
        state.put("is-dropped", packet.isDropped)
        state.put("is-segmented", packet.isSegmented)
        state.put("options", packet.options)
        state.put("has-tag", packet.tag != nil)
        state.put("tag", packet.tag ?? 0)
        state.put("has-legacy", packet.legacyPlace != nil)
        state.put("legacy-place", packet.legacyPlace ?? 0)
        state.put("legacy-start", packet.legacyStart)
        state.put("checksums", bytes(of: packet.checksums))
        state.put("segments", bytes(of: packet.segments))
    }

    private static func packet(from state: StateReader) throws(PluginError) -> E1000.Packet {
        var packet = E1000.Packet()
        packet.bytes = try state.get("bytes", count: nil)
        packet.hasBegun = try state.get("has-begun")
        packet.isDropped = try state.get("is-dropped")
        packet.isSegmented = try state.get("is-segmented")
        packet.options = try state.get("options")
        let tag: UInt16 = try state.get("tag")
        packet.tag = try state.get("has-tag") ? tag : nil
        let place: UInt8 = try state.get("legacy-place")
        packet.legacyPlace = try state.get("has-legacy") ? place : nil
        packet.legacyStart = try state.get("legacy-start")
        packet.checksums = context(try state.get("checksums", count: 16))
        packet.segments = context(try state.get("segments", count: 16))
        return packet
    }

    private static func bytes(of context: E1000.Context) -> [UInt8] {
        bytes([
            UInt16(context.ipStart), UInt16(context.ipPlace), context.ipEnd,
            UInt16(context.start) | UInt16(context.place) << 8,
            context.end, context.isTCP ? 1 : 0, UInt16(context.headerLength) | (context.isIPv4 ? 0x100 : 0),
            context.segmentSize,
        ])
    }

    private static func context(_ bytes: [UInt8]) -> E1000.Context {
        let words: [UInt16] = numbers(bytes)
        var context = E1000.Context()
        (context.ipStart, context.ipPlace) = (UInt8(truncatingIfNeeded: words[0]), UInt8(truncatingIfNeeded: words[1]))
        (context.ipEnd, context.end, context.segmentSize) = (words[2], words[4], words[7])
        (context.start, context.place) = (UInt8(truncatingIfNeeded: words[3]), UInt8(words[3] >> 8))
        (context.isTCP, context.isIPv4) = (words[5] & 1 != 0, words[6] & 0x100 != 0)
        context.headerLength = UInt8(truncatingIfNeeded: words[6])
        return context
    }

    // MARK: Arrays

    static func bytes<T: FixedWidthInteger>(_ numbers: [T]) -> [UInt8] {
        numbers.flatMap { number in (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) } }
    }

    private static func numbers<T: FixedWidthInteger>(_ bytes: [UInt8]) -> [T] {
        let size = T.bitWidth / 8
        return (0..<bytes.count / size).map { index in
            (0..<size).reduce(0) { $0 | T(truncatingIfNeeded: bytes[index * size + $1]) << ($1 * 8) }
        }
    }
}
