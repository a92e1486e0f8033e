public import Images
public import PluginKit

/// What is wired to a loader's slot `tables`: makers of the tables that tell a kernel what the machine is.
public struct BoardTables {
    public static var slot: Slot {
        Slot(
            "tables", "tables/1", optional: true, many: true,
            doc: "tables that tell the kernel what the machine is: acpi, smbios")
    }

    private let peers: [TablesPeer]

    /// In connect.
    public init(_ host: Host) throws(PluginError) {
        var peers: [TablesPeer] = []
        while let peer = try host.tables("tables", position: UInt32(peers.count)) { peers.append(peer) }
        self.peers = peers
    }

    /// In reset: the tables as they are now, linked, with RAM of their own taken out of `ram`.
    public func link(_ ram: inout RAMMap) throws(PluginError) -> TableLinker? {
        guard !peers.isEmpty else { return nil }
        var files: [String: [UInt8]] = [:]
        for peer in peers {
            for (number, file) in peer.files.enumerated() {
                guard files[file.name] == nil else { throw PluginError("tables: there are two of '\(file.name)'") }
                files[file.name] = peer.contents(number, length: file.length)
            }
        }
        do throws(TableLinker.Failure) {
            let linker = try TableLinker(files, ram: ram)
            for range in linker.taken { ram.giveToTables(range) }
            return linker
        } catch {
            throw PluginError("tables: " + error.text)
        }
    }
}
