// AML of a firmware node, as far as it can be read without running it: tables are made with it as it is, and an operating system that meets a wrong byte in a
// table takes nothing of all that follows. Source: ACPI 6.5, 20.2.

/// What terms in AML declare. They are declarations alone - names, methods, regions and their fields, devices and what these hold - as an operating system
/// reads them when it loads the table. What methods do is known when they run, and only their frames are read.
///
/// All that is declared has a name of the device's own (no `\`, no `^`, no dots): instances of the class stand in one table, each with a device.
struct DeclaredAML {
    /// The names of the terms, and of them devices with the names that they hold.
    var names: Set<String> { scopes[0] }
    private(set) var devices: [String: Set<String>] = [:]

    private var bytes: ArraySlice<UInt8>
    /// Names of the terms that are read; the last are those of the innermost device, the first the whole's.
    private var scopes: [Set<String>] = [[]]

    private static let mostNested = 16

    /// Throws what is wrong, as a sentence that goes on after "its aml".
    init(_ bytes: UnsafeBufferPointer<UInt8>) throws(LibraryError) {
        self.bytes = Array(bytes)[...]
        try readTerms(to: self.bytes.endIndex)
    }

    private func wrong(_ what: String, at place: Int? = nil) -> LibraryError {
        LibraryError("its aml has at byte \(place ?? bytes.startIndex) \(what)")
    }

    // MARK: Bytes

    private mutating func byte(_ what: String) throws(LibraryError) -> UInt8 {
        guard let byte = bytes.popFirst() else { throw LibraryError("its aml ends where \(what) should be") }
        return byte
    }

    private mutating func skip(_ count: Int, _ what: String) throws(LibraryError) {
        guard count <= bytes.count else { throw LibraryError("its aml ends in \(what)") }
        bytes = bytes.dropFirst(count)
    }

    /// PkgLength's number (20.2.4).
    private mutating func length() throws(LibraryError) -> Int {
        let lead = try byte("a length")
        let following = Int(lead >> 6)
        guard following > 0 else { return Int(lead & 0x3F) }
        guard lead & 0x30 == 0 else { throw wrong("a length with bits that it cannot have", at: bytes.startIndex - 1) }
        var length = Int(lead & 15)
        for place in 0..<following { length |= Int(try byte("a length")) << (4 + 8 * place) }
        return length
    }

    /// Reads what a PkgLength frames, to its last byte.
    private mutating func framed(
        _ read: (inout DeclaredAML, _ end: Int) throws(LibraryError) -> Void
    ) throws(LibraryError) {
        let start = bytes.startIndex
        let end = start + (try length())
        guard end >= bytes.startIndex, end <= bytes.endIndex else {
            throw wrong("a length that leads out of what it is in", at: start)
        }
        let rest = bytes[end...]
        bytes = bytes[..<end]
        try read(&self, end)
        guard bytes.isEmpty else { throw wrong("more than its object has") }
        bytes = rest
    }

    private mutating func skipFrame() throws(LibraryError) {
        try framed { (aml, _) in aml.bytes = aml.bytes[aml.bytes.endIndex...] }
    }

    // MARK: Names

