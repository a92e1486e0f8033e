// Copies a library's C descriptor into plain Swift values and checks it. A descriptor is declared data of a stranger: every
// size, count, pointer and text is checked before it is used (design, "Trust").

import CBackplane

/// Why a library cannot be used, as a sentence that goes after its path.
public struct LibraryError: Error, Sendable, CustomStringConvertible {
    public var description: String
    init(_ description: String) { self.description = description }
}

struct DescriptorReader {
    /// SAFETY: the library stays loaded for as long as its descriptor is used; texts and arrays are its constants.
    let plugin: UnsafePointer<bp_plugin>

    private static let limit: UInt32 = 1024

    /// Sizes in ABI 1.0, the least that a struct of major 1 can have. A field that a later minor appends is read only where the
    /// struct's own size says that it is there.
    enum LeastSize {
        static let plugin: UInt32 = 56
        static let type: UInt32 = 184
        static let property: UInt32 = 64
        static let slot: UInt32 = 40
        static let provided: UInt32 = 40
        static let method: UInt32 = 48
        static let parameter: UInt32 = 16
        static let interface: UInt32 = 40
        static let function: UInt32 = 32
    }

    func read() throws(LibraryError) -> PluginDescription {
        let raw = plugin.pointee
        guard raw.size >= LeastSize.plugin else {
            throw LibraryError("its descriptor is smaller than that of ABI 1.0")
        }
        try DescriptorReader.checkVersion(major: raw.abi_major, minor: raw.abi_minor)
        guard raw.class_count > 0, raw.class_count <= DescriptorReader.limit, let list = raw.classes else {
            throw LibraryError("its descriptor has no classes")
        }
        var classes: [ClassDescription] = []
        for index in 0..<Int(raw.class_count) {
            guard let type = list[index] else { throw LibraryError("class \(index) is NULL") }
            // Of an older minor it is shorter than ours.
            guard let raw = PassedStruct.read(type, least: LeastSize.type, empty: bp_class()) else {
                throw LibraryError("class \(index) is smaller than that of ABI 1.0")
            }
            let description = try readClass(raw)
            guard !classes.contains(where: { $0.name == description.name }) else {
                throw LibraryError("two of its classes are called '\(description.name)'")
            }
            classes.append(description)
        }
        return PluginDescription(
            name: try name(raw.name, "library name"), version: text(raw.version), summary: text(raw.summary),
            licence: text(raw.licence), abiMajor: raw.abi_major, abiMinor: raw.abi_minor,
            unloadable: raw.flags & UInt32(BP_PLUGIN_UNLOADABLE) != 0, classes: classes)
    }

    static func checkVersion(major: UInt16, minor: UInt16) throws(LibraryError) {
        let (hostMajor, hostMinor) = (UInt16(BP_ABI_MAJOR), UInt16(BP_ABI_MINOR))
        guard major == hostMajor, minor <= hostMinor else {
            throw LibraryError(
                "it needs plugin ABI \(major).\(minor), and this Backplane has \(hostMajor).\(hostMinor)")
        }
    }

    private func readClass(_ raw: bp_class) throws(LibraryError) -> ClassDescription {
        let name = try className(raw.name)
        guard let kind = ClassKind(rawValue: raw.kind) else {
            throw LibraryError("class '\(name)' is of the unknown kind \(raw.kind)")
        }
        guard raw.create != nil, raw.destroy != nil else {
            throw LibraryError("class '\(name)' has no create or no destroy")
        }
        guard kind != .policy || raw.policy != nil else { throw LibraryError("policy '\(name)' has no policy table") }
        var type = ClassDescription(name: name, kind: kind, summary: text(raw.summary))
        type.savable = raw.flags & UInt16(BP_CLASS_NOT_SAVABLE) == 0
        type.stateVersion = raw.state_version
        type.properties = try each(
            raw.properties, raw.property_count, "\(name): property", leastSize: LeastSize.property, readProperty)
        type.slots = try each(raw.slots, raw.slot_count, "\(name): slot", leastSize: LeastSize.slot, readSlot)
        type.provided = try each(
            raw.provided, raw.provided_count, "\(name): interface", leastSize: LeastSize.provided, readProvided)
        type.methods = try each(
            raw.methods, raw.method_count, "\(name): method", leastSize: LeastSize.method, readMethod)
        try checkNames(type.properties.map(\.name) + type.slots.map(\.name), in: name)
        try checkNames(type.methods.map(\.name), in: name)
        type.firmware = try readNodes(raw, of: type)
        return type
    }

