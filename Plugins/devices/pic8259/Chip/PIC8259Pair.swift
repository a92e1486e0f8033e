/// Two 8259A in cascade as on a PC, the slave's INT on the master's IR2, with the edge/level control registers.
///
/// Source: Intel 8259A data sheet (231468), "Cascade Mode"; 82371 (PIIX) data sheet for ELCR1 and ELCR2. A departure
/// from PIIX: LTIM of ICW1 works as on the 8259A (PIIX ignores it); a line is level triggered by it or by its ELCR bit.
///
/// A spurious interrupt needs an acknowledge that finds nothing. INT is derived, so a CPU that looks at
/// `interruptRequested` and acknowledges in one step never sees one; one that acknowledges later may get the
/// master's 7. 15 needs a slave's line that drops between the two INTA pulses, which `acknowledge()` makes one step.
///
/// Not modelled: two chips that drive the bus at once (a slave programmed as single answers only on the master's
/// cascaded levels). A level that the master leaves to a slave which is not there reads as the floating bus, FF.
public struct PIC8259Pair: Sendable {
    // MARK: Registers

    /// The pair's registers, in the order of their usual ports.
    public enum Port: UInt8, Sendable, CaseIterable {
        case masterCommand  // 0x20
        case masterData  // 0x21
        case slaveCommand  // 0xA0
        case slaveData  // 0xA1
        case masterLevelControl  // 0x4D0, ELCR1
        case slaveLevelControl  // 0x4D1, ELCR2
    }

    /// Lines whose service ended.
    public struct EndOfInterrupt: Equatable, Sendable {
        /// A bit for each line 0...15. Bit 2 is the cascade itself.
        public let lines: UInt16
        /// The lowest of them: the only one, save where ICW1 ended several.
        public var line: UInt8 { UInt8(truncatingIfNeeded: lines.trailingZeroBitCount) }
        public func contains(_ line: UInt8) -> Bool { line < 16 && lines & (1 &<< UInt16(line)) != 0 }
    }

    /// ELCR bits that a guest can set: IRQ 0, 1, 2, 8 and 13 are always edge triggered.
    private static let masterLevelControlBits: UInt8 = 0b1111_1000
    private static let slaveLevelControlBits: UInt8 = 0b1101_1110
    private static let cascadeLine: UInt8 = 2

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        public var master = PIC8259.State()
        public var slave = PIC8259.State()
        public init() {}
    }

    public private(set) var master = PIC8259(role: .master)
    public private(set) var slave = PIC8259(role: .slave)

    public var state: State {
        var state = State()
        state.master = master.state
        state.slave = slave.state
        return state
    }

    public init() {}

    /// Power-up values, ELCR included. The inputs keep their levels.
    public mutating func reset() {
        master.reset()
        slave.reset()
        driveCascade()
    }

    /// Takes over a saved state. False, and nothing changes, where a chip refuses its own, where ELCR has a read-only
    /// bit set, or where the master's IR2 is not the slave's INT.
    public mutating func restore(_ saved: State) -> Bool {
        var (master, slave) = (PIC8259(role: .master), PIC8259(role: .slave))
        guard master.restore(saved.master), slave.restore(saved.slave),
            saved.master.levelControl & ~Self.masterLevelControlBits == 0,
            saved.slave.levelControl & ~Self.slaveLevelControlBits == 0,
            (saved.master.lines & (1 << Self.cascadeLine) != 0) == slave.interruptRequested
        else { return false }
        self.master = master
        self.slave = slave
        return true
    }

    // MARK: Guest side

    /// A read; a pending poll of that chip acknowledges.
    public mutating func read(_ port: Port) -> UInt8 {
        switch port {
        case .masterCommand: return master.read(0)
        case .masterData: return master.read(1)
        case .slaveCommand: return readSlave(0)
        case .slaveData: return readSlave(1)
        case .masterLevelControl, .slaveLevelControl: return peek(port)
        }
    }

    /// What `read` would answer, without side effect.
    public func peek(_ port: Port) -> UInt8 {
        switch port {
        case .masterCommand: master.peek(0)
        case .masterData: master.peek(1)
        case .slaveCommand: slave.peek(0)
        case .slaveData: slave.peek(1)
        case .masterLevelControl: master.state.levelControl
        case .slaveLevelControl: slave.state.levelControl
        }
    }

    /// A write. Ask `takeEndOfInterrupt()` afterwards.
    public mutating func write(_ port: Port, _ value: UInt8) {
        switch port {
        case .masterCommand: master.write(0, value)
        case .masterData: master.write(1, value)
        case .slaveCommand: slave.write(0, value)
        case .slaveData: slave.write(1, value)
        case .masterLevelControl: master.setLevelControl(value & Self.masterLevelControlBits)
        case .slaveLevelControl: slave.setLevelControl(value & Self.slaveLevelControlBits)
        }
        driveCascade()
    }

    private mutating func readSlave(_ offset: UInt8) -> UInt8 {
        let isPoll = slave.state.pollPending
        let value = slave.read(offset)
        if isPoll { pulseCascade() }
        return value
    }

    // MARK: Host side

    /// Line `line` goes to `level`. 0...7 are the master's, 8...15 the slave's; 2 is the cascade, which no device
    /// reaches (a PC takes the old IRQ 2 to 9); it and numbers above 15 are ignored.
    public mutating func setLine(_ line: UInt8, _ level: Bool) {
        if line < 8 {
            if line != Self.cascadeLine { master.setLine(line, level) }
        } else if line < 16 {
            slave.setLine(line &- 8, level)
            driveCascade()
        }
    }

    /// The CPU's INTA cycle, both pulses: the vector.
    public mutating func acknowledge() -> UInt8 {
        let level = acknowledgeFirstPulse()
        return acknowledgeSecondPulse(level)
    }

    /// First INTA pulse: the master puts its highest level into service, and names it on the cascade lines.
    mutating func acknowledgeFirstPulse() -> UInt8 { master.acceptLevel() }

    /// Second INTA pulse: the master or the slave that it named gives the vector. A slave whose request is gone gives
    /// its level 7 (line 15), while the master keeps IR2 in service.
    mutating func acknowledgeSecondPulse(_ level: UInt8) -> UInt8 {
        guard master.hasSlave(on: level) else { return master.vector(of: level) }
        guard slave.answers(to: level) else { return 0xFF }
        let vector = slave.acknowledge()
        pulseCascade()
        return vector
    }

    /// Lines whose service ended since the last call, by EOI, automatic EOI (at the acknowledge or the poll) or
    /// ICW1; nil where none did. To be asked after every `write`, `read` and `acknowledge`.
    public mutating func takeEndOfInterrupt() -> EndOfInterrupt? {
        let lines = UInt16(master.takeEnded()) | UInt16(slave.takeEnded()) << 8
        return lines == 0 ? nil : EndOfInterrupt(lines: lines)
    }

    /// The slave's INT falls during its acknowledge: a further request is a new edge for the master.
    private mutating func pulseCascade() {
        master.setLine(Self.cascadeLine, false)
        driveCascade()
    }

    private mutating func driveCascade() { master.setLine(Self.cascadeLine, slave.interruptRequested) }

    // MARK: Pins, derived from the state and never stored

    /// The master's INT, the CPU's INTR.
    public var interruptRequested: Bool { master.interruptRequested }
}
