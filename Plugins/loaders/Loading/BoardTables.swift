public import Images
public import PluginKit

/// What is wired to a loader's slot `tables`: makers of the tables that tell a kernel what the machine is.
public struct BoardTables {
    public static var slot: Slot {
        Slot(
            "tables", "tables/1", optional: true, many: true,
            doc: "tables that tell the kernel what the machine is: acpi, smbios, mptable")
    }

    private let peers: [TablesPeer]

    /// In connect.
    public init(_ host: Host) throws(PluginError) {
        var peers: [TablesPeer] = []
        while let peer = try host.tables("tables", position: UInt32(peers.count)) { peers.append(peer) }
        self.peers = peers
    }

    /// Pages at the end of RAM below 4 GiB that are kept for them where it is checked, before there are any, whether a kernel fits.
    private static let room: UInt64 = 256 << 10

    /// In connect: `ram` without what the tables may take. Throws where that is not there.
    public func keepRoom(in ram: inout RAMMap) throws(PluginError) {
        guard !peers.isEmpty else { return }
        var free = Placement(ram, taken: [])
        guard let high = free.takeHighest(Self.room, alignment: 4096, in: 0x100000..<1 << 32) else {
            throw PluginError("tables: there is no room for them below 4 GiB", status: .outOfRange)
        }
        ram.remove(high..<high + Self.room)
    }

    /// In reset: the tables as they are now, linked, with RAM of their own taken out of `ram`.
    public func link(_ ram: inout RAMMap) throws(PluginError) -> TableLinker? {
        guard !peers.isEmpty else { return nil }
        var files: [String: [UInt8]] = [:]
        for peer in peers {
            for file in peer.files {
                guard files[file.name] == nil else { throw PluginError("tables: there are two of '\(file.name)'") }
                guard let bytes = peer.contents(file.number, length: file.length) else {
                    throw PluginError("tables: '\(file.name)' cannot be had, or is longer than 16 MiB")
                }
                files[file.name] = bytes
            }
        }
        do throws(TableLinker.Failure) {
            let linker = try TableLinker(files, ram: ram)
            // The low ones too: a kernel that wants to be there is refused.
            for piece in linker.pieces { ram.remove(piece.range) }
            for range in linker.taken { ram.giveToTables(range) }
            return linker
        } catch {
            throw PluginError("tables: " + error.text)
        }
    }
}