    func each<T, R>(
        _ list: UnsafePointer<UnsafePointer<T>?>?, _ count: UInt32, _ what: String, leastSize: UInt32,
        since: String = "1.0", _ convert: (T) throws(LibraryError) -> R
    ) throws(LibraryError) -> [R] {
        guard count > 0 else { return [] }
        guard count <= DescriptorReader.limit, let list else { throw LibraryError("\(what) list is broken") }
        var results: [R] = []
        for index in 0..<Int(count) {
            guard let item = list[index] else { throw LibraryError("\(what) \(index) is NULL") }
            // Every struct of the ABI starts with its size.
            let size = UnsafeRawPointer(item).load(as: UInt32.self)
            guard size >= leastSize else {
                throw LibraryError("\(what) \(index) is smaller than that of ABI \(since)")
            }
            results.append(try convert(item.pointee))
        }
        return results
    }

    private func readProperty(_ raw: bp_property) throws(LibraryError) -> PropertyDescription {
        let name = try word(raw.name, "property name")
        guard let type = ValueType(rawValue: raw.type) else {
            throw LibraryError("property '\(name)' is of the unknown type \(raw.type)")
        }
        let flags = Int(raw.flags)
        var bounds: ClosedRange<Int64>?
        if flags & BP_PROPERTY_BOUNDED != 0 {
            guard raw.minimum <= raw.maximum else { throw LibraryError("property '\(name)' has an empty range") }
            bounds = raw.minimum...raw.maximum
        }
        let choices = texts(raw.choices)
        guard (type == .choice) != choices.isEmpty else {
            throw LibraryError("property '\(name)': a choice, and only a choice, has choices")
        }
        guard Set(choices).count == choices.count else {
            throw LibraryError("property '\(name)' has one choice twice")
        }
        return PropertyDescription(
            name: name, type: type, isList: flags & BP_PROPERTY_LIST != 0,
            isRequired: flags & BP_PROPERTY_REQUIRED != 0, isLive: flags & BP_PROPERTY_LIVE != 0,
            defaultText: raw.default_value.map { text($0) }, doc: text(raw.doc), unit: raw.unit.map { text($0) },
            choices: choices, bounds: bounds)
    }

    private func readSlot(_ raw: bp_slot) throws(LibraryError) -> SlotDescription {
        SlotDescription(
            name: try word(raw.name, "slot name"), interface: try name(raw.interface, "slot interface"),
            isOptional: raw.flags & UInt32(BP_SLOT_OPTIONAL) != 0, isMany: raw.flags & UInt32(BP_SLOT_MANY) != 0,
            doc: text(raw.doc))
    }

    private func readProvided(_ raw: bp_provided) throws(LibraryError) -> ProvidedDescription {
        let interface = try name(raw.name, "interface name")
        guard raw.count > 0 else { throw LibraryError("interface '\(interface)' is provided zero times") }
        if InterfaceDescriptor.standard[interface] == nil {
            guard let descriptor = raw.descriptor else {
                throw LibraryError("interface '\(interface)' is not of plugin.h and has no descriptor")
            }
            _ = try InterfaceDescriptor(descriptor)
        }
        return ProvidedDescription(
            interface: interface, count: raw.count, isShared: raw.flags & UInt32(BP_PROVIDED_SHARED) != 0,
            mayCycle: raw.flags & UInt32(BP_PROVIDED_MAY_CYCLE) != 0, doc: text(raw.doc))
    }

