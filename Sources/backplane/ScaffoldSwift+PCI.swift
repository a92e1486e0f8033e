// The template of a device on a PCI bus, in Swift.

extension ScaffoldSwift {
    static let pci = [
        Scaffold.File(path: "Package.swift", text: manifest("Chip", kit: "PCIKit")),
        Scaffold.File(path: "Makefile", text: makefile),
        Scaffold.File(path: "Sources/@TYPE@Chip/@TYPE@Chip.swift", text: pciChip),
        Scaffold.File(path: "Sources/@TYPE@Plugin/@TYPE@Plugin.swift", text: pciPlugin),
        Scaffold.File(path: "Tests/@TYPE@ChipTests/@TYPE@ChipTests.swift", text: pciChipTests),
    ]

    private static let pciChip = #"""
        /// A counter that stores its count in memory: the chip only. `@TYPE@Plugin.swift` puts it on a PCI bus.
        public struct @TYPE@Chip: Sendable {
            // MARK: Registers: 32 bits each

            public enum Register: UInt32, Sendable {
                /// Reads as the count. A write adds its value, modulo 2^32.
                case count = 0x0
                /// The count that sets `reached`; 0: none.
                case limit = 0x4
                case status = 0x8
                /// A write stores the count at this address, by DMA. Reads as 0.
                case store = 0xC
            }

            public struct Status: OptionSet, Equatable, Sendable {
                public let rawValue: UInt32
                public init(rawValue: UInt32) { self.rawValue = rawValue }
                /// Interrupts. Writing a 1 clears it.
                public static let reached = Status(rawValue: 1 << 0)
                /// The last store did not reach memory. Writing a 1 clears it.
                public static let failed = Status(rawValue: 1 << 1)
            }

            // MARK: State: a snapshot is exactly this

            public struct State: Equatable, Sendable {
                public var count: UInt32 = 0
                public var limit: UInt32
                public var status: Status = []

                public init(limit: UInt32 = 0) { self.limit = limit }
            }

            public private(set) var state: State
            private let resetLimit: UInt32

            /// `limit`: LIMIT after each reset.
            public init(limit: UInt32 = 0) {
                resetLimit = limit
                state = State(limit: limit)
            }

            public mutating func reset() { state = State(limit: resetLimit) }

            /// False, and nothing changed, where no chip can have this state.
            public mutating func restore(_ saved: State) -> Bool {
                guard saved.status.isSubset(of: [.reached, .failed]) else { return false }
                state = saved
                return true
            }

            // MARK: Guest side

            /// Has no side effect.
            public func read(_ register: Register) -> UInt32 {
                switch register {
                case .count: state.count
                case .limit: state.limit
                case .status: state.status.rawValue
                case .store: 0
                }
            }

            /// Bytes for memory.
            public struct Store: Equatable, Sendable {
                public var address: UInt64
                public var bytes: [UInt8]

                public init(address: UInt64, bytes: [UInt8]) {
                    self.address = address
                    self.bytes = bytes
                }
            }

            /// What is to be stored, for who has memory; `stored` takes the answer.
            public mutating func write(_ register: Register, _ value: UInt32) -> Store? {
                switch register {
                case .count: add(value)
                case .limit: state.limit = value
                case .status: state.status.subtract(Status(rawValue: value))
                case .store:
                    let bytes = [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: state.count >> $0) }
                    return Store(address: UInt64(value), bytes: bytes)
                }
                return nil
            }

            public mutating func stored(_ succeeded: Bool) {
                if succeeded { state.status.remove(.failed) } else { state.status.insert(.failed) }
            }

            private mutating func add(_ value: UInt32) {
                // What a guest does must not trap: the sum wraps.
                let (sum, wrapped) = state.count.addingReportingOverflow(value)
                if state.limit != 0, wrapped || sum >= state.limit { state.status.insert(.reached) }
                state.count = sum
            }

            // MARK: Pins, derived from the state and never stored

