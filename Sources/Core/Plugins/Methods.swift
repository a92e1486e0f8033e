// Methods: ordinary C functions of a plugin, called by name through libffi with the declared signature.
// SAFETY: the function pointer and its signature come from the same descriptor; argument storage lives for the call.

import CBackplane
import CFFI
import CHost

/// Why a call did not happen or failed, as a sentence.
public struct MethodError: Error, Sendable, Equatable, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}

public enum MethodResult: Sendable, Equatable {
    case nothing
    case bool(Bool)
    case unsigned(UInt64)
    case signed(Int64)
    case float(Double)
    case text(String)

    public var text: String {
        switch self {
        case .nothing: ""
        case .bool(let flag): flag ? "true" : "false"
        case .unsigned(let number): "\(number)"
        case .signed(let number): "\(number)"
        case .float(let number): "\(number)"
        case .text(let text): text
        }
    }
}

extension WireType {
    /// Checks that a text converts to this type, as `invoke` will; nil: it does.
    public func problem(with text: String) -> String? {
        MethodArgument(text, self) == nil ? "'\(text)' is not a \(name)" : nil
    }
}

/// One argument in the form that libffi takes.
private struct MethodArgument {
    var bits: UInt64 = 0
    var text: [CChar]?

    init?(_ source: String, _ type: WireType) {
        switch type {
        case .bool:
            guard let index = ["false", "true", "off", "on", "no", "yes", "0", "1"].firstIndex(of: source) else {
                return nil
            }
            bits = UInt64(index & 1)
        case .u8, .u16, .u32, .u64:
            let width: UInt64 = [.u8: 8, .u16: 16, .u32: 32][type] ?? 64
            guard let number = MethodArgument.unsigned(source), width == 64 || number >> width == 0 else { return nil }
            bits = number
        case .i64:
            guard let number = Int64(source) ?? MethodArgument.unsigned(source).flatMap(Int64.init(exactly:)) else {
                return nil
            }
            bits = UInt64(bitPattern: number)
        case .f64:
            guard let number = Double(source) else { return nil }
            bits = number.bitPattern
        case .text:
            guard !source.utf8.contains(0) else { return nil }
            text = Array(source.utf8CString)
        default: return nil
        }
    }

    /// 0x and hexadecimal digits, or decimal ones with KiB, MiB, GiB or TiB behind them.
    private static func unsigned(_ text: String) -> UInt64? {
        if text.hasPrefix("0x") { return UInt64(text.dropFirst(2), radix: 16) }
        for (unit, shift) in [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)] where text.hasSuffix(unit) {
            guard let number = UInt64(text.dropLast(unit.count)), number <= UInt64.max >> UInt64(shift) else {
                return nil
            }
            return number << UInt64(shift)
        }
        return UInt64(text)
    }
}

extension Machine {
    /// Calls a method with arguments given as text, from a thread that is in no callback.
    public func invoke(
        _ method: String, _ arguments: [String], on instance: PluginInstance
    ) throws(MethodError) -> MethodResult {
        try lock.held { (_) throws(MethodError) in
            defer { drain() }
            return try instance.invoke(method, arguments)
        }
    }
}

extension PluginInstance {
    /// With the machine's lock held.
    public func invoke(_ name: String, _ arguments: [String]) throws(MethodError) -> MethodResult {
        guard let index = description.type.methods.firstIndex(where: { $0.name == name }),
            let function = type.pointee.methods?[index]?.pointee.function
        else {
            let known = description.type.methods.map(\.name).joined(separator: ", ")
            throw MethodError(
                "'\(id)' has no method '\(name)'" + (known.isEmpty ? "" : "; it has: \(known)"))
        }
        guard !isOffline, phase == .connected else { throw MethodError("'\(id)' is off line") }
        let method = description.type.methods[index]
        guard arguments.count == method.parameters.count else {
            throw MethodError(
                "\(method.signature) takes \(method.parameters.count) arguments, and got \(arguments.count)")
        }
        var converted: [MethodArgument] = []
        for (parameter, text) in zip(method.parameters, arguments) {
            guard let argument = MethodArgument(text, parameter.type) else {
                throw MethodError("\(parameter.name): '\(text)' is not a \(parameter.type.name)")
            }
            converted.append(argument)
        }
        failure = ""
        for provider in wiredProviders { provider.failure = "" }
        reply = []
        let bits = call(ch_activity_method) { callThroughFFI(function, method, converted) }
        guard let bits else { throw MethodError("\(method.signature): its signature cannot be called") }
        return try result(bits, method)
    }

