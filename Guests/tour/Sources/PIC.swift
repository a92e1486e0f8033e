import Machine

/// The interrupt controllers of a PC: a master 8259A and, behind its line 2, a slave.
/// Source: 8259A data sheet, "Programming the 8259A".
enum PIC: UInt8 {
    case absent, masterOnly, pair

    /// The vector of line 0. Below are the CPU's exceptions.
    static let firstVector: UInt8 = 0x20
    private static let cascadeLine: UInt8 = 2

    private static let masterCommand = Port(0x20), masterData = Port(0x21)
    private static let slaveCommand = Port(0xA0), slaveData = Port(0xA1)
    private static let endOfInterrupt: UInt8 = 0x20  // OCW2, non-specific
    private static let readInService: UInt8 = 0x0B  // OCW3

    /// A mask register keeps what is written to it. Call it with interrupts off; it leaves all lines masked.
    static func probe() -> PIC {
        guard keepsMask(masterData) else { return .absent }
        return keepsMask(slaveData) ? .pair : .masterOnly
    }

    private static func keepsMask(_ port: Port) -> Bool {
        func keeps(_ mask: UInt8) -> Bool {
            port.write(mask)
            return port.read() == mask
        }
        defer { port.write(0xFF) }
        return keeps(0x55) && keeps(0xAA)
    }

    /// Edge-triggered, 8086 mode, explicit end of interrupt. All lines are let in afterwards.
    func program() {
        switch self {
        case .absent: return
        case .masterOnly:
            Self.masterCommand.write(0x13)  // ICW1: single, ICW4 follows
            Self.masterData.write(Self.firstVector)  // ICW2
        case .pair:
            Self.masterCommand.write(0x11)  // ICW1: cascaded, ICW4 follows
            Self.masterData.write(Self.firstVector)
            Self.masterData.write(1 << Self.cascadeLine)  // ICW3: which line the slave is on
            Self.slaveCommand.write(0x11)
            Self.slaveData.write(Self.firstVector + 8)
            Self.slaveData.write(Self.cascadeLine)  // ICW3: its own number
            Self.slaveData.write(0x01)  // ICW4: 8086 mode
            Self.slaveData.write(0x00)
        }
        Self.masterData.write(0x01)
        Self.masterData.write(0x00)
    }

    /// Ends the interrupt on `line`. False where it was spurious: the last line of a chip, without its in-service bit.
    static func acknowledge(_ line: UInt8) -> Bool {
        if line == 7, !isInService(masterCommand) {
            Shared.masterSpurious.increment()
            return false
        }
        if line == 15, !isInService(slaveCommand) {
            Shared.slaveSpurious.increment()
            masterCommand.write(endOfInterrupt)  // the master did see its cascade line
            return false
        }
        if line >= 8 { slaveCommand.write(endOfInterrupt) }
        masterCommand.write(endOfInterrupt)
        return true
    }

    private static func isInService(_ command: Port) -> Bool {
        command.write(readInService)
        return command.read() & 0x80 != 0
    }
}
