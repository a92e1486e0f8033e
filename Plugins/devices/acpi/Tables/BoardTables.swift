public import ACPITables
public import BoardSurvey

/// The tables of a board. Their lengths depend on what it is made of, and not on where the guest has placed it.
/// Source: ACPI 6.5, chapters 5 and 6; for the power block the PIIX4's data sheet.
extension Board {
    /// nil: there is no power block, without which ACPI's fixed hardware is not there.
    public var acpi: ACPITableSet? {
        guard let powerBlock else { return nil }
        return ACPITableSet(
            fixed: fixed(powerBlock), namespace: NameSpace(self).definition,
            others: interruptControllers.map { [$0] } ?? [])
    }

    private func fixed(_ powerBlock: UInt16) -> FixedDescription {
        var fixed = FixedDescription()
        fixed.sciInterrupt = UInt16(clamping: sci ?? 9)
        if let commandPort { (fixed.commandPort, fixed.enableValue, fixed.disableValue) = (commandPort, 0xF1, 0xF0) }
        fixed.events = .init(powerBlock, 4)
        fixed.control = .init(powerBlock == 0 ? 0 : powerBlock &+ 4, 2)
        fixed.timer = .init(powerBlock == 0 ? 0 : powerBlock &+ 8, 4)
        fixed.generalEvents = .init(powerBlock == 0 ? 0 : powerBlock &+ 12, 4)
        // The RTC wakes by nothing, and there is no sleep button in PM1.
        fixed.flags = [.wbinvd, .allCPUsHaveC1, .sleepButtonIsDevice, .rtcWakesNotFixed]
        if let resetPort {
            fixed.flags.insert(.hasResetRegister)
            (fixed.resetPort, fixed.resetValue) = (resetPort, 6)
        }
        if has(hid: "PNP0B00") { fixed.centuryIndex = 0x32 } else { fixed.boot.insert(.noRTC) }
        fixed.boot.insert(.legacyDevices)
        if has(hid: "PNP0303") { fixed.boot.insert(.keyboardController) }
        return fixed
    }

    private var interruptControllers: InterruptControllers? {
        guard let localAPIC = registers(.localAPIC) else { return nil }
        var entries: [InterruptControllers.Entry] = [.localAPIC(processor: 0, id: 0, isEnabled: true)]
        if let ioAPIC = registers(.ioAPIC) {
            entries.append(.ioAPIC(id: 0, address: ioAPIC, firstInterrupt: 0))
            entries.append(.override(irq: 0, interrupt: 2, flags: 0))
            entries += levels.sorted().map { .override(irq: UInt8($0), interrupt: $0, flags: 13) }
        }
        entries.append(.localNMI(processor: 0xFF, line: 1, flags: 0))
        var table = InterruptControllers(entries)
        table.localAPICAddress = localAPIC
        table.hasPICs = has(hid: "PNP0000")
        return table
    }
}
