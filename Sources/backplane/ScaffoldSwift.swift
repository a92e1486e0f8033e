/// The templates of plugins in Swift: a package with the logic (a plain struct that tests link), the plugin, and tests.
enum ScaffoldSwift {
    static let device = [
        Scaffold.File(path: "Package.swift", text: manifest("Chip")),
        Scaffold.File(path: "Makefile", text: makefile),
        Scaffold.File(path: "Sources/@TYPE@Chip/@TYPE@Chip.swift", text: chip),
        Scaffold.File(path: "Sources/@TYPE@Plugin/@TYPE@Plugin.swift", text: devicePlugin),
        Scaffold.File(path: "Tests/@TYPE@ChipTests/@TYPE@ChipTests.swift", text: chipTests),
    ]
    static let policy = [
        Scaffold.File(path: "Package.swift", text: manifest("Decisions")),
        Scaffold.File(path: "Makefile", text: makefile),
        Scaffold.File(path: "Sources/@TYPE@Decisions/@TYPE@Decisions.swift", text: decisions),
        Scaffold.File(path: "Sources/@TYPE@Plugin/@TYPE@Plugin.swift", text: policyPlugin),
        Scaffold.File(path: "Tests/@TYPE@DecisionsTests/@TYPE@DecisionsTests.swift", text: decisionsTests),
    ]
    static let backend = [
        Scaffold.File(path: "Package.swift", text: manifest("Queue")),
        Scaffold.File(path: "Makefile", text: makefile),
        Scaffold.File(path: "Sources/@TYPE@Queue/@TYPE@Queue.swift", text: queue),
        Scaffold.File(path: "Sources/@TYPE@Plugin/@TYPE@Plugin.swift", text: backendPlugin),
        Scaffold.File(path: "Tests/@TYPE@QueueTests/@TYPE@QueueTests.swift", text: queueTests),
    ]

