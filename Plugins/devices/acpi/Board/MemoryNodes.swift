import ACPITables

/// What the classes of parts with registers in memory are to an operating system.
/// Source: for LNRO0005 Linux, drivers/virtio/virtio_mmio.c, and QEMU, which gave virtio by MMIO that ID.
extension Board {
    /// A class, two letters for the names of its devices, and their ID.
    static let memoryNodes: [(plugin: String, name: String, id: String)] = [("virtio-mmio", "VR", "LNRO0005")]

    public static func isMemoryPart(_ plugin: String) -> Bool { memoryNodes.contains { $0.plugin == plugin } }

    /// Two hex digits tell devices of one kind apart.
    private static let most = 256

    var memoryDevices: [AML] {
        Board.memoryNodes.flatMap { node in
            memoryParts.filter { $0.plugin == node.plugin }.prefix(Board.most).enumerated().map { number, part in
                let digits = String(number, radix: 16, uppercase: true)
                return AML.device(
                    node.name + (digits.count == 1 ? "0" : "") + digits,
                    [
                        .name("_HID", .hardwareID(node.id)), .name("_UID", .integer(UInt64(number))),
                        .name("_STA", .integer(0x0F)), .name("_CRS", .resources(part.resources)),
                    ])
            }
        }
    }
}

extension Board.MemoryPart {
    /// Lines are levels, active high, and others may be wired to them.
    fileprivate var resources: [Resource] {
        [.fixedMemory(address: address, length: length, isWritable: true)]
            + interrupts.map {
                .interrupts([UInt32($0)], .init(isEdge: false, isActiveLow: false, isShared: true))
            }
    }
}
