import CBackplane

/// The functions of an interface, both ways: what the core must know to put itself between the two ends.
public struct InterfaceDescriptor: Sendable, Equatable {
    public struct Function: Sendable, Equatable {
        public var name: String
        public var parameters: [WireType]
        public var result: WireType
        public var isAsynchronous: Bool
        /// 0: every table has it. Otherwise it was appended to the interface, by this minor of the ABI or, in a plugin's own interface, by
        /// its own count: tables that were built before end before it.
        public var since: UInt32 = 0

        func appended(_ minor: UInt32) -> Function {
            var function = self
            function.since = minor
            return function
        }
    }

    public var name: String
    public var provider: [Function]
    public var client: [Function]

    private static func async(_ name: String, _ parameters: WireType...) -> Function {
        Function(name: name, parameters: parameters, result: .void, isAsynchronous: true)
    }

    private static func sync(_ name: String, _ parameters: WireType..., result: WireType = .status) -> Function {
        Function(name: name, parameters: parameters, result: result, isAsynchronous: false)
    }

    /// An interface of plugin.h.
    public static func known(_ name: String) -> InterfaceDescriptor? { standard[name] }

    /// The interfaces of plugin.h.
    static let standard: [String: InterfaceDescriptor] = {
        let all = [
            InterfaceDescriptor(name: "irq-line/1", provider: [async("set", .u32)], client: []),
            InterfaceDescriptor(
                name: "irq-controller/1",
                provider: [
                    sync("acknowledge", .u32, result: .u32), async("message", .u64, .u64, .u64).appended(4),
                ],
                client: [async("intr", .u32, .u32).appended(4), async("eoi", .u32, .u32).appended(4)]),
            InterfaceDescriptor(
                name: "stream/1",
                provider: [async("write", .inBuffer, .u64), async("ready", .u64), async("event", .u32)],
                client: [
                    async("receive", .inBuffer, .u64), async("throttle", .u32), async("event", .u32),
                    async("window", .u32, .u32).appended(9),
                ]),
            InterfaceDescriptor(
                name: "block/1",
                provider: [
                    sync("info", .outStruct), async("submit", .inStruct), sync("cancel_all"),
                    sync("insert", .inBuffer, .u64, .u32).appended(8),
                ],
                client: [async("complete", .u64, .u32), async("resized", .u64).appended(9)]),
            InterfaceDescriptor(
                name: "net/1", provider: [async("send", .inBuffer, .u64), async("ready", .u64)],
                client: [async("receive", .inBuffer, .u64), async("link", .u32)]),
            InterfaceDescriptor(
                name: "pci/1", provider: [async("intx", .u32, .u32), sync("location", result: .u32)],
                client: [
                    sync("config_read", .u32, .u32, .u32, .outU32), sync("config_write", .u32, .u32, .u32),
                    async("bus_reset"),
                ]),
            InterfaceDescriptor(
                name: "display/1",
                provider: [
                    async("surface", .inStruct), async("cells", .inStruct), async("damage", .u32, .u32, .u32, .u32),
                    async("frame", .u64),
                ],
                client: [async("refresh", .u32)]),
            InterfaceDescriptor(
                name: "input/1", provider: [async("event", .u32, .u32, .i64), sync("takes", .outU32)],
                client: [async("leds", .u32)]),
            InterfaceDescriptor(
                name: "tables/1",
                provider: [
                    sync("count", result: .u32), sync("describe", .u32, .outStruct),
                    sync("read", .u32, .u64, .outBuffer, .u64),
                ], client: []),
            InterfaceDescriptor(
                name: "dma-channel/1",
                provider: [
                    async("request", .u32), async("write", .inBuffer, .u64), async("read", .u64),
                    async("interrupt", .u32),
                ],
                client: [async("ready", .u32), async("moved", .u64), async("data", .inBuffer, .u64)]),
            InterfaceDescriptor(
                name: "virtio/1",
                provider: [async("used", .u32), async("config_changed"), async("needs_reset")],
                client: [
                    sync("device", .outStruct), sync("status", .u32, .u64), sync("queue", .u32, .inStruct),
                    async("kick", .u32), sync("config_read", .u32, .u32, .u32, .outU32),
                    sync("config_write", .u32, .u32, .u32),
                ]),
        ]
        return Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
    }()
}

extension InterfaceDescriptor {
    /// Copies and checks a plugin's own descriptor.
    public init(_ pointer: UnsafePointer<bp_interface>) throws(LibraryError) {
        let raw = pointer.pointee
        guard raw.size >= DescriptorReader.LeastSize.interface, let rawName = raw.name else {
            throw LibraryError("an interface descriptor is broken")
        }
        name = String(cString: rawName)
        provider = try InterfaceDescriptor.functions(raw.provider, raw.provider_count, of: name)
        client = try InterfaceDescriptor.functions(raw.client, raw.client_count, of: name)
    }

    private static func functions(
        _ list: UnsafePointer<UnsafePointer<bp_function>?>?, _ count: UInt32, of name: String
    ) throws(LibraryError) -> [Function] {
        guard count > 0 else { return [] }
        guard count <= 16, let list else { throw LibraryError("interface '\(name)' has more than 16 functions") }
        var results: [Function] = []
        for index in 0..<Int(count) {
            guard let raw = list[index]?.pointee, raw.size >= DescriptorReader.LeastSize.function,
                let functionName = raw.name, raw.parameter_count <= 4,
                let result = WireType(rawValue: raw.result), result != .f64
            else { throw LibraryError("function \(index) of interface '\(name)' is broken") }
            var parameters: [WireType] = []
            for position in 0..<Int(raw.parameter_count) {
                guard let type = (raw.parameters?[position]).flatMap(WireType.init(rawValue:)), type != .f64,
                    type != .void
                else { throw LibraryError("function \(index) of interface '\(name)' has a parameter of no type") }
                parameters.append(type)
            }
            for (position, type) in parameters.enumerated() where type == .inBuffer || type == .outBuffer {
                guard position + 1 < parameters.count, [.u32, .u64].contains(parameters[position + 1]) else {
                    throw LibraryError("function \(index) of interface '\(name)' has a buffer without a length")
                }
            }
            let isAsynchronous = raw.flags & UInt16(BP_FUNCTION_ASYNC) != 0
            let answers = result != .void || parameters.contains(where: \.isOut)
            guard !isAsynchronous || !answers else {
                throw LibraryError("function \(index) of interface '\(name)' is asynchronous and gives something back")
            }
            results.append(
                Function(
                    name: String(cString: functionName), parameters: parameters, result: result,
                    isAsynchronous: isAsynchronous, since: raw.since))
        }
        guard zip(results, results.dropFirst()).allSatisfy({ $0.since <= $1.since }) else {
            throw LibraryError("interface '\(name)' has a function behind one that was appended later")
        }
        return results
    }
}
