// The bench's ends of interfaces of a plugin's own: classes that are made from the descriptors, since nobody could have written them
// before.
// SAFETY for this file: `self` of an instance is a retained CustomEnd, released by destroy; the property `board` is as in Peers.swift;
// pointers that a plugin passes are valid for the call as its descriptor declares them, or this crash is the plugin's.

import CBackplane
import Core

/// An interface that needs an end: what the bench calls, and what it is called by.
struct CustomInterface: Sendable {
    /// "bus/1"
    var name: String
    /// The class under test provides it; otherwise one of its slots needs it.
    var isProvided: Bool
    var outgoing: [InterfaceDescriptor.Function]
    var incoming: [InterfaceDescriptor.Function]

    init(_ descriptor: InterfaceDescriptor, isProvided: Bool) {
        name = descriptor.name
        self.isProvided = isProvided
        outgoing = isProvided ? descriptor.provider : descriptor.client
        incoming = isProvided ? descriptor.client : descriptor.provider
    }

    /// Functions that can be called with values made from their types: an opaque pointer cannot be made up.
    var callable: [InterfaceDescriptor.Function] { outgoing.filter { !$0.parameters.contains(.pointer) } }
}

/// One end of the bench's making, as operations name it.
struct CustomPlace: Sendable {
    /// "bus/1.0", "bus.0"
    var name: String
    /// Position among the plan's interfaces.
    var interface: Int
    /// Of the class under test, for what it provides; of the bench's instance otherwise.
    var index: Int
}

/// A built-in library with a class for each interface.
final class CustomLibrary: @unchecked Sendable {
    let interfaces: [CustomInterface]
    private(set) var library: PluginLibrary!
    /// Function tables of the called sides, by interface.
    private(set) var tables: [UnsafeRawPointer] = []
    private var memory: [UnsafeMutableRawPointer] = []

    /// `descriptors`: of the interfaces, in their order.
    init(_ interfaces: [CustomInterface], _ descriptors: [UnsafePointer<bp_interface>]) throws(BenchError) {
        self.interfaces = interfaces
        tables = interfaces.map { table($0.incoming.count) }
        var types: [UnsafePointer<bp_class>?] = []
        for (index, (interface, descriptor)) in zip(interfaces, descriptors).enumerated() {
            types.append(UnsafePointer(constant(type(index, interface, descriptor))))
        }
        var plugin = bp_plugin()
        plugin.size = UInt32(MemoryLayout<bp_plugin>.size)
        plugin.abi_major = UInt16(BP_ABI_MAJOR)
        plugin.name = text("bench-ends")
        plugin.version = text("1.0")
        plugin.summary = text("ends of a plugin's own interfaces")
        plugin.licence = text("Apache-2.0")
        plugin.class_count = UInt32(types.count)
        plugin.classes = array(types)
        do throws(LibraryError) {
            library = try PluginLibrary(builtIn: constant(plugin))
        } catch {
            throw BenchError("the bench's ends of the plugin's own interfaces: \(error)")
        }
    }

    deinit { memory.forEach { $0.deallocate() } }

    /// Of the class for interface `index`.
    static func className(_ index: Int) -> String { "bench-end-\(index)" }

    // MARK: Descriptors

    private func type(
        _ index: Int, _ interface: CustomInterface, _ descriptor: UnsafePointer<bp_interface>
    ) -> bp_class {
        var type = bp_class()
        type.size = UInt32(MemoryLayout<bp_class>.size)
        type.kind = UInt16(interface.isProvided ? BP_DEVICE : BP_BACKEND)
        type.flags = UInt16(BP_CLASS_NOT_SAVABLE)
        type.name = text(CustomLibrary.className(index))
        type.summary = text("an end of \(interface.name)")
        type.properties = array(["board", "index"].map { property($0) })
        type.property_count = 2
        if interface.isProvided {
            let slot = bp_slot(
                size: UInt32(MemoryLayout<bp_slot>.size), flags: 0, name: text("end"), interface: text(interface.name),
                doc: text("the class under test"), client: interface.incoming.isEmpty ? nil : tables[index])
            type.slots = array([UnsafePointer(constant(slot))])
            type.slot_count = 1
        } else {
            let provided = bp_provided(
                size: UInt32(MemoryLayout<bp_provided>.size), flags: UInt32(BP_PROVIDED_MAY_CYCLE),
                name: text(interface.name), doc: text("recorded"), descriptor: descriptor, count: peerCount, reserved: 0
            )
            type.provided = array([UnsafePointer(constant(provided))])
            type.provided_count = 1
        }
        type.user = Unmanaged.passUnretained(self).toOpaque()
        type.state_version = UInt32(index)
        type.create = CustomEnd.create
        type.query_interface = CustomEnd.query
        type.connect = CustomEnd.connect
        type.destroy = CustomEnd.destroy
        return type
    }