    private static func isLead(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) || byte == UInt8(ascii: "_")
    }

    private static func beginsName(_ byte: UInt8) -> Bool { isLead(byte) || [0x5C, 0x5E, 0x2E, 0x2F].contains(byte) }

    private mutating func segment() throws(LibraryError) -> String {
        let place = bytes.startIndex
        let name = bytes.prefix(4)
        guard name.count == 4, Self.isLead(name[place]),
            name.allSatisfy({ Self.isLead($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
        else { throw wrong("no name where one should be", at: place) }
        bytes = bytes.dropFirst(4)
        return String(decoding: name, as: UTF8.self)
    }

    /// NameString. nil: more than a name alone.
    private mutating func path() throws(LibraryError) -> String? {
        var isAlone = true
        while let first = bytes.first, first == UInt8(ascii: "\\") || first == UInt8(ascii: "^") {
            isAlone = false
            bytes = bytes.dropFirst()
        }
        var count = 1
        switch bytes.first {
        case 0x00: count = 0
        case 0x2E: count = 2
        case 0x2F:
            bytes = bytes.dropFirst()
            count = Int(bytes.first ?? 0)
        default:
            let name = try segment()
            return isAlone ? name : nil
        }
        bytes = bytes.dropFirst()
        for _ in 0..<count { _ = try segment() }
        return nil
    }

    /// A name that comes into the device's scope.
    @discardableResult
    private mutating func declared() throws(LibraryError) -> String {
        let place = bytes.startIndex
        guard let name = try path() else {
            throw wrong("the declaration of something outside of its device", at: place)
        }
        try declare(name, at: place)
        return name
    }

    private mutating func declare(_ name: String, at place: Int) throws(LibraryError) {
        guard !Self.made.contains(name) || scopes.count > 1 else {
            throw wrong("the name \(name), which is for whoever makes the tables", at: place)
        }
        guard scopes[scopes.count - 1].insert(name).inserted else { throw wrong("the name \(name) again", at: place) }
    }

    private static let made: Set<String> = ["_HID", "_CID", "_UID", "_STA", "_CRS", "_ADR", "_PRT"]

    /// A name that must be there.
    private mutating func known() throws(LibraryError) {
        let place = bytes.startIndex
        guard let name = try path() else { return }
        guard scopes.contains(where: { $0.contains(name) }) else {
            throw wrong("the name \(name), which it has not declared", at: place)
        }
    }

    // MARK: Terms

    private mutating func readTerms(to end: Int) throws(LibraryError) {
        while bytes.startIndex < end { try readTerm() }
    }

    /// A device or what is like one, with `skipping` bytes behind its name.
    private mutating func readDevice(skipping count: Int) throws(LibraryError) {
        try framed { (aml, end) throws(LibraryError) in
            let name = try aml.declared()
            try aml.skip(count, "a device")
            guard aml.scopes.count < Self.mostNested else {
                throw aml.wrong("more devices within each other than 15")
            }
            aml.scopes.append([])
            try aml.readTerms(to: end)
            let names = aml.scopes.removeLast()
            if aml.scopes.count == 1 { aml.devices[name] = names }
        }
    }

    private mutating func readTerm() throws(LibraryError) {
        let place = bytes.startIndex
        switch try byte("a term") {
        case 0x06:  // Alias
            try known()
            try declared()
        case 0x08:  // Name
            try declared()
            try readData(depth: 0)
        case 0x14:  // Method: its name, its flags and what it does
            try framed { (aml, end) throws(LibraryError) in
                try aml.declared()
                _ = try aml.byte("a method's flags")
                aml.bytes = aml.bytes[end...]
            }
        case 0x15:  // External: nothing comes of it
            _ = try path()
            try skip(2, "an external name")
        case 0x8A, 0x8B, 0x8C, 0x8D, 0x8F: try readBufferField(operands: 2)
        case 0x5B: try readExtended(place)
        default: throw wrong("what is no declaration", at: place)
        }
    }

    private mutating func readExtended(_ place: Int) throws(LibraryError) {
        switch try byte("a term") {
        case 0x01:  // Mutex
            try declared()
            try skip(1, "a mutex")
        case 0x02: try declared()  // Event
        case 0x13: try readBufferField(operands: 3)
        case 0x80:  // OperationRegion
            try declared()
            try skip(1, "a region")
            for _ in 0..<2 { try readOperand() }
        case 0x81:  // Field
            try framed { (aml, end) throws(LibraryError) in
                try aml.known()
                try aml.readFields(to: end)
            }
        case 0x82, 0x85: try readDevice(skipping: 0)  // and ThermalZone
        case 0x84: try readDevice(skipping: 3)  // PowerResource
        case 0x86:  // IndexField
            try framed { (aml, end) throws(LibraryError) in
                try aml.known()
                try aml.known()
                try aml.readFields(to: end)
            }
        case 0x87:  // BankField
            try framed { (aml, end) throws(LibraryError) in
                try aml.known()
                try aml.known()
                try aml.readOperand()
                try aml.readFields(to: end)
            }
        default: throw wrong("what is no declaration", at: place)
        }
    }

    private mutating func readBufferField(operands: Int) throws(LibraryError) {
        try known()
        for _ in 1..<operands { try readOperand() }
        try declared()
    }

    /// Behind the region: flags, then units with a name or without.
    private mutating func readFields(to end: Int) throws(LibraryError) {
        try skip(1, "a field")
        while bytes.startIndex < end {
            let place = bytes.startIndex
            switch bytes.first {
            case 0x00:
                bytes = bytes.dropFirst()
                _ = try length()
            case 0x01: try skip(3, "a field")
            case 0x02:
                bytes = bytes.dropFirst()
                if bytes.first == 0x11 { try skipBuffer() } else { _ = try path() }
            case 0x03: try skip(4, "a field")
            default:
                try declare(try segment(), at: place)
                _ = try length()
            }
        }
    }

    private mutating func skipBuffer() throws(LibraryError) {
        bytes = bytes.dropFirst()
        try skipFrame()
    }

    // MARK: Data

    /// An integer, or something of that name.
    private mutating func readOperand() throws(LibraryError) {
        let place = bytes.startIndex
        if try readInteger() { return }
        switch bytes.first {
        case .some(let first) where Self.beginsName(first): _ = try path()
        default: throw wrong("what is neither a number nor a name", at: place)
        }
    }

    private mutating func readInteger() throws(LibraryError) -> Bool {
        let size: Int
        switch bytes.first {
        case 0x00, 0x01, 0xFF: size = 1
        case 0x0A: size = 2
        case 0x0B: size = 3
        case 0x0C: size = 5
        case 0x0E: size = 9
        default: return false
        }
        try skip(size, "a number")
        return true
    }

    private mutating func readData(depth: Int) throws(LibraryError) {
        let place = bytes.startIndex
        if try readInteger() { return }
        switch bytes.first {
        case 0x0D:
            guard let end = bytes.firstIndex(of: 0) else { throw wrong("a text without an end", at: place) }
            bytes = bytes[(end + 1)...]
        case 0x11: try skipBuffer()
        case 0x12, 0x13: try readPackage(isComputed: bytes.first == 0x13, depth: depth)
        case 0x5B where bytes.dropFirst().first == 0x30: bytes = bytes.dropFirst(2)
        default: throw wrong("no data where some should be", at: place)
        }
    }

    private mutating func readPackage(isComputed: Bool, depth: Int) throws(LibraryError) {
        guard depth < Self.mostNested else { throw wrong("more packages within each other than 16") }
        bytes = bytes.dropFirst()
        try framed { (aml, end) throws(LibraryError) in
            if isComputed { try aml.readOperand() } else { try aml.skip(1, "a package") }
            while aml.bytes.startIndex < end {
                switch aml.bytes.first {
                case .some(let first) where Self.beginsName(first): _ = try aml.path()
                default: try aml.readData(depth: depth + 1)
                }
            }
        }
    }
}
