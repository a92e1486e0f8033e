// From the task file to sectors and back: CHS, 28-bit and 48-bit addresses.

extension ATAChannel {
    /// What a command's registers name: the first sector, how many, and where the drive ends for this addressing.
    struct Addressed {
        var addressing: Transfer.Addressing
        var sector: UInt64
        var count: UInt32
        var limit: UInt64
    }

    /// The translation in force.
    func translation(_ settings: Settings, _ drive: Drive) -> CHS {
        if settings.heads == 0 { return drive.geometry }
        return drive.translation(heads: settings.heads, sectorsPerTrack: settings.sectorsPerTrack)
    }

    /// The sector after the last one that can be addressed this way.
    func limit(_ addressing: Transfer.Addressing, settings: Settings, drive: Drive) -> UInt64 {
        switch addressing {
        case .chs: translation(settings, drive).capacity
        case .lba28: min(drive.sectors, 1 << 28)
        case .lba48: drive.sectors
        }
    }

    /// Reads the registers of a command that is about to start; nil: no such cylinder, head or sector. A 48-bit command
    /// is one whatever the LBA bit says: there is nothing else that it could mean.
    func addressed(_ index: UInt8, extended: Bool) -> Addressed? {
        let device = state[index]
        let addressing: Transfer.Addressing = extended ? .lba48 : state.select.isLBA ? .lba28 : .chs
        guard let sector = firstSector(device, addressing) else { return nil }
        let count =
            extended
            ? (device.sectorCount == 0 ? 65536 : UInt32(device.sectorCount))
            : (device.sectorCount & 0xFF == 0 ? 256 : UInt32(device.sectorCount & 0xFF))
        return Addressed(
            addressing: addressing, sector: sector, count: count,
            limit: limit(addressing, settings: device.settings, drive: drive(index)))
    }

    private func firstSector(_ device: Device, _ addressing: Transfer.Addressing) -> UInt64? {
        let (low, mid, high) = (UInt64(device.lbaLow), UInt64(device.lbaMid), UInt64(device.lbaHigh))
        let bottom = (low & 0xFF) | (mid & 0xFF) &<< 8 | (high & 0xFF) &<< 16
        switch addressing {
        case .chs:
            return translation(device.settings, drive(state.select.index)).block(
                cylinder: UInt16(truncatingIfNeeded: bottom &>> 8), head: state.select.low,
                sector: UInt8(truncatingIfNeeded: bottom))
        case .lba28: return bottom | UInt64(state.select.low) &<< 24
        case .lba48: return bottom | (low &>> 8) &<< 24 | (mid &>> 8) &<< 32 | (high &>> 8) &<< 40
        }
    }

    /// Shows a sector in the selected device's registers, in the form in which the host addressed the command.
    mutating func putAddress(_ sector: UInt64, _ addressing: Transfer.Addressing) {
        let index = state.select.index
        switch addressing {
        case .chs:
            let address = translation(state[index].settings, drive(index)).address(of: sector)
            state[index].setCurrent(
                low: address.sector, mid: UInt8(truncatingIfNeeded: address.cylinder),
                high: UInt8(truncatingIfNeeded: address.cylinder &>> 8))
            state.select.low = address.head
        case .lba28:
            state[index].setCurrent(
                low: UInt8(truncatingIfNeeded: sector), mid: UInt8(truncatingIfNeeded: sector &>> 8),
                high: UInt8(truncatingIfNeeded: sector &>> 16))
            state.select.low = UInt8(truncatingIfNeeded: sector &>> 24)
        case .lba48:
            state[index].lbaLow = UInt16(truncatingIfNeeded: (sector & 0xFF) | ((sector &>> 24) & 0xFF) &<< 8)
            state[index].lbaMid = UInt16(truncatingIfNeeded: ((sector &>> 8) & 0xFF) | ((sector &>> 32) & 0xFF) &<< 8)
            state[index].lbaHigh = UInt16(truncatingIfNeeded: ((sector &>> 16) & 0xFF) | ((sector &>> 40) & 0xFF) &<< 8)
        }
    }

    /// Shows how far a command is: a sector, and how many are left (256 and 65536 show as 0).
    mutating func putProgress(sector: UInt64, left: UInt32) {
        let index = state.select.index
        let addressing = state.transfer.addressing
        putAddress(sector, addressing)
        let count = UInt16(truncatingIfNeeded: left)
        state[index].sectorCount =
            addressing == .lba48 ? count : (state[index].sectorCount & 0xFF00) | (count & 0xFF)
    }
}

extension ATAChannel.Device {
    /// The bytes written last; those before them stay.
    fileprivate mutating func setCurrent(low: UInt8, mid: UInt8, high: UInt8) {
        lbaLow = (lbaLow & 0xFF00) | UInt16(low)
        lbaMid = (lbaMid & 0xFF00) | UInt16(mid)
        lbaHigh = (lbaHigh & 0xFF00) | UInt16(high)
    }
}