    private func readMethod(_ raw: bp_method) throws(LibraryError) -> MethodDescription {
        let name = try identifier(raw.name, "method name")
        guard raw.function != nil else { throw LibraryError("method '\(name)' has no function") }
        guard raw.parameter_count <= 8 else { throw LibraryError("method '\(name)' has more than 8 parameters") }
        let parameters = try each(
            raw.parameters, raw.parameter_count, "\(name): parameter", leastSize: LeastSize.parameter
        ) {
            (raw: bp_parameter) throws(LibraryError) in
            MethodDescription.Parameter(
                name: try identifier(raw.name, "parameter name"), type: try methodType(raw.type, of: name))
        }
        guard Set(parameters.map(\.name)).count == parameters.count else {
            throw LibraryError("method '\(name)' has two parameters of one name")
        }
        return MethodDescription(
            name: name, doc: text(raw.doc), parameters: parameters, result: try methodType(raw.result, of: name))
    }

    private func methodType(_ raw: UInt32, of method: String) throws(LibraryError) -> WireType {
        guard let type = UInt16(exactly: raw).flatMap(WireType.init(rawValue:)), type.isMethodType else {
            throw LibraryError("method '\(method)' uses the unknown type \(raw)")
        }
        return type
    }

    private func checkNames(_ names: [String], in type: String) throws(LibraryError) {
        for name in ["id", "plugin", "on-start", "on-fault", "remove"] where names.contains(name) {
            throw LibraryError("class '\(type)' uses the reserved name '\(name)'")
        }
        if Set(names).count != names.count { throw LibraryError("class '\(type)' uses one name twice") }
    }

    private func name(_ pointer: UnsafePointer<CChar>?, _ what: String) throws(LibraryError) -> String {
        let result = text(pointer)
        guard !result.isEmpty, result.utf8.count <= 64 else { throw LibraryError("a \(what) is missing or too long") }
        return result
    }

    /// A key of the machine file: lower-case words with hyphens.
    private func word(_ pointer: UnsafePointer<CChar>?, _ what: String) throws(LibraryError) -> String {
        let result = try name(pointer, what)
        let words = result.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        let isValid = words.allSatisfy { word in
            !word.isEmpty && word.allSatisfy { DescriptorReader.isLower($0) || DescriptorReader.isDigit($0) }
        }
        guard isValid, result.utf8.first.map(DescriptorReader.isLower) == true else {
            throw LibraryError("the \(what) \(result.debugDescription) is not made of lower-case words with hyphens")
        }
        return result
    }

    /// As in C, and hyphens.
    private func identifier(_ pointer: UnsafePointer<CChar>?, _ what: String) throws(LibraryError) -> String {
        let result = try name(pointer, what)
        guard DescriptorReader.isMade(result, of: "_-"), result.utf8.first.map(DescriptorReader.isDigit) == false else {
            throw LibraryError("the \(what) \(result.debugDescription) is not made of letters, digits, _ and -")
        }
        return result
    }

    /// What `plugin:` and `--policy` can name.
    private func className(_ pointer: UnsafePointer<CChar>?) throws(LibraryError) -> String {
        let result = try name(pointer, "class name")
        guard DescriptorReader.isMade(result, of: "_-.+") else {
            throw LibraryError(
                "the class name \(result.debugDescription) is not made of letters, digits, _, -, . and +")
        }
        return result
    }

    /// Of letters, digits and `others`, and it begins with no hyphen or dot.
    private static func isMade(_ text: String, of others: StaticString) -> Bool {
        let others = others.withUTF8Buffer { Array($0) }
        return !text.hasPrefix("-") && !text.hasPrefix(".")
            && text.utf8.allSatisfy { isLower($0 | 0x20) || isDigit($0) || others.contains($0) }
    }

    private static func isLower(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) }
    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    /// A text that is longer than `limit` bytes is cut.
    func text(_ pointer: UnsafePointer<CChar>?, limit: Int = 4096) -> String {
        guard let pointer else { return "" }
        var length = 0
        while length < limit, pointer[length] != 0 { length += 1 }
        return String(decoding: UnsafeRawBufferPointer(start: pointer, count: length), as: UTF8.self)
    }

    private func texts(_ list: UnsafePointer<UnsafePointer<CChar>?>?) -> [String] {
        var results: [String] = []
        while let list, results.count < 256, let item = list[results.count] { results.append(text(item)) }
        return results
    }
}
