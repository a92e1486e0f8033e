extension ScaffoldSwift {
    static let decisions = #"""
        /// What ports that no device claims read as: the decision only. `@TYPE@Plugin.swift` connects it to the chain.
        public struct @TYPE@Decisions: Sendable {
            /// An access to a port that nothing claims.
            public struct Access: Sendable {
                /// 1, 2 or 4 bytes.
                public var width: Int
                public var isWrite: Bool
                /// Of a string instruction.
                public var isString: Bool

                public init(width: Int, isWrite: Bool = false, isString: Bool = false) {
                    self.width = width
                    self.isWrite = isWrite
                    self.isString = isString
                }
            }

            public enum Answer: Equatable, Sendable {
                case drop
                case read(UInt64)
                case leaveToOthers
            }

            public let byte: UInt8
            /// Accesses answered since reset.
            public var answered: UInt64 = 0

            public init(byte: UInt8) { self.byte = byte }

            /// String instructions are left to the next policy.
            public mutating func answer(_ access: Access) -> Answer {
                guard !access.isString else { return .leaveToOthers }
                answered &+= 1
                return access.isWrite ? .drop : .read(value(width: access.width))
            }

            /// The byte in each place.
            private func value(width: Int) -> UInt64 {
                let everywhere = UInt64(byte) &* 0x0101_0101_0101_0101
                return width >= 8 ? everywhere : everywhere & ((1 &<< (8 &* UInt64(max(0, width)))) &- 1)
            }
        }

        """#

    static let policyPlugin = #"""
        import PluginKit
        import @TYPE@Decisions

        /// Ports that no device claims read as a chosen byte, and are counted. Writes to them are dropped. Each
        /// callback runs with the machine's lock held.
        final class @TYPE@Plugin: Instance {
            static let definition = ClassDefinition.policy(
                "@NAME@", summary: "ports that nothing claims read as a chosen byte",
                properties: [
                    Property("ports", .range, default: "0x80", bounds: 0...0xffff, doc: "which ports"),
                    Property("reads-as", .unsigned, default: "0", bounds: 0...255, doc: "the byte that they read as"),
                ],
                methods: [
                    Method(
                        "answered", result: .u64, doc: "Answers the number of accesses since reset.",
                        function: { raw in instance(raw, as: @TYPE@Plugin.self).decisions.answered }
                            as @convention(c) (UnsafeMutableRawPointer?) -> UInt64)
                ],
                make: { (host, values) throws(PluginError) in @TYPE@Plugin(host, values) })

            private let ports: ClosedRange<UInt64>
            private var decisions: @TYPE@Decisions

            /// Properties come resolved and within the declared bounds.
            init(_ host: Host, _ values: Values) {
                ports = values.range("ports") ?? 0x80...0x80
                decisions = @TYPE@Decisions(byte: UInt8(truncatingIfNeeded: values.unsigned("reads-as")))
                super.init(host)
            }

            /// Exits that nobody asks for cost nothing.
            override func connect() throws(PluginError) {
                try host.exits.want(BP_EXIT_IO, ports, [.decide, .unclaimed])
            }

            override func reset(warm: Bool) { decisions.answered = 0 }

            override func decide(_ exit: inout bp_exit) -> Verdict {
                let access = @TYPE@Decisions.Access(
                    width: Int(exit.width), isWrite: exit.isWrite, isString: exit.has(BP_EXITF_STRING))
                switch decisions.answer(access) {
                case .leaveToOthers: return .continue
                case .drop: return .handled
                case .read(let value):
                    exit.value = value
                    return .handled
                }
            }

            // MARK: State: tagged fields; what comes back is hostile

            override func save(to state: StateWriter) throws(PluginError) { state.put("answered", decisions.answered) }

            override func load(version: UInt32, from state: StateReader) throws(PluginError) {
                decisions.answered = try state.get("answered")
            }
        }

        let library = Library(
            "@NAME@", version: "0.1", summary: "ports that nothing claims read as a chosen byte", licence: "NONE",
            needsMinor: 0, classes: [@TYPE@Plugin.definition])

        /// The one symbol of the library.
        @c(backplane_plugin)
        public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
            library.descriptor(hostMajor: major, hostMinor: minor)
        }

        """#

    static let decisionsTests = #"""
        import Testing
        import @TYPE@Decisions

        @Suite struct @TYPE@DecisionsTests {
            @Test(arguments: [(1, 0xa5), (2, 0xa5a5), (4, 0xa5a5_a5a5)] as [(Int, UInt64)])
            func aReadGivesTheByteInEachPlace(width: Int, value: UInt64) {
                var decisions = @TYPE@Decisions(byte: 0xa5)
                let answer = decisions.answer(.init(width: width))
                #expect(answer == .read(value))
                #expect(decisions.answered == 1)
            }

            @Test func aWriteIsDroppedAndCounted() {
                var decisions = @TYPE@Decisions(byte: 0)
                let answer = decisions.answer(.init(width: 1, isWrite: true))
                #expect(answer == .drop)
                #expect(decisions.answered == 1)
            }

            @Test func stringInstructionsAreLeftToOthers() {
                var decisions = @TYPE@Decisions(byte: 0)
                let answer = decisions.answer(.init(width: 1, isString: true))
                #expect(answer == .leaveToOthers)
                #expect(decisions.answered == 0)
            }
        }

        """#
}