            public var interruptAsserted: Bool { state.status.contains(.reached) }
        }

        """#

    private static let pciPlugin = #"""
        import @TYPE@Chip
        import PCIConfiguration
        import PCIKit
        import PluginKit

        /// Puts the chip on a PCI bus: its registers are where base address register 0 says, its interrupt is INTA#, and it reaches memory
        /// while the guest lets it master the bus. Every callback runs with the machine's lock held.
        final class @TYPE@Plugin: PCIFunction {
            static let definition = ClassDefinition.device(
                "@NAME@", summary: "a counter on a PCI bus",
                properties: [
                    Property(
                        "limit", .unsigned, default: "0", bounds: 0...0xffff_ffff, doc: "LIMIT after each reset; 0: none")
                ],
                slots: [Slot("bus", "pci/1", doc: "its place on the PCI bus")],
                make: { (host, values) throws(PluginError) in try @TYPE@Plugin(host, values) })

            private var chip: @TYPE@Chip

            init(_ host: Host, _ values: Values) throws(PluginError) {
                chip = @TYPE@Chip(limit: UInt32(truncatingIfNeeded: values.unsigned("limit")))
                // Vendor 1234H is nobody's, and class FFH is for what fits no other.
                let identity = ConfigurationSpace.Identity(vendor: 0x1234, device: 0x4242, classCode: 0xff_00_00)
                try super.init(
                    host, ConfigurationSpace.Layout(.function, identity, interruptPin: 1),
                    baseAddresses: [
                        BaseAddress(0, .memory32(prefetchable: false), size: 4096, .registers(.long, name: "counter"))
                    ])
            }

            override func reset(warm: Bool) {
                super.reset(warm: warm)
                chip.reset()
                settle()
            }

            // MARK: Guest side: 32 bits at a time, the host splits wider accesses

            override func read(_ access: Access) -> ReadResult {
                guard let register = @TYPE@Chip.Register(rawValue: UInt32(truncatingIfNeeded: access.offset)) else {
                    return .noRegister
                }
                return .value(UInt64(chip.read(register)))
            }

            override func write(_ access: Access, _ value: UInt64) -> Status {
                guard let register = @TYPE@Chip.Register(rawValue: UInt32(truncatingIfNeeded: access.offset)) else {
                    return .noRegister
                }
                if let store = chip.write(register, UInt32(truncatingIfNeeded: value)) {
                    chip.stored(busMemory?.write(store.address, store.bytes) ?? false)
                }
                settle()
                return .ok
            }

            private func settle() { setInterrupt(chip.interruptAsserted) }

            // MARK: State: tagged fields; what comes back is hostile

            override func save(to state: StateWriter) throws(PluginError) {
                saveConfiguration(to: state)
                state.put("count", chip.state.count)
                state.put("limit", chip.state.limit)
                state.put("status", chip.state.status.rawValue)
            }

            override func load(version: UInt32, from state: StateReader) throws(PluginError) {
                let configuration = try loadConfiguration(from: state)
                var saved = @TYPE@Chip.State()
                saved.count = try state.get("count")
                saved.limit = try state.get("limit")
                saved.status = try state.get("status")
                guard chip.restore(saved) else { throw PluginError("the saved status has bits that do not exist") }
                take(configuration, interrupt: chip.interruptAsserted)
            }
        }

        let library = Library(
            "@NAME@", version: "0.1", summary: "a counter on a PCI bus", licence: "NONE",
            needsMinor: 4, classes: [@TYPE@Plugin.definition])

        /// The one symbol of the library.
        @c(backplane_plugin)
        public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
            library.descriptor(hostMajor: major, hostMinor: minor)
        }

        """#

    private static let pciChipTests = #"""
        import Testing
        import @TYPE@Chip

        @Suite struct @TYPE@ChipTests {
            @Test func resetSetsTheLimitAndNothingElse() {
                var chip = @TYPE@Chip(limit: 10)
                _ = chip.write(.count, 50)
                _ = chip.write(.limit, 3)
                chip.reset()
                #expect(chip.read(.count) == 0)
                #expect(chip.read(.limit) == 10)
                #expect(!chip.interruptAsserted)
            }

            @Test func reachingTheLimitInterruptsUntilItIsCleared() {
                var chip = @TYPE@Chip(limit: 10)
                _ = chip.write(.count, 9)
                #expect(!chip.interruptAsserted)
                _ = chip.write(.count, 1)
                #expect(chip.read(.status) == 1)
                #expect(chip.interruptAsserted)
                _ = chip.write(.status, 0)
                #expect(chip.interruptAsserted)
                _ = chip.write(.status, 1)
                #expect(!chip.interruptAsserted)
            }

            @Test func aSumThatWrapsHasPassedTheLimit() {
                var chip = @TYPE@Chip(limit: 0xffff_ffff)
                _ = chip.write(.count, 0x8000_0001)
                _ = chip.write(.count, 0x8000_0001)
                #expect(chip.read(.count) == 2)
                #expect(chip.interruptAsserted)
            }

            @Test func aStoreIsTheCountInLittleEndianOrder() {
                var chip = @TYPE@Chip()
                _ = chip.write(.count, 0x1234_5678)
                #expect(chip.write(.store, 0x9000) == .init(address: 0x9000, bytes: [0x78, 0x56, 0x34, 0x12]))
            }

            @Test func aStoreThatFailedShowsUntilOneSucceedsOrItIsCleared() {
                var chip = @TYPE@Chip()
                chip.stored(false)
                #expect(chip.read(.status) == 2)
                #expect(!chip.interruptAsserted)
                chip.stored(true)
                #expect(chip.read(.status) == 0)
                chip.stored(false)
                _ = chip.write(.status, 2)
                #expect(chip.read(.status) == 0)
            }

            @Test func aStateThatNoChipCanHaveIsRefused() {
                var chip = @TYPE@Chip(limit: 10)
                var saved = chip.state
                saved.status = .init(rawValue: 0x80)
                let isAccepted = chip.restore(saved)
                #expect(!isAccepted)
                #expect(chip.read(.status) == 0)
            }
        }

        """#
}