    private func property(_ name: String) -> UnsafePointer<bp_property>? {
        var property = bp_property()
        property.size = UInt32(MemoryLayout<bp_property>.size)
        property.type = UInt16(BP_UNSIGNED)
        property.name = text(name)
        property.default_value = text("0")
        property.doc = text("where the bench is")
        return UnsafePointer(constant(property))
    }

    private func table(_ count: Int) -> UnsafeRawPointer {
        let table = UnsafeMutableRawPointer.allocate(byteCount: 8 + 8 * count, alignment: 8)
        table.storeBytes(of: UInt64(8 + 8 * count), as: UInt64.self)
        for (index, function) in CustomEnd.functions.prefix(count).enumerated() {
            table.storeBytes(of: function, toByteOffset: 8 + 8 * index, as: CustomEnd.Function.self)
        }
        memory.append(table)
        return UnsafeRawPointer(table)
    }

    private func constant<T>(_ value: T) -> UnsafeMutablePointer<T> {
        let pointer = UnsafeMutablePointer<T>.allocate(capacity: 1)
        pointer.initialize(to: value)
        memory.append(UnsafeMutableRawPointer(pointer))
        return pointer
    }

    private func array<T>(_ values: [T]) -> UnsafePointer<T> {
        let pointer = UnsafeMutablePointer<T>.allocate(capacity: values.count)
        pointer.initialize(from: values, count: values.count)
        memory.append(UnsafeMutableRawPointer(pointer))
        return UnsafePointer(pointer)
    }

    private func text(_ text: String) -> UnsafePointer<CChar> { array(Array(text.utf8CString)) }
}

/// An end of an interface of the plugin's own: records what it is called with, and calls by descriptor.
final class CustomEnd {
    private let board: Board
    private let library: CustomLibrary
    /// Position among the plan's interfaces.
    private let number: Int
    private var interface: CustomInterface { library.interfaces[number] }
    private let host: UnsafePointer<bp_host>
    /// Which of the class's indices it is wired to; of a provider it is each client's own.
    private let ownIndex: Int
    /// What can be called, by index.
    private var peers: [Int: bp_peer] = [:]

    private init(
        _ host: UnsafePointer<bp_host>, _ board: Board, _ library: CustomLibrary, _ number: Int, _ ownIndex: Int
    ) {
        (self.host, self.board, self.library, self.number, self.ownIndex) = (host, board, library, number, ownIndex)
    }

    // MARK: The class's functions

    private static func with<R>(_ raw: UnsafeMutableRawPointer?, _ body: (CustomEnd) -> R) -> R {
        Unmanaged<CustomEnd>.fromOpaque(raw.unsafelyUnwrapped)._withUnsafeGuaranteedRef { body($0) }
    }

