import Machine

/// What the boot loader says of the machine.
/// Source: Multiboot Specification 0.6.96, section 3.3, "Boot information format".
struct BootInfo {
    static let loaderMagic: UInt32 = 0x2BAD_B002

    private struct Fields: Flags {
        let rawValue: UInt32
        static let memory = Self(rawValue: 1 << 0)
        static let commandLine = Self(rawValue: 1 << 2)
        static let memoryMap = Self(rawValue: 1 << 6)
    }

    private let address: UInt32
    private let fields: Fields

    /// Nil where EAX did not hold what a multiboot loader leaves there.
    init?(magic: UInt32, address: UInt32) {
        guard magic == Self.loaderMagic else { return nil }
        self.address = address
        fields = Fields(rawValue: Memory.read(address, .double))
    }

    private func field(_ offset: UInt32) -> UInt32 { Memory.read(address &+ offset, .double) }

    /// KiB from 1 MiB up to the first hole.
    var upperKiB: UInt32? { fields.contains(.memory) ? field(8) : nil }

    // MARK: Memory map

    struct Region {
        let baseHigh, base, lengthHigh, length: UInt32
        let kind: UInt32

        var kindName: StaticString {
            switch kind {
            case 1: "available"
            case 3: "ACPI tables"
            case 4: "ACPI NVS"
            case 5: "defective"
            default: "reserved"
            }
        }
    }

    private static let mostRegions: UInt32 = 128

    /// An entry's size field does not count itself. A size below 20 is no entry: the map ends there.
    func forEachRegion(_ body: (Region) -> Void) {
        guard fields.contains(.memoryMap) else { return }
        let length = field(44)
        var offset: UInt32 = 0
        for _ in 0..<Self.mostRegions where offset < length && length - offset >= 24 {
            let entry = field(48) &+ offset
            func word(_ index: UInt32) -> UInt32 { Memory.read(entry &+ index * 4, .double) }
            let size = word(0)
            guard size >= 20, size < length else { return }
            body(Region(baseHigh: word(2), base: word(1), lengthHigh: word(4), length: word(3), kind: word(5)))
            offset &+= size &+ 4
        }
    }

    var regionCount: UInt32? {
        guard fields.contains(.memoryMap) else { return nil }
        var count: UInt32 = 0
        forEachRegion { _ in count += 1 }
        return count
    }

    // MARK: Command line

    var hasCommandLine: Bool { fields.contains(.commandLine) }

    /// At most 256 bytes; what cannot be printed is shown as a question mark.
    func showCommandLine() {
        for index in 0..<UInt32(256) {
            let byte = UInt8(Memory.read(field(16) &+ index, .byte))
            guard byte != 0 else { return }
            Console.send((0x20...0x7E).contains(byte) ? byte : UInt8(ascii: "?"))
        }
    }
}
