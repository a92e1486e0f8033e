import PluginKit
import RTC146818

/// Connects the chip to ports 0x70 and 0x71 and an interrupt line, and sets it by the host's clock at power-on.
final class RTCPlugin: Instance {
    static let definition = ClassDefinition.device(
        "rtc146818", summary: "MC146818A real-time clock with 128 bytes of NVRAM",
        properties: [
            Property("at", .port, default: "0x70", doc: "the index port; data is the next one"),
            Property(
                "century", .unsigned, default: "0x32", bounds: 0...127,
                doc: "NVRAM address of the century byte, 14 or above; 0: none"),
            Property(
                "floppies", .choice, list: true, choices: floppyTypes,
                doc: "which floppy drives firmware finds, up to two: bytes 10 and 14"),
            Property(
                "nvram", .text, list: true,
                doc: "NVRAM bytes at power-on, each written ADDRESS=VALUE in hex, such as 10=40; addresses 0e to 7f"),
            Property("set-at-reset", .bool, default: "on", doc: "set the clock by the host's at power-on"),
        ],
        slots: [Slot("irq", "irq-line/1", optional: true, doc: "its interrupt output, IRQ 8 on a PC")],
        firmware: [FirmwareNode("PNP0B00")],
        make: { (host, values) throws(PluginError) in try RTCPlugin(host, values) })

    /// By their numbers in byte 0x10: drive A in its high half.
    private static let floppyTypes: [StaticString] = ["none", "360K", "1.2M", "720K", "1.44M", "2.88M"]

    private let base: UInt16
    private let setsTime: Bool
    private let nvram: [(address: UInt8, value: UInt8)]
    private let clock: Clock
    private let timer: Timer
    private var chip: RTC146818
    private var line: Line?

    init(_ host: Host, _ values: Values) throws(PluginError) {
        base = values.port("at")
        setsTime = values.bool("set-at-reset")
        nvram = try RTCPlugin.floppies(values) + RTCPlugin.parse(values.textList("nvram"))
        let century = UInt8(truncatingIfNeeded: values.unsigned("century"))
        guard century == 0 || century >= 14 else {
            throw PluginError("century: 14 to 127 are NVRAM, and 0 means none; this is \(century)")
        }
        chip = RTC146818(centuryRegister: century == 0 ? nil : century)
        clock = try host.clock
        timer = try host.clock.timer()
        super.init(host)
    }

    /// The equipment byte has whether there is one in bit 0, and one less than how many in bits 7:6.
    private static func floppies(_ values: Values) throws(PluginError) -> [(address: UInt8, value: UInt8)] {
        let names = values.textList("floppies")
        guard names.count <= 2 else {
            throw PluginError("floppies: a PC has two at most, and these are \(names.count)")
        }
        let types = names.map { name in UInt8(floppyTypes.firstIndex { $0.description == name } ?? 0) } + [0, 0]
        let count = types.prefix(2).count { $0 != 0 }
        guard count > 0 else { return [] }
        return [(0x10, types[0] << 4 | types[1]), (0x14, UInt8(count - 1) << 6 | 1)]
    }

    private static func parse(_ entries: [String]) throws(PluginError) -> [(address: UInt8, value: UInt8)] {
        var result: [(address: UInt8, value: UInt8)] = []
        for entry in entries {
            let parts = entry.split(separator: "=", omittingEmptySubsequences: false)
            guard parts.count == 2, let address = UInt8(parts[0], radix: 16), let value = UInt8(parts[1], radix: 16),
                (14...127).contains(address)
            else {
                throw PluginError("nvram: '" + entry + "' is not ADDRESS=VALUE in hex, with an address of 0e to 7f")
            }
            result.append((address, value))
        }
        return result
    }

    override func connect() throws(PluginError) {
        try host.io.claimPorts(base, count: 2, name: "index and data")
        line = try host.line("irq")
    }

    override func reset(warm: Bool) {
        if !warm {
            chip = RTC146818(centuryRegister: chip.centuryRegister)
            for entry in nvram { chip.preset(entry.address, to: entry.value) }
            if setsTime, let time = (try? host.world)?.wallClock {
                chip.setTime(seconds: time.seconds, nanoseconds: time.nanoseconds, at: clock.now)
            }
        }
        chip.reset(at: clock.now)
        settle()
    }

    override func read(_ access: Access) -> ReadResult {
        let offset = UInt8(truncatingIfNeeded: access.offset)
        if access.isPeek { return .value(chip.peek(offset, at: clock.now)) }
        let value = chip.read(offset, at: clock.now)
        settle()
        return .value(value)
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        chip.write(UInt8(truncatingIfNeeded: access.offset), UInt8(truncatingIfNeeded: value), at: clock.now)
        settle()
        return .ok
    }

    override func timerFired(cookie: UInt64, at now: UInt64) {
        chip.advance(to: now)
        settle()
    }

    private func settle() {
        line?.set(chip.interruptAsserted)
        timer.set(at: chip.nextEvent(at: clock.now))
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        let chip = self.chip.state
        state.put("index", chip.index)
        state.put("nmi-masked", chip.nmiMasked)
        state.put("register-a", chip.registerA.rawValue)
        state.put("register-b", chip.registerB.rawValue)
        state.put("register-c", chip.registerC.rawValue)
        state.put("register-d", chip.registerD.rawValue)
        state.put("memory", chip.memory)
        state.put("update-phase", chip.updatePhase)
        state.put("update-aborted", chip.updateAborted)
        state.put("advanced-to", chip.advancedTo)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var chip = RTC146818.State()
        chip.index = try state.get("index")
        chip.nmiMasked = try state.get("nmi-masked")
        chip.registerA = try state.get("register-a")
        chip.registerB = try state.get("register-b")
        chip.registerC = try state.get("register-c")
        chip.registerD = try state.get("register-d")
        chip.memory = try state.get("memory", count: 128)
        chip.updatePhase = try state.get("update-phase")
        chip.updateAborted = try state.get("update-aborted")
        chip.advancedTo = try state.get("advanced-to")
        guard self.chip.restore(chip) else { throw PluginError("the saved clock state contradicts itself") }
        settle()
    }
}

let library = Library(
    "rtc146818", version: "1.0", summary: "MC146818A real-time clock", needsMinor: 0, classes: [RTCPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