    static let create:
        @convention(c) (
            UnsafePointer<bp_class>?, UnsafePointer<bp_host>?, UnsafePointer<bp_value>?,
            UnsafeMutablePointer<UnsafeMutableRawPointer?>?
        ) -> bp_status = { type, host, values, out in
            guard let type, let host, let values, let user = type.pointee.user else { return Int32(BP_INVALID) }
            let library = Unmanaged<CustomLibrary>.fromOpaque(user).takeUnretainedValue()
            let board = Unmanaged<Board>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(values[0].u)).unsafelyUnwrapped)
                .takeUnretainedValue()
            let (number, index) = (Int(type.pointee.state_version), Int(values[1].u))
            let end = CustomEnd(host, board, library, number, index)
            board.customEnds[CustomEnd.key(number, end.interface.isProvided ? index : 0)] = end
            out?.pointee = Unmanaged.passRetained(end).toOpaque()
            return 0
        }

    static let query:
        @convention(c) (
            UnsafeMutableRawPointer?, UnsafePointer<CChar>?, UInt32, UnsafePointer<bp_peer>?,
            UnsafeMutablePointer<bp_peer>?
        ) -> bp_status = { raw, _, index, client, out in
            with(raw) { end in
                if let client { end.peers[Int(index)] = client.pointee }
                out?.pointee.`self` = raw
                out?.pointee.index = index
                out?.pointee.functions = end.library.tables[end.number]
                return 0
            }
        }

    static let connect: @convention(c) (UnsafeMutableRawPointer?) -> bp_status = { raw in
        with(raw) { end in
            guard end.interface.isProvided, let service = end.host.pointee.service,
                let wiring = service(end.host, "wiring/1")?.assumingMemoryBound(to: bp_wiring_1.self)
            else { return 0 }
            var peer = bp_peer()
            peer.size = UInt32(MemoryLayout<bp_peer>.size)
            let status = wiring.pointee.peer(end.host, "end", 0, &peer)
            if status == 0 { end.peers[end.ownIndex] = peer }
            return status
        }
    }

    static let destroy: @convention(c) (UnsafeMutableRawPointer?) -> Void = { raw in
        if let raw { Unmanaged<CustomEnd>.fromOpaque(raw).release() }
    }

    /// Of the end in `Board.customEnds`.
    static func key(_ number: Int, _ index: Int) -> Int { number << 16 | index }

    // MARK: Being called

    typealias Function =
        @convention(c) (UnsafeMutableRawPointer?, UInt32, UInt64, UInt64, UInt64, UInt64) -> UInt64

    /// As many as an interface may have.
    static let functions: [Function] = [
        { raw, index, a, b, c, d in with(raw) { $0.called(0, index, [a, b, c, d]) } },
        { raw, index, a, b, c, d in with(raw) { $0.called(1, index, [a, b, c, d]) } },
        { raw, index, a, b, c, d in with(raw) { $0.called(2, index, [a, b, c, d]) } },
        { raw, index, a, b, c, d in with(raw) { $0.called(3, index, [a, b, c, d]) } },
        { raw, index, a, b, c, d in with(raw) { $0.called(4, index, [a, b, c, d]) } },
        { raw, index, a, b, c, d in with(raw) { $0.called(5, index, [a, b, c, d]) } },
        { raw, index, a, b, c, d in with(raw) { $0.called(6, index, [a, b, c, d]) } },
        { raw, index, a, b, c, d in with(raw) { $0.called(7, index, [a, b, c, d]) } },
        { raw, index, a, b, c, d in with(raw) { $0.called(8, index, [a, b, c, d]) } },
        { raw, index, a, b, c, d in with(raw) { $0.called(9, index, [a, b, c, d]) } },
        { raw, index, a, b, c, d in with(raw) { $0.called(10, index, [a, b, c, d]) } },
        { raw, index, a, b, c, d in with(raw) { $0.called(11, index, [a, b, c, d]) } },
        { raw, index, a, b, c, d in with(raw) { $0.called(12, index, [a, b, c, d]) } },
        { raw, index, a, b, c, d in with(raw) { $0.called(13, index, [a, b, c, d]) } },
        { raw, index, a, b, c, d in with(raw) { $0.called(14, index, [a, b, c, d]) } },
        { raw, index, a, b, c, d in with(raw) { $0.called(15, index, [a, b, c, d]) } },
    ]

    private func called(_ position: Int, _ index: UInt32, _ values: [UInt64]) -> UInt64 {
        board.checkDepth()
        guard interface.incoming.indices.contains(position) else { return 0 }
        let function = interface.incoming[position]
        let end = interface.isProvided ? ownIndex : Int(index)
        var hash = fnv([])
        for (parameter, type) in function.parameters.enumerated() {
            let following = parameter + 1 < function.parameters.count ? function.parameters[parameter + 1] : .void
            let length = parameter < 3 ? CustomEnd.narrow(values[parameter + 1], following) : 0
            hash = take(values[parameter], type, length: length, of: function.name, hash)
        }
        board.record(.call, number << 16 | end << 8 | position, hash)
        if board.mayCallBack() { callBack(end) }
        return 0
    }

    /// One argument, mixed into the hash; what is to be filled in is filled in.
    private func take(_ value: UInt64, _ type: WireType, length: UInt64, of function: String, _ hash: UInt64) -> UInt64
    {
        let pointer = UnsafeMutableRawPointer(bitPattern: UInt(value))
        switch type {
        case .inBuffer, .outBuffer:
            guard length > 0 else { return hash }
            guard let pointer else {
                board.violate("it called '\(function)' of '\(interface.name)' with NULL for \(length) bytes")
                return hash
            }
            let bytes = UnsafeMutableRawBufferPointer(start: pointer, count: Int(min(length, 1 << 24)))
            if type == .inBuffer { return fnv(bytes, hash) }
            for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: index &* 5) }
            return hash
        case .text:
            guard let pointer else { return hash }
            return fnv(String(cString: pointer.assumingMemoryBound(to: CChar.self)).utf8, hash)
        case .inStruct, .outStruct:
            guard let pointer else {
                board.violate("it called '\(function)' of '\(interface.name)' with NULL for a struct")
                return hash
            }
            let size = Int(min(pointer.load(as: UInt32.self), 1 << 16))
            let bytes = UnsafeMutableRawBufferPointer(start: pointer, count: size)
            if type == .inStruct { return fnv(CustomEnd.withoutPointers(Array(bytes)), hash) }
            let filling = HeaderInterfaces.filling(interface.name, function) ?? []
            for index in bytes.indices.dropFirst(4) {
                bytes[index] = index - 4 < filling.count ? filling[index - 4] : 0
            }
            return hash
        case .outU32, .outU64:
            guard let pointer else {
                board.violate("it called '\(function)' of '\(interface.name)' with NULL for a number")
                return hash
            }
            let count = CustomEnd.fixedSize(type)
            UnsafeMutableRawBufferPointer(start: pointer, count: count).initializeMemory(
                as: UInt8.self, repeating: 0x55)
            return hash
        case .pointer: return hash
        default: return (hash ^ CustomEnd.narrow(value, type)) &* 0x100_0000_01b3
        }
    }

    private func callBack(_ index: Int) {
        let functions = interface.outgoing
        guard let position = functions.firstIndex(where: { $0.isAsynchronous && !$0.parameters.contains(.pointer) })
        else { return }
        let arguments = CustomEnd.arguments(of: functions[position]) { type in
            [.inBuffer, .text, .inStruct].contains(type)
                ? .bytes([UInt8](repeating: 0x55, count: type == .inStruct ? 16 : 1)) : .number(1)
        }
        _ = call(index, position, arguments)
        board.checkDepth()
    }

    // MARK: Calling

    /// One argument for each parameter that is not a buffer's length.
    static func arguments(
        of function: InterfaceDescriptor.Function, _ make: (WireType) -> CallArgument
    ) -> [CallArgument] {
        var arguments: [CallArgument] = []
        var isLength = false
        for type in function.parameters {
            if !isLength { arguments.append(make(type)) }
            isLength = !isLength && (type == .inBuffer || type == .outBuffer)
        }
        return arguments
    }

    private static let guardBytes = 64
    private static let guardValue: UInt8 = 0xa5

    /// Calls a function by its position; what it returned, and the bytes that it gave.
    func call(_ index: Int, _ position: Int, _ arguments: [CallArgument]) -> (value: UInt64, bytes: [UInt8]) {
        guard let peer = peers[index], let table = peer.functions, interface.outgoing.indices.contains(position),
            table.load(as: UInt32.self) >= UInt32(16 + 8 * position)
        else { return (0, []) }
        let signature = interface.outgoing[position]
        var values: [UInt64] = []
        var buffers: [(memory: UnsafeMutableRawBufferPointer, type: WireType, count: Int)] = []
        defer { buffers.forEach { $0.memory.deallocate() } }
        for argument in arguments where values.count < signature.parameters.count {
            let type = signature.parameters[values.count]
            guard CustomEnd.isPointer(type) else {
                if case .number(let number) = argument {
                    values.append(CustomEnd.narrow(number, type))
                } else {
                    values.append(0)
                }
                continue
            }
            let buffer = CustomEnd.buffer(argument, type)
            buffers.append(buffer)
            values.append(UInt64(UInt(bitPattern: buffer.memory.baseAddress)))
            if type == .inBuffer || type == .outBuffer { values.append(UInt64(buffer.count)) }
        }
        while values.count < 4 { values.append(0) }
        let function = table.load(fromByteOffset: 8 + 8 * position, as: Function.self)
        let result = function(peer.`self`, peer.index, values[0], values[1], values[2], values[3])
        return (CustomEnd.narrow(result, signature.result), buffers.flatMap { given($0, by: signature.name) })
    }

    /// Memory for a pointer parameter, with bytes behind it that nobody may write.
    private static func buffer(
        _ argument: CallArgument, _ type: WireType
    ) -> (memory: UnsafeMutableRawBufferPointer, type: WireType, count: Int) {
        var bytes: [UInt8] = []
        switch argument {
        case .bytes(let given): bytes = given
        case .number(let count): bytes = [UInt8](repeating: 0, count: Int(min(count, 1 << 20)))
        }
        if type == .text { bytes = bytes.filter { $0 != 0 } + [0] }
        if fixedSize(type) > 0 { bytes = [UInt8](repeating: 0, count: fixedSize(type)) }
        let isStruct = type == .inStruct || type == .outStruct
        if isStruct, bytes.count < 8 { bytes += [UInt8](repeating: 0, count: 8 - bytes.count) }
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count + guardBytes, alignment: 16)
        memory.copyBytes(from: bytes)
        for index in bytes.count..<memory.count { memory[index] = guardValue }
        if isStruct { memory.storeBytes(of: UInt32(bytes.count), as: UInt32.self) }
        return (memory, type, bytes.count)
    }

    /// What the callee has filled in.
    private func given(
        _ buffer: (memory: UnsafeMutableRawBufferPointer, type: WireType, count: Int), by function: String
    ) -> [UInt8] {
        if buffer.memory.dropFirst(buffer.count).contains(where: { $0 != CustomEnd.guardValue }) {
            board.violate("its '\(function)' wrote beyond the \(buffer.count) bytes that it was given")
        }
        switch buffer.type {
        case .outBuffer, .outU32, .outU64: return Array(buffer.memory.prefix(buffer.count))
        case .outStruct: return CustomEnd.withoutPointers(Array(buffer.memory.prefix(buffer.count)))
        default: return []
        }
    }

    // MARK: Values

    static func isPointer(_ type: WireType) -> Bool {
        [.inBuffer, .outBuffer, .inStruct, .outStruct, .outU32, .outU64, .text, .pointer].contains(type)
    }

    /// Bytes behind a pointer to a number that the callee fills in; 0: it is none.
    static func fixedSize(_ type: WireType) -> Int { type == .outU32 ? 4 : type == .outU64 ? 8 : 0 }

    /// The bits that the type has.
    static func narrow(_ value: UInt64, _ type: WireType) -> UInt64 {
        switch type {
        case .void, .text, .pointer, .inBuffer, .outBuffer, .inStruct, .outStruct, .outU32, .outU64: 0
        case .bool: value & 0xff == 0 ? 0 : 1
        case .u8: value & 0xff
        case .u16: value & 0xffff
        case .u32, .status: value & 0xffff_ffff
        case .u64, .i64, .f64: value
        }
    }

    /// Words that look like addresses of this process differ between two instances that are alike.
    static func withoutPointers(_ bytes: [UInt8]) -> [UInt8] {
        var result = bytes
        for start in stride(from: 0, to: bytes.count - 7, by: 8) {
            let word = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[start + $1]) << UInt64($1 * 8) }
            if (0x1000_0000_0000...0x7fff_ffff_ffff).contains(word) {
                for index in 0..<8 { result[start + index] = 0 }
            }
        }
        return result
    }
}
