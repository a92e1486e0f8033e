public import Images
public import LinuxBoot
public import PluginKit

extension Memory {
    /// Writes all pieces, or says which is not RAM. `name` is the image's.
    public func load(_ pieces: [LoadPiece], _ name: String) throws(PluginError) {
        for piece in pieces where !load(piece.bytes, at: piece.address, memorySize: piece.memorySize) {
            throw PluginError("\(name): \(piece.memorySize) bytes at \(hex(piece.address)) could not be written")
        }
    }
}

extension Host {
    /// In reset: says why nothing was loaded, and stops the machine: its CPU would run whatever lies at the reset vector.
    public func cannotLoad(_ reason: String) {
        log(.error, reason)
        (try? machine)?.stop(status: 2)
    }
}

extension LinuxPlan {
    /// In reset: writes it to memory and puts the CPU at its entry.
    public func enter(_ host: Host, _ name: String) throws(PluginError) {
        try host.memory.load(pieces, name)
        switch mode {
        case .long64:
            try host.cpu.setRegisters(
                .linux64(entry: entry, zeroPage: zeroPage, descriptors: descriptors, pageTables: pageTables))
        case .protected32:
            try host.cpu.setRegisters(
                .linux32(
                    entry: UInt32(truncatingIfNeeded: entry), zeroPage: UInt32(truncatingIfNeeded: zeroPage),
                    descriptors: descriptors))
        }
    }
}
