import FWCfg
import Testing

/// RAM of a machine, and files that count how often they were made.
final class Machine: FWCfgMemory, FWCfgContents {
    var ram: [UInt8]
    var makes = 0
    var made: [UInt8] = []

    init(size: Int = 1 << 16) { ram = [UInt8](repeating: 0xEE, count: size) }

    func read(_ address: UInt64, count: Int) -> [UInt8]? {
        precondition(count <= 4096)
        guard let range = range(address, count) else { return nil }
        return Array(ram[range])
    }

    func write(_ address: UInt64, _ bytes: ArraySlice<UInt8>) -> Bool {
        precondition(bytes.count <= 4096)
        guard let range = range(address, bytes.count) else { return false }
        ram.replaceSubrange(range, with: bytes)
        return true
    }

    private func range(_ address: UInt64, _ count: Int) -> Range<Int>? {
        guard address <= UInt64(ram.count), count <= ram.count - Int(address) else { return nil }
        return Int(address)..<Int(address) + count
    }

    func contents(ofKey key: UInt16) -> [UInt8] {
        makes += 1
        return made
    }

    /// Writes an access to RAM at `place`, starts it and gives its control afterwards.
    func access(
        _ chip: inout FWCfg, control: UInt32, length: UInt32, address: UInt64, place: UInt64 = 0x100
    ) -> [UInt8] {
        let bytes = big(UInt64(control), 4) + big(UInt64(length), 4) + big(address, 8)
        _ = write(place, bytes[...])
        chip.writeAddress(0, width: 4, UInt64(UInt32(truncatingIfNeeded: place >> 32).byteSwapped), self)
        chip.writeAddress(4, width: 4, UInt64(UInt32(truncatingIfNeeded: place).byteSwapped), self)
        return read(place, count: 4) ?? []
    }
}

func big(_ value: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - $0))) }
}

extension FWCfg {
    mutating func item(_ key: UInt16, _ count: Int, _ machine: Machine = Machine()) -> [UInt8] {
        select(key, machine)
        return (0..<count).map { _ in readData() }
    }
}
