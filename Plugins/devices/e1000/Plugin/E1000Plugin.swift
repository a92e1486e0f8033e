import E1000
import Ethernet
import ExpansionROM
import PCIConfiguration
import PCIKit
import PluginKit

/// A network card: its registers in two BARs, an expansion ROM to boot by, DMA while it is a bus master, and a cable.
final class E1000Plugin: PCIFunction {
    static let definition = ClassDefinition.device(
        "e1000", summary: "82540EM gigabit Ethernet card on PCI",
        properties: [
            Property(
                "mac", .text,
                doc: "its address, such as 52:54:00:12:34:56; without it one that is made from the instance's id"),
            Property("rom", .path, doc: "its expansion ROM, by which firmware boots from the network: iPXE's"),
        ],
        slots: [
            Slot("bus", "pci/1", doc: "its place on the PCI bus"),
            Slot("net", "net/1", optional: true, doc: "the network; without it no cable is plugged in"),
        ],
        make: { (host, values) throws(PluginError) in try E1000Plugin(host, values) })

    private enum Cookie { static let registers: UInt64 = 0, window: UInt64 = 1 }
    private enum TimerCookie { static let interrupt: UInt64 = 0, transmit: UInt64 = 1 }

    private let clock: Clock
    private let interruptTimer: Timer
    private let transmitTimer: Timer
    var chip: E1000
    private var net = NetPeer.unwired
    /// What the chip's FIFO of 64 KiB is on the card.
    private var waiting = WaitingFrames()

    init(_ host: Host, _ values: Values) throws(PluginError) {
        do throws(EthernetAddress.Mistake) {
            chip = E1000(address: try EthernetAddress.given(values.isSet("mac") ? values.text("mac") : nil, host.id))
        } catch { throw PluginError("mac: " + error.text) }
        clock = try host.clock
        interruptTimer = try host.clock.timer(cookie: TimerCookie.interrupt)
        transmitTimer = try host.clock.timer(cookie: TimerCookie.transmit)
        try super.init(
            host, Self.layout, baseAddresses: Self.baseAddresses,
            rom: values.isSet("rom") ? ExpansionROM.load(values.text("rom"), host) : nil)
    }

    private static var layout: ConfigurationSpace.Layout {
        var layout = ConfigurationSpace.Layout(
            .function,
            .init(
                vendor: 0x8086, device: 0x100E, revision: 0x02, classCode: 0x02_00_00, subsystemVendor: 0x8086,
                subsystem: 0x001E),
            interruptPin: 1)
        layout.setLatency(minimumGrant: 0xFF, maximumLatency: 0)
        return layout
    }

    /// The manual, "PCI Configuration Space": memory in BAR 0; I/O in BAR 1, where QEMU has it and drivers look too.
    private static var baseAddresses: [BaseAddress] {
        [
            BaseAddress(
                0, .memory32(prefetchable: false), size: 0x2_0000,
                .registers(.long, cookie: Cookie.registers, name: "registers")),
            BaseAddress(1, .io, size: 64, .registers(.long, cookie: Cookie.window, name: "register window")),
        ]
    }

    // MARK: Lifecycle

    override func connect() throws(PluginError) {
        try super.connect()
        net = try host.net("net")
        if !net.isWired { chip.setCarrier(false, at: 0) }
    }

    override func reset(warm: Bool) {
        super.reset(warm: warm)
        chip.reset()
        waiting.removeAll()
        settle()
    }

    override func start() throws(PluginError) {
        waiting.forgetGrants()
        work()
    }

    // MARK: Guest side

    /// As a bus master it can do now what waited for that.
    override func configurationChanged(_ changes: ConfigurationSpace.Changes) { work() }

    override func read(_ access: Access) -> ReadResult {
        let isWindow = access.cookie == Cookie.window
        if access.isPeek {
            let offset = UInt32(truncatingIfNeeded: access.offset)
            return .value(isWindow ? chip.peekWindow(UInt8(truncatingIfNeeded: offset)) : chip.peek(offset))
        }
        let value =
            isWindow
            ? chip.readWindow(UInt8(truncatingIfNeeded: access.offset), at: clock.now)
            : chip.read(UInt32(truncatingIfNeeded: access.offset), at: clock.now)
        settle()
        return .value(value)
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        let value = UInt32(truncatingIfNeeded: value)
        if access.cookie == Cookie.window {
            chip.writeWindow(UInt8(truncatingIfNeeded: access.offset), value, at: clock.now)
        } else {
            chip.write(UInt32(truncatingIfNeeded: access.offset), value, at: clock.now)
        }
        work()
        return .ok
    }

    override func timerFired(cookie: UInt64, at now: UInt64) {
        if cookie == TimerCookie.interrupt { chip.advance(to: now) }
        work()
    }

    // MARK: The cable

    override func netReceived(slot: Int, _ frame: UnsafeRawBufferPointer) {
        waiting.take(Array(frame), isWanted: chip.mayReceive(frame.count))
        work()
    }

    override func netLink(slot: Int, isUp: Bool) {
        chip.setCarrier(isUp, at: clock.now)
        work()
    }

    private struct Wire: E1000Wire {
        let net: NetPeer
        func send(_ frame: [UInt8]) { frame.withUnsafeBytes { net.send($0) } }
    }

    private struct GuestRAM: E1000Memory {
        let memory: Memory
        func read(_ address: UInt64, count: Int) -> [UInt8]? { memory.read(address, count: count) }
        func write(_ address: UInt64, _ bytes: ArraySlice<UInt8>) -> Bool {
            bytes.withUnsafeBytes { memory.write(address, $0) }
        }
    }

    /// Does what can be done now: frames out, frames in. What is left of a long ring comes at once, but not in this callback.
    private func work() {
        if let memory = busMemory {
            if chip.hasTransmitWork { chip.transmit(at: clock.now, GuestRAM(memory: memory), Wire(net: net)) }
            if chip.hasTransmitWork { transmitTimer.set(at: clock.now) }
            receive(GuestRAM(memory: memory))
        }
        if net.isWired, let room = waiting.grant() { net.ready(room) }
        settle()
    }

    /// Those that cannot be received any more, since the guest has switched the receiver off or made its ring short, are lost.
    private func receive(_ memory: GuestRAM) {
        var done = 0
        for frame in waiting.frames {
            guard chip.canReceive(frame.count) || !chip.mayReceive(frame.count) else { break }
            _ = chip.receive(frame, at: clock.now, memory)
            done += 1
        }
        waiting.removeFirst(done)
    }

    private func settle() {
        setInterrupt(chip.interruptAsserted)
        interruptTimer.set(at: chip.nextDeadline)
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        saveConfiguration(to: state)
        E1000State.put(chip.state, to: state)
        state.put("queued", waiting.frames.count)
        state.put("queue", waiting.bytes)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let loaded = try loadConfiguration(from: state)
        var (chip, waiting) = (chip, waiting)
        let (count, bytes): (Int, [UInt8]) = (try state.get("queued"), try state.get("queue", count: nil))
        guard waiting.restore(bytes), waiting.frames.count == count else {
            throw PluginError("the frames that wait are not whole")
        }
        guard chip.restore(try E1000State.get(from: state, into: chip.state)) else {
            throw PluginError("no such state of the card")
        }
        (self.chip, self.waiting) = (chip, waiting)
        take(loaded, interrupt: chip.interruptAsserted)
        settle()
    }
}

let library = Library(
    "e1000", version: "1.0", summary: "82540EM Ethernet card", needsMinor: 4, classes: [E1000Plugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
