/// The parts of a PC's name space that route PCI's interrupts. Source: ACPI 6.5, 6.2.13 (_PRT), 5.8.1 (_PIC); PIIX3 data
/// sheet, "PIRQx Route Control" for what a link's register means.
public enum PCINames {
    /// `\_PIC`, called by the OS with 0 for the PICs and 1 for the I/O APICs, and the name that remembers it.
    public static let interruptModel: [AML] = [
        .name("\\PICF", .integer(0)),
        .method("\\_PIC", arguments: 1, [.store(.argument(0), .path("\\PICF"))]),
    ]

    /// `\_S5` and the like: SLP_TYP of PM1a and PM1b.
    public static func sleepState(_ number: UInt8, sleepType: UInt8) -> AML {
        .name("\\_S\(min(number, 5))", .package([.integer(UInt64(sleepType)), .integer(0), .integer(0), .integer(0)]))
    }

    /// Where a device's pin goes.
    public struct Route: Equatable, Sendable {
        public enum Target: Equatable, Sendable {
            /// A link device's name.
            case link(String)
            case interrupt(UInt32)
        }
        /// 0...31.
        public var device: UInt8
        /// 0...3: INTA to INTD.
        public var pin: UInt8
        public var target: Target

        public init(device: UInt8, pin: UInt8, _ target: Target) {
            (self.device, self.pin, self.target) = (device, pin, target)
        }
    }

    /// `_PRT` of a host bridge: what the OS said to `\_PIC` chooses. Where both are the same the choice is left out.
    public static func routingTable(pic: [Route], apic: [Route]) -> AML {
        if pic == apic { return .name("_PRT", package(pic)) }
        return .method(
            "_PRT",
            [
                .if(.path("\\PICF"), [.return(package(apic))], else: [.return(package(pic))])
            ])
    }

    private static func package(_ routes: [Route]) -> AML {
        .package(
            routes.map { route in
                let address = AML.integer(UInt64(route.device) << 16 | 0xFFFF)
                let pin = AML.integer(UInt64(route.pin))
                switch route.target {
                case .link(let name): return .package([address, pin, .path(name), .integer(0)])
                case .interrupt(let number): return .package([address, pin, .integer(0), .integer(UInt64(number))])
                }
            })
    }

    /// Adds `_PRS` to a link device: the interrupts that it may be set to.
    public static func choices(_ interrupts: [UInt32], of link: String) -> AML {
        let trigger = Resource.Trigger(isEdge: false, isActiveLow: false, isShared: true)
        return .scope(link, [.name("_PRS", .resources([.interrupts(interrupts, trigger)]))])
    }

    /// A link device whose router is the byte `register`, a field's path: bit 7 set is off, bits 3:0 are the interrupt. `_PRS` is
    /// for whoever knows which the machine has left: `choices`.
    public static func link(_ name: String, uid: UInt64, register: String) -> AML {
        let trigger = Resource.Trigger(isEdge: false, isActiveLow: false, isShared: true)
        let router = AML.path(register)
        let numberOffset: UInt64 = 5  // in an extended interrupt descriptor
        return .device(
            name,
            [
                .name("_HID", .hardwareID("PNP0C0F")),
                .name("_UID", .integer(uid)),
                .name("CURR", .resources([.interrupts([0], trigger)])),
                .method(
                    "_STA",
                    [
                        .if(.and(router, .integer(0x80)), [.return(.integer(0x09))], else: [.return(.integer(0x0B))])
                    ]),
                .method("_DIS", [.or(router, .integer(0x80), router)]),
                .method(
                    "_CRS", isSerialized: true,
                    [
                        .createField("IRQN", of: .path("CURR"), at: numberOffset, width: 32),
                        .if(
                            .and(router, .integer(0x80)), [.store(.integer(0), .path("IRQN"))],
                            else: [.and(router, .integer(0x0F), .path("IRQN"))]),
                        .return(.path("CURR")),
                    ]),
                .method(
                    "_SRS", arguments: 1, isSerialized: true,
                    [
                        .createField("IRQN", of: .argument(0), at: numberOffset, width: 32),
                        .store(.path("IRQN"), router),
                    ]),
            ])
    }
}
