/// The instance's own context: its id in the machine file, and the host's services.
public struct Host: @unchecked Sendable {
    // SAFETY: the host keeps it from create to the end of destroy; service tables live as long.
    let raw: UnsafePointer<bp_host>

    init(_ raw: UnsafePointer<bp_host>) { self.raw = raw }

    /// The instance's id in the machine file.
    public var id: String { String(cString: raw.pointee.id) }

    func table<T>(_ name: StaticString, as type: T.Type) -> UnsafePointer<T>? {
        name.utf8Start.withMemoryRebound(to: CChar.self, capacity: name.utf8CodeUnitCount + 1) { cName in
            raw.pointee.service?(raw, cName)?.assumingMemoryBound(to: T.self)
        }
    }

    /// The sentence that explains the status returned next.
    public func fail(_ text: String) {
        var copy = text
        copy.withUTF8 { utf8 in
            utf8.withMemoryRebound(to: CChar.self) { raw.pointee.fail?(raw, $0.baseAddress, UInt64($0.count)) }
        }
    }

    /// In a method: its text result.
    public func reply(_ text: String) {
        var copy = text
        copy.withUTF8 { raw.pointee.reply?(raw, $0.baseAddress, UInt64($0.count)) }
    }

    func required<T>(_ name: StaticString, as type: T.Type) throws(PluginError) -> UnsafePointer<T> {
        guard let table = table(name, as: type) else {
            throw PluginError("this host does not offer the service " + name.description, status: .unsupported)
        }
        return table
    }
}

extension UnsafePointer {
    /// Whether the host's table of services is long enough to have `field`, a function that a later minor has appended.
    @inline(__always)
    func has<Field>(_ field: KeyPath<Pointee, Field>) -> Bool {
        guard let offset = MemoryLayout<Pointee>.offset(of: field) else { return false }
        // SAFETY: every table of the ABI starts with its size.
        return Int(UnsafeRawPointer(self).load(as: UInt32.self)) >= offset + MemoryLayout<Field>.size
    }
}
