// What a class says of its instances for firmware's tables (`bp_firmware_node`). Its texts go into AML, where a wrong one would break the whole table: each
// is checked here, so that whoever makes tables can take it as it is.

import CBackplane

extension DescriptorReader {
    private static let mostNodes: UInt32 = 16
    private static let mostEntries = 64
    private static let longestName = 63
    private static let mostAML: UInt64 = 65536

    func readNodes(_ raw: bp_class, of type: ClassDescription) throws(LibraryError) -> [FirmwareNodeDescription] {
        guard raw.node_count <= Self.mostNodes else {
            throw LibraryError("class '\(type.name)' has \(raw.node_count) firmware nodes, and 16 are the most")
        }
        // A function of PCI has one device, for all of its class's nodes.
        let sharesDevice = isFunction(type)
        var declared: Set<String> = []
        return try each(
            raw.nodes, raw.node_count, "class '\(type.name)': firmware node", leastSize: LeastPassedSize.firmwareNode,
            since: "1.9"
        ) { (raw: bp_firmware_node) throws(LibraryError) in
            do throws(LibraryError) {
                let (node, names) = try readNode(raw, of: type)
                if sharesDevice, let name = names.intersection(declared).min() {
                    throw LibraryError("its aml declares \(name), as that of another node does")
                }
                declared.formUnion(names)
                return node
            } catch {
                throw LibraryError("class '\(type.name)', firmware node \(nodeName(raw)): \(error)")
            }
        }
    }

    private func isFunction(_ type: ClassDescription) -> Bool { type.slots.contains { $0.interface == "pci/1" } }

    private func nodeName(_ raw: bp_firmware_node) -> String {
        raw.hid == nil ? "without an ID" : text(raw.hid, limit: Self.longestName).debugDescription
    }

    /// - Returns: with the names that its AML declares.
    private func readNode(
        _ raw: bp_firmware_node, of type: ClassDescription
    ) throws(LibraryError) -> (FirmwareNodeDescription, Set<String>) {
        guard let role = FirmwareNodeDescription.Role(rawValue: raw.role) else {
            throw LibraryError("its role \(raw.role) is unknown")
        }
        let hid = try raw.hid.map { (hid) throws(LibraryError) in try hardwareID(hid) }
        guard hid != nil || isFunction(type) || !role.makesDevice else {
            throw LibraryError("it has no hid, which only functions of PCI can do without")
        }
        let slots = try list(raw.slots, "slots")
        for slot in slots ?? [] { try check(slot: slot, of: type) }
        guard raw.aml_length <= Self.mostAML, raw.aml_length == 0 || raw.aml != nil else {
            throw LibraryError("its aml is NULL or longer than 65536 bytes")
        }
        let aml = try DeclaredAML(
            UnsafeBufferPointer(start: raw.aml, count: raw.aml == nil ? 0 : Int(raw.aml_length)))
        let node = FirmwareNodeDescription(
            hid: hid, role: role, flags: raw.flags, cids: try identifiers(raw.cids),
            claims: try list(raw.claims, "claims"), slots: slots, links: try links(raw.links, of: aml),
            amlLength: Int(raw.aml_length))
        return (node, aml.names)
    }

    private func identifiers(
        _ raw: UnsafePointer<UnsafePointer<CChar>?>?
    ) throws(LibraryError) -> [String] {
        var results: [String] = []
        while let raw, let item = raw[results.count] {
            guard results.count < Self.mostEntries else { throw LibraryError("its cids have no end (NULL)") }
            results.append(try hardwareID(item))
        }
        return results
    }

    /// Of ACPI 6.5, 6.1.5: a PNP ID (three letters, four hex digits) or an ACPI ID (four letters or digits, four hex digits).
    private func hardwareID(_ pointer: UnsafePointer<CChar>) throws(LibraryError) -> String {
        let id = text(pointer, limit: Self.longestName + 1)
        let bytes = Array(id.utf8)
        let (vendor, product) = (bytes.dropLast(4), bytes.suffix(4))
        let isHex = product.allSatisfy { Self.isNumeral($0) || (UInt8(ascii: "A")...UInt8(ascii: "F")).contains($0) }
        let isPNP = bytes.count == 7 && vendor.allSatisfy(Self.isCapital)
        let isACPI = bytes.count == 8 && vendor.allSatisfy { Self.isCapital($0) || Self.isNumeral($0) }
        guard isHex, isPNP || isACPI else {
            throw LibraryError(
                "the ID \(id.debugDescription) is neither three capital letters nor four capital letters or digits, and four hex digits in capitals"
            )
        }
        return id
    }

    /// nil: all that there are.
    private func list(
        _ raw: UnsafePointer<UnsafePointer<CChar>?>?, _ what: String
    ) throws(LibraryError) -> [String]? {
        guard let raw else { return nil }
        var results: [String] = []
        while let item = raw[results.count] {
            guard results.count < Self.mostEntries else { throw LibraryError("its \(what) have no end (NULL)") }
            let name = text(item, limit: Self.longestName + 1)
            guard !name.isEmpty, name.utf8.count <= Self.longestName, name.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F })
            else {
                throw LibraryError("of its \(what) \(name.debugDescription) is not 1 to 63 characters of ASCII")
            }
            guard !results.contains(name) else { throw LibraryError("its \(what) have '\(name)' twice") }
            results.append(name)
        }
        return results
    }

    private func check(slot name: String, of type: ClassDescription) throws(LibraryError) {
        guard let slot = type.slots.first(where: { $0.name == name }) else {
            throw LibraryError("it names the slot '\(name)', which the class does not have")
        }
        guard ["irq-line/1", "dma-channel/1"].contains(slot.interface) else {
            throw LibraryError(
                "it names the slot '\(name)', which is for '\(slot.interface)' and no interrupt line or DMA channel")
        }
    }

    /// NameSegs: ACPI 6.5, 20.2.2.
    private func links(
        _ raw: UnsafePointer<UnsafePointer<CChar>?>?, of aml: DeclaredAML
    ) throws(LibraryError) -> [String] {
        let names = try list(raw, "links") ?? []
        for name in names {
            let bytes = Array(name.utf8)
            let isName = bytes.allSatisfy { Self.isCapital($0) || Self.isNumeral($0) || $0 == UInt8(ascii: "_") }
            guard bytes.count == 4, isName, !Self.isNumeral(bytes[0]) else {
                throw LibraryError(
                    "of its links '\(name)' is no name of four characters: A to Z, _, and digits but for the first")
            }
            guard let declared = aml.devices[name] else {
                throw LibraryError("of its links '\(name)' is no device that its aml declares")
            }
            guard !declared.contains("_PRS") else {
                throw LibraryError("its link '\(name)' has a _PRS, which is for whoever makes the tables")
            }
        }
        return names
    }

    private static func isCapital(_ byte: UInt8) -> Bool { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) }
    private static func isNumeral(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}
