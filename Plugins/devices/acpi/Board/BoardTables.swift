import ACPITables

/// The tables of a board. Their lengths depend on what it is made of, and not on where the guest has placed it.
/// Source: ACPI 6.5, chapters 5 and 6; what a PC with 440FX and PIIX has, and how its interrupts go, is their data sheets'.
extension Board {
    public var tables: ACPITableSet {
        ACPITableSet(fixed: fixed, namespace: namespace, others: interruptControllers.map { [$0] } ?? [])
    }

    private var fixed: FixedDescription {
        var fixed = FixedDescription()
        fixed.sciInterrupt = UInt16(sci)
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
        if has("rtc146818") { fixed.centuryIndex = 0x32 } else { fixed.boot.insert(.noRTC) }
        fixed.boot.insert(.legacyDevices)
        if has("i8042") { fixed.boot.insert(.keyboardController) }
        return fixed
    }

    private func has(_ plugin: String) -> Bool { parts.contains { $0.plugin == plugin } }

    private var interruptControllers: InterruptControllers? {
        guard let localAPIC else { return nil }
        let levels = Board.routable + (Board.routable.contains(UInt32(sci)) ? [] : [UInt32(sci)])
        var entries: [InterruptControllers.Entry] = [.localAPIC(processor: 0, id: 0, isEnabled: true)]
        if let ioAPIC {
            entries.append(.ioAPIC(id: 0, address: ioAPIC, firstInterrupt: 0))
            entries.append(.override(irq: 0, interrupt: 2, flags: 0))
            entries += levels.sorted().map { .override(irq: UInt8($0), interrupt: $0, flags: 13) }
        }
        entries.append(.localNMI(processor: 0xFF, line: 1, flags: 0))
        var table = InterruptControllers(entries)
        table.localAPICAddress = localAPIC
        table.hasPICs = hasPICs
        return table
    }

    // MARK: The name space

    private var namespace: DefinitionBlock {
        let processor = AML.device("C000", [.name("_HID", .hardwareID("ACPI0007")), .name("_UID", .integer(0))])
        let links = router == nil ? [] : zip(Board.links, Board.routers).enumerated().map(link)
        return DefinitionBlock(
            PCINames.interruptModel + [
                PCINames.sleepState(5, sleepType: 0),
                .scope("\\_SB", [processor] + (hasPCI ? [hostBridge] : [isaBus]) + links + memoryDevices),
            ])
    }

    private func link(_ index: Int, _ names: (String, String)) -> AML {
        PCINames.link(
            names.0, uid: UInt64(index), register: "\\_SB.PCI0.ISA." + names.1, choices: Board.routable)
    }

    private var hostBridge: AML {
        var terms: [AML] = [
            .name("_HID", .hardwareID("PNP0A03")), .name("_ADR", .integer(0)), .name("_UID", .integer(0)),
            .name("_CRS", .resources(windows)),
        ]
        if router != nil {
            let routes = PCINames.rotatingRoutes(devices: 0...31, links: Board.links.map { "\\_SB." + $0 })
            terms.append(PCINames.routingTable(pic: routes, apic: routes))
        }
        return .device("PCI0", terms + [isaBus])
    }

    /// Under PCI the bridge with the router, where there is one.
    private var isaBus: AML {
        guard hasPCI, let router else {
            return .device("ISA", [.name("_HID", .hardwareID("PNP0A05")), .name("_UID", .integer(1))] + partDevices)
        }
        return .device(
            "ISA",
            [
                .name("_ADR", .integer(router.address)),
                .operationRegion("PIRR", .configuration, offset: 0x60, length: 4),
                .field("PIRR", access: .byte, Board.routers.map { .field($0, bits: 8) }),
            ] + partDevices)
    }

    /// What the host bridge passes on: the rest of the ports, the legacy window, and what is above RAM up to the APICs.
    private var windows: [Resource] {
        let end: UInt32 = 0xFEBF_FFFF
        return [
            .buses(.init(0, through: 255)), .io(port: 0xCF8, count: 8), .wordIO(.init(0, through: 0xCF7)),
            .doubleWordIO(.init(0xD00, through: 0xFFFF)),
            .doubleWordMemory(.init(0xA_0000, through: 0xB_FFFF), isCacheable: true, isWritable: true),
            .doubleWordMemory(.init(min(lowMemoryEnd, end), through: end), isCacheable: false, isWritable: true),
        ]
    }
}