    /// - Parameter kit: the product that the plugin's target uses.
    static func manifest(_ model: String, kit: String = "PluginKit") -> String {
        #"""
        // swift-tools-version: 6.2
        import Foundation
        import PackageDescription

        // Where the installed Backplane keeps PluginKit, a source package: `make` asks pkg-config.
        guard let pluginKit = Context.environment["BACKPLANE_PLUGINKIT"], !pluginKit.isEmpty else {
            let text = """
                BACKPLANE_PLUGINKIT is not set: build with 'make', or first run
                export BACKPLANE_PLUGINKIT=$(pkg-config --variable=pluginkit backplane)

                """
            FileHandle.standardError.write(Data(text.utf8))
            exit(1)
        }

        let package = Package(
            name: "@NAME@",
            products: [.library(name: "@NAME@", type: .dynamic, targets: ["@TYPE@Plugin"])],
            dependencies: [.package(path: pluginKit)],
            targets: [
                .target(name: "@TYPE@MODEL", swiftSettings: [.strictMemorySafety()]),
                .target(
                    name: "@TYPE@Plugin",
                    dependencies: ["@TYPE@MODEL", .product(name: "KIT", package: "PluginKit")],
                    // The library exports one symbol: two that have PluginKit inside cannot meet.
                    linkerSettings: [.unsafeFlags(["-Xlinker", "--version-script=\(pluginKit)/plugin.map"])]),
                .testTarget(name: "@TYPE@MODELTests", dependencies: ["@TYPE@MODEL"]),
            ])

        """#.replacing("MODEL", with: model).replacing("\"KIT\"", with: "\"\(kit)\"")
    }

    /// Tabs are make's. The tests are built in the release configuration too, so that nothing is compiled twice.
    static let makefile = """
        # make: build @NAME@.so.  make test: unit tests, the bench, machine.yaml.  make clean
        PKG_CONFIG ?= pkg-config
        SWIFT ?= swift
        BACKPLANE ?= $(subst \\,,$(shell $(PKG_CONFIG) --variable=executable backplane))
        export BACKPLANE_PLUGINKIT ?= $(subst \\,,$(shell $(PKG_CONFIG) --variable=pluginkit backplane))
        SOURCES = Package.swift $(shell find Sources -name '*.swift')

        all: @NAME@.so

        @NAME@.so: $(SOURCES) | found moved
        \t$(SWIFT) build -c release --product @NAME@
        \tcp -f "$$($(SWIFT) build -c release --show-bin-path)/lib@NAME@.so" $@

        test: @NAME@.so
        \t$(SWIFT) test -c release --disable-xctest
        \t"$(BACKPLANE)" plugin test ./@NAME@.so
        \t"$(BACKPLANE)" check machine.yaml

        clean:
        \trm -rf .build @NAME@.so

        # A build folder names the place where it was made: one that was copied with the package is made anew.
        moved:
        \t@if [ -f .build/release.yaml ] && ! grep -qF '"$(CURDIR)/' .build/release.yaml; then rm -rf .build; fi

        # What is missing is said once, in words.
        found:
        \t@$(PKG_CONFIG) --exists backplane || { \\
        \t  echo "pkg-config finds no Backplane: set PKG_CONFIG_PATH=PREFIX/lib/pkgconfig" >&2; exit 1; }

        .PHONY: all test clean found moved

        """

    // MARK: Device

    private static let chip = #"""
        /// A counter in three ports: the chip only. `@TYPE@Plugin.swift` connects it to ports and an interrupt line.
        public struct @TYPE@Chip: Sendable {
            // MARK: Registers

            public enum Register: UInt8, Sendable {
                /// Reads as the count, 0 to 255. A write adds its value, modulo 256.
                case count = 0
                /// The count that sets `reached`; 0: none.
                case limit = 1
                case status = 2
            }

            public struct Status: OptionSet, Equatable, Sendable {
                public let rawValue: UInt8
                public init(rawValue: UInt8) { self.rawValue = rawValue }
                /// Drives the interrupt line. Writing a 1 clears it.
                public static let reached = Status(rawValue: 1 << 0)
            }

            // MARK: State: a snapshot is exactly this

            public struct State: Equatable, Sendable {
                public var count: UInt8 = 0
                public var limit: UInt8
                public var status: Status = []

                public init(limit: UInt8 = 0) { self.limit = limit }
            }

            public private(set) var state: State
            private let resetLimit: UInt8

            /// `limit`: LIMIT after each reset.
            public init(limit: UInt8 = 0) {
                resetLimit = limit
                state = State(limit: limit)
            }

            public mutating func reset() { state = State(limit: resetLimit) }

            /// False, and nothing changed, where no chip can have this state.
            public mutating func restore(_ saved: State) -> Bool {
                guard saved.status.isSubset(of: .reached) else { return false }
                state = saved
                return true
            }

            // MARK: Guest side

            /// Has no side effect.
            public func read(_ register: Register) -> UInt8 {
                switch register {
                case .count: state.count
                case .limit: state.limit
                case .status: state.status.rawValue
                }
            }

            public mutating func write(_ register: Register, _ value: UInt8) {
                switch register {
                case .count: add(value)
                case .limit: state.limit = value
                case .status: state.status.subtract(Status(rawValue: value))
                }
            }

            private mutating func add(_ value: UInt8) {
                // What a guest does must not trap: the sum wraps.
                let (sum, wrapped) = state.count.addingReportingOverflow(value)
                if state.limit != 0, wrapped || sum >= state.limit { state.status.insert(.reached) }
                state.count = sum
            }

            // MARK: Host side

            public mutating func clear() {
                state.count = 0
                state.status = []
            }

            // MARK: Pins, derived from the state and never stored

            public var interruptAsserted: Bool { state.status.contains(.reached) }
        }

        """#

    private static let devicePlugin = #"""
        import PluginKit
        import @TYPE@Chip

        /// Connects the chip to three ports and an interrupt line. Every callback runs with the machine's lock held.
        final class @TYPE@Plugin: Instance {
            static let definition = ClassDefinition.device(
                "@NAME@", summary: "a counter in three ports",
                properties: [
                    Property("at", .port, default: "0x2e0", doc: "the first of three ports"),
                    Property("limit", .unsigned, default: "0", bounds: 0...255, doc: "LIMIT after each reset; 0: none"),
                ],
                slots: [Slot("irq", "irq-line/1", optional: true, doc: "raised while REACHED is set")],
                methods: [
                    Method(
                        "count", result: .u8, doc: "Answers the count.",
                        function: { raw in instance(raw, as: @TYPE@Plugin.self).chip.read(.count) }
                            as @convention(c) (UnsafeMutableRawPointer?) -> UInt8),
                    Method(
                        "clear", doc: "Sets count and status to 0.",
                        function: { raw in instance(raw, as: @TYPE@Plugin.self).clear() }
                            as @convention(c) (UnsafeMutableRawPointer?) -> Void),
                ],
                // What it is to an operating system with ACPI, by an ID of yours.
                firmware: [FirmwareNode("BCKP0001")],
                make: { (host, values) throws(PluginError) in try @TYPE@Plugin(host, values) })

            private let base: UInt16
            private var chip: @TYPE@Chip
            private var line: Line?

            /// Properties come resolved and within the declared bounds; what bounds cannot say is checked here.
            init(_ host: Host, _ values: Values) throws(PluginError) {
                base = values.port("at")
                guard base <= 0xfffd else { throw PluginError("at: three ports from this one end beyond 0xffff") }
                chip = @TYPE@Chip(limit: UInt8(truncatingIfNeeded: values.unsigned("limit")))
                super.init(host)
            }

            override func connect() throws(PluginError) {
                line = try host.line("irq")
                try host.io.claimPorts(base, count: 3, widths: .byte, name: "counter")
            }

            override func reset(warm: Bool) {
                chip.reset()
                settle()
            }

            // MARK: Guest side: bytes only, the host splits wider accesses

            override func read(_ access: Access) -> ReadResult {
                guard let register = @TYPE@Chip.Register(rawValue: UInt8(truncatingIfNeeded: access.offset)) else {
                    return .noRegister
                }
                return .value(chip.read(register))
            }

            override func write(_ access: Access, _ value: UInt64) -> Status {
                guard let register = @TYPE@Chip.Register(rawValue: UInt8(truncatingIfNeeded: access.offset)) else {
                    return .noRegister
                }
                chip.write(register, UInt8(truncatingIfNeeded: value))
                settle()
                return .ok
            }

            // MARK: Pins

            private func settle() { line?.set(chip.interruptAsserted) }

            private func clear() {
                chip.clear()
                settle()
            }

            // MARK: State: tagged fields; what comes back is hostile

            override func save(to state: StateWriter) throws(PluginError) {
                state.put("count", chip.state.count)
                state.put("limit", chip.state.limit)
                state.put("status", chip.state.status.rawValue)
            }

            override func load(version: UInt32, from state: StateReader) throws(PluginError) {
                var saved = @TYPE@Chip.State()
                saved.count = try state.get("count")
                saved.limit = try state.get("limit")
                saved.status = try state.get("status")
                guard chip.restore(saved) else { throw PluginError("the saved status has bits that do not exist") }
                settle()
            }
        }

        let library = Library(
            "@NAME@", version: "0.1", summary: "a counter in three ports", licence: "NONE",
            needsMinor: 0, classes: [@TYPE@Plugin.definition])

        /// The one symbol of the library.
        @c(backplane_plugin)
        public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
            library.descriptor(hostMajor: major, hostMinor: minor)
        }

