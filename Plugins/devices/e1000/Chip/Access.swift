// The guest's registers: 32 bits each, in memory (128 KiB) and through the window of two I/O registers.

extension E1000 {
    /// A read at `offset` (a multiple of 4). What is not there reads 0.
    public mutating func read(_ offset: UInt32, at now: UInt64) -> UInt32 {
        advance(to: now)
        if let index = Statistics.index(offset) { return state.statistics.read(index) }
        let value = peek(offset)
        if offset == Register.cause.rawValue {
            state.cause = []
            advance(to: now)
        }
        return value
    }

    /// What `read` would answer, without its effects.
    public func peek(_ offset: UInt32) -> UInt32 {
        if let index = Statistics.index(offset) { return state.statistics.values[index] }
        if let value = table(offset) { return value }
        guard let register = Register(rawValue: offset) else {
            return Self.kept.firstIndex { $0.offset == offset }.map { state.kept[$0] } ?? 0
        }
        switch register {
        case .control, .controlAgain: return state.control.rawValue
        // SPEED is 1000 Mb/s (bits 7:6 = 2), FD follows CTRL.
        case .status: return 0x80 | (isLinkUp ? 2 : 0) | (state.control.contains(.fullDuplex) ? 1 : 0)
        case .eepromControl: return state.eeprom.control
        case .eepromRead: return state.eeprom.read
        case .mdi: return state.mdi
        case .vlanType: return state.vlanType
        case .cause: return state.cause.rawValue
        case .throttle: return UInt32(state.throttle)
        case .maskSet: return state.mask.rawValue
        case .causeSet, .maskClear: return 0
        case .receiveControl: return state.receiveControl.rawValue
        case .transmitControl: return state.transmitControl.rawValue
        case .receiveBaseLow: return state.receive.baseLow
        case .receiveBaseHigh: return state.receive.baseHigh
        case .receiveLength: return state.receive.length
        case .receiveHead: return state.receive.head
        case .receiveTail: return state.receive.tail
        case .transmitBaseLow: return state.transmit.baseLow
        case .transmitBaseHigh: return state.transmit.baseHigh
        case .transmitLength: return state.transmit.length
        case .transmitHead: return state.transmit.head
        case .transmitTail: return state.transmit.tail
        case .receiveChecksum: return state.receiveChecksum.rawValue
        }
    }

    /// A write at `offset` (a multiple of 4). What is not there ignores it. A new transmit tail or an enabled transmitter is
    /// work for `transmit`, which the owner calls.
    public mutating func write(_ offset: UInt32, _ value: UInt32, at now: UInt64) {
        advance(to: now)
        if writeTable(offset, value) { return }
        guard let register = Register(rawValue: offset) else { return writeKept(offset, value) }
        switch register {
        case .control, .controlAgain: writeControl(value, at: now)
        case .eepromControl: state.eeprom.writeControl(value)
        case .eepromRead: state.eeprom.startRead(value)
        case .mdi: writeMDI(value, at: now)
        case .vlanType: state.vlanType = value & 0xFFFF
        case .cause: state.cause.subtract(Cause(rawValue: value))
        case .throttle: state.throttle = UInt16(truncatingIfNeeded: value)
        case .causeSet: state.cause.formUnion(Cause(rawValue: value & Cause.known))
        case .maskSet: state.mask.formUnion(Cause(rawValue: value & Cause.known))
        case .maskClear: state.mask.subtract(Cause(rawValue: value))
        case .receiveControl: state.receiveControl = ReceiveControl(rawValue: value & ReceiveControl.writable)
        case .transmitControl: state.transmitControl = TransmitControl(rawValue: value & TransmitControl.writable)
        case .receiveChecksum: state.receiveChecksum = ReceiveChecksum(rawValue: value & 0x3FF)
        case .status: break
        default: writeRing(register, value)
        }
        advance(to: now)
    }

    private mutating func writeRing(_ register: Register, _ value: UInt32) {
        switch register {
        case .receiveBaseLow: state.receive.baseLow = value & ~15
        case .receiveBaseHigh: state.receive.baseHigh = value
        case .receiveLength: state.receive.length = value & 0xF_FF80
        case .receiveHead: state.receive.head = value & 0xFFFF
        case .receiveTail: state.receive.tail = value & 0xFFFF
        case .transmitBaseLow: state.transmit.baseLow = value & ~15
        case .transmitBaseHigh: state.transmit.baseHigh = value
        case .transmitLength: state.transmit.length = value & 0xF_FF80
        case .transmitHead: state.transmit.head = value & 0xFFFF
        case .transmitTail: state.transmit.tail = value & 0xFFFF
        default: break
        }
    }

    private mutating func writeControl(_ value: UInt32, at now: UInt64) {
        if value & Control.reset.rawValue != 0 { return reset() }
        let wasUp = isLinkUp
        state.control = Control(rawValue: value).subtracting(Control.clearing)
        if value & Control.phyReset.rawValue != 0 { _ = state.phy.write(0, 1 << 15) }
        if wasUp != isLinkUp { raise(.linkChange, at: now) }
    }

    private mutating func writeKept(_ offset: UInt32, _ value: UInt32) {
        guard let index = Self.kept.firstIndex(where: { $0.offset == offset }) else { return }
        let writable = Self.kept[index].writable
        state.kept[index] = state.kept[index] & ~writable | value & writable
    }

    // MARK: Tables: multicast 0x5200, addresses 0x5400, VLANs 0x5600

    private func table(_ offset: UInt32) -> UInt32? {
        guard offset & 3 == 0 else { return nil }
        let index = Int(offset >> 2 & 127)
        switch offset {
        case 0x5200..<0x5400: return state.multicast[index]
        case 0x5400..<0x5480:
            let address = state.addresses[index >> 1]
            return index & 1 == 0 ? address.low : address.high
        case 0x5600..<0x5800: return state.vlans[index]
        default: return nil
        }
    }

    private mutating func writeTable(_ offset: UInt32, _ value: UInt32) -> Bool {
        guard offset & 3 == 0 else { return false }
        let index = Int(offset >> 2 & 127)
        switch offset {
        case 0x5200..<0x5400: state.multicast[index] = value
        case 0x5400..<0x5480 where index & 1 == 0: state.addresses[index >> 1].low = value
        case 0x5400..<0x5480: state.addresses[index >> 1].high = value & ReceiveAddress.highWritable
        case 0x5600..<0x5800: state.vlans[index] = value
        default: return false
        }
        return true
    }

    // MARK: The I/O window: IOADDR at 0, IODATA at 4

    public mutating func readWindow(_ offset: UInt8, at now: UInt64) -> UInt32 {
        switch offset {
        case 0: state.window
        case 4: read(state.window, at: now)
        default: 0
        }
    }

    public func peekWindow(_ offset: UInt8) -> UInt32 {
        switch offset {
        case 0: state.window
        case 4: peek(state.window)
        default: 0
        }
    }

    public mutating func writeWindow(_ offset: UInt8, _ value: UInt32, at now: UInt64) {
        switch offset {
        case 0: state.window = value
        case 4: write(state.window, value, at: now)
        default: break
        }
    }
}