    private func result(_ bits: UInt64, _ method: MethodDescription) throws(MethodError) -> MethodResult {
        if !failure.isEmpty {
            let sentence = failure
            failure = ""
            throw MethodError("\(id).\(method.name): \(sentence)")
        }
        switch method.result {
        case .status:
            let code = Int32(truncatingIfNeeded: bits)
            guard code != 0 else { return .nothing }
            // Whom the method asked in its turn may have said why.
            if let provider = wiredProviders.first(where: { !$0.failure.isEmpty }) {
                throw MethodError("\(id).\(method.name): \(provider.id): \(provider.failure)")
            }
            throw MethodError("\(id).\(method.name): \(statusText(code))")
        case .bool: return .bool(UInt8(truncatingIfNeeded: bits) != 0)
        case .u8: return .unsigned(bits & 0xff)
        case .u16: return .unsigned(bits & 0xffff)
        case .u32: return .unsigned(bits & 0xffff_ffff)
        case .u64: return .unsigned(bits)
        case .i64: return .signed(Int64(bitPattern: bits))
        case .f64: return .float(Double(bitPattern: bits))
        case .text: return .text(String(decoding: reply, as: UTF8.self))
        default: return .nothing
        }
    }

    private var wiredProviders: [PluginInstance] {
        description.wires.compactMap { machine.instance(named: $0.target.instance) }
    }

    private func callThroughFFI(
        _ function: @convention(c) () -> Void, _ method: MethodDescription, _ arguments: [MethodArgument]
    ) -> UInt64? {
        let count = arguments.count + 1
        return withUnsafeTemporaryAllocation(of: UnsafeMutablePointer<ffi_type>?.self, capacity: count) { types in
            types[0] = cffi_pointer()
            for (index, parameter) in method.parameters.enumerated() {
                types[index + 1] = PluginInstance.type(of: parameter.type)
            }
            var interface = ffi_cif()
            // A text result goes by `reply`: the function itself returns nothing.
            let resultType = PluginInstance.type(of: method.result == .text ? .void : method.result)
            guard ffi_prep_cif(&interface, FFI_DEFAULT_ABI, UInt32(count), resultType, types.baseAddress) == FFI_OK
            else { return nil }
            return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: count) { storage in
                withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: count) { pointers in
                    storage[0] = UInt64(UInt(bitPattern: raw))
                    var texts: [UnsafeMutablePointer<CChar>] = []
                    for (index, argument) in arguments.enumerated() {
                        storage[index + 1] = argument.bits
                        guard let text = argument.text else { continue }
                        let copy = UnsafeMutablePointer<CChar>.allocate(capacity: text.count)
                        copy.initialize(from: text, count: text.count)
                        texts.append(copy)
                        storage[index + 1] = UInt64(UInt(bitPattern: copy))
                    }
                    for index in 0..<count { pointers[index] = UnsafeMutableRawPointer(storage.baseAddress! + index) }
                    // libffi widens small results to a whole word.
                    var result: UInt64 = 0
                    ffi_call(&interface, function, &result, pointers.baseAddress)
                    texts.forEach { $0.deallocate() }
                    return result
                }
            }
        }
    }

    private static func type(of type: WireType) -> UnsafeMutablePointer<ffi_type> {
        switch type {
        case .void: cffi_void()
        case .bool, .u8: cffi_uint8()
        case .u16: cffi_uint16()
        case .u32: cffi_uint32()
        case .u64: cffi_uint64()
        case .i64: cffi_sint64()
        case .f64: cffi_double()
        case .status: cffi_sint32()
        default: cffi_pointer()
        }
    }
}