        """#

    private static let chipTests = #"""
        import Testing
        import @TYPE@Chip

        @Suite struct @TYPE@ChipTests {
            @Test func resetSetsTheLimitAndNothingElse() {
                var chip = @TYPE@Chip(limit: 10)
                chip.write(.count, 50)
                chip.write(.limit, 3)
                chip.reset()
                #expect(chip.read(.count) == 0)
                #expect(chip.read(.limit) == 10)
                #expect(!chip.interruptAsserted)
            }

            @Test func reachingTheLimitInterruptsUntilItIsCleared() {
                var chip = @TYPE@Chip(limit: 10)
                chip.write(.count, 9)
                #expect(!chip.interruptAsserted)
                chip.write(.count, 1)
                #expect(chip.read(.status) == 1)
                #expect(chip.interruptAsserted)
                chip.write(.status, 0)
                #expect(chip.interruptAsserted)
                chip.write(.status, 1)
                #expect(!chip.interruptAsserted)
            }

            @Test func withoutALimitTheCountWrapsInSilence() {
                var chip = @TYPE@Chip()
                chip.write(.count, 255)
                chip.write(.count, 2)
                #expect(chip.read(.count) == 1)
                #expect(!chip.interruptAsserted)
            }

            @Test func aSumThatWrapsHasPassedTheLimit() {
                var chip = @TYPE@Chip(limit: 255)
                chip.write(.count, 200)
                chip.write(.count, 200)
                #expect(chip.read(.count) == 144)
                #expect(chip.interruptAsserted)
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
