import E1000
import Testing

/// RAM and a cable that remembers.
final class Machine: E1000Memory, E1000Wire {
    var ram: [UInt8]
    private(set) var sent: [[UInt8]] = []
    private(set) var reads = 0

    init(size: Int = 1 << 18) { ram = [UInt8](repeating: 0, count: size) }

    func read(_ address: UInt64, count: Int) -> [UInt8]? {
        reads += 1
        guard let range = range(address, count), count <= 1 << 17 else { return nil }
        return Array(ram[range])
    }

    func write(_ address: UInt64, _ bytes: ArraySlice<UInt8>) -> Bool {
        guard let range = range(address, bytes.count), bytes.count <= 1 << 14 else { return false }
        ram.replaceSubrange(range, with: bytes)
        return true
    }

    func send(_ frame: [UInt8]) { sent.append(frame) }

    func takeSent() -> [[UInt8]] {
        defer { sent = [] }
        return sent
    }

    private func range(_ address: UInt64, _ count: Int) -> Range<Int>? {
        guard address <= UInt64(ram.count), count <= ram.count - Int(address) else { return nil }
        return Int(address)..<Int(address) + count
    }

    func put(_ bytes: [UInt8], at address: Int) { ram.replaceSubrange(address..<address + bytes.count, with: bytes) }
    func bytes(_ address: Int, _ count: Int) -> [UInt8] { Array(ram[address..<address + count]) }
}

func little(_ value: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
}
func word(_ bytes: [UInt8], _ offset: Int) -> UInt16 { UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1]) }

/// RFC 1071, another way than the chip's: carries are added at once.
func onesSum(_ bytes: some Sequence<UInt8>, _ start: UInt16 = 0) -> UInt16 {
    var sum = start
    var high: UInt8?
    func add(_ value: UInt16) {
        let (next, carry) = sum.addingReportingOverflow(value)
        sum = carry ? next + 1 : next
    }
    for byte in bytes {
        if let first = high {
            add(UInt16(first) << 8 | UInt16(byte))
            high = nil
        } else {
            high = byte
        }
    }
    if let first = high { add(UInt16(first) << 8) }
    return sum
}

let station: [UInt8] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56]
let peer: [UInt8] = [0x02, 0, 0, 0, 0, 9]
let broadcast = [UInt8](repeating: 0xFF, count: 6)

/// A chip with both rings of 8 descriptors: transmit at 0x1000, receive at 0x2000 with buffers from 0x1_0000 on, 0x1000 apart.
struct Bench {
    var chip = E1000(address: station)
    let machine = Machine()
    var now: UInt64 = 0
    private var tail = 0

    init(receive: UInt32 = 0x8002, tail: UInt32 = 7) {
        set(0x0000, 0x41)
        for (offset, value): (UInt32, UInt32) in [
            (0x3800, 0x1000), (0x3804, 0), (0x3808, 128), (0x3810, 0), (0x3818, 0), (0x0400, 0x2),
            (0x2800, 0x2000), (0x2804, 0), (0x2808, 128), (0x2810, 0), (0x2818, tail), (0x0100, receive),
        ] { set(offset, value) }
        for index in 0..<8 { machine.put(little(UInt64(0x1_0000 + index * 0x1000), 8), at: 0x2000 + index * 16) }
        _ = chip.read(0xC0, at: 0)
    }

    mutating func set(_ offset: UInt32, _ value: UInt32) { chip.write(offset, value, at: now) }
    mutating func get(_ offset: UInt32) -> UInt32 { chip.read(offset, at: now) }

    /// Puts a descriptor of two halves into the ring, and its number.
    mutating func post(_ low: UInt64, _ high: UInt64) -> Int {
        let index = tail
        machine.put(little(low, 8) + little(high, 8), at: 0x1000 + index * 16)
        tail = (tail + 1) % 8
        set(0x3818, UInt32(tail))
        return index
    }

    mutating func run() -> [[UInt8]] {
        chip.transmit(at: now, machine, machine)
        return machine.takeSent()
    }

    func status(_ index: Int) -> UInt8 { machine.ram[0x1000 + index * 16 + 12] }
    func received(_ index: Int) -> [UInt8] { machine.bytes(0x2000 + index * 16 + 8, 8) }
}

func frame(to destination: [UInt8] = station, length: Int = 60, type: UInt16 = 0x88B5) -> [UInt8] {
    let head = destination + peer + [UInt8(type >> 8), UInt8(truncatingIfNeeded: type)]
    return head + (0..<max(0, length - 14)).map { UInt8(truncatingIfNeeded: $0 &* 7) }
}

/// Ethernet, IPv4 of 20 bytes, then TCP of 20 or UDP of 8 bytes, and `payload`. Its checksums are right where `isSummed`.
func packet(tcp: Bool, payload: Int, isSummed: Bool = true) -> [UInt8] {
    let head = tcp ? 20 : 8
    let length = UInt16(20 + head + payload)
    var ip: [UInt8] = [0x45, 0] + [UInt8(length >> 8), UInt8(truncatingIfNeeded: length)] + [0x12, 0x34, 0, 0, 64]
    ip += [tcp ? 6 : 17, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2]
    var rest: [UInt8] = [0x04, 0xD2, 0, 80]
    rest +=
        tcp
        ? [0, 0, 0x10, 0, 0, 0, 0, 1, 0x50, 0x19, 1, 0, 0, 0, 0, 0]
        : [UInt8((8 + payload) >> 8), UInt8((8 + payload) & 255), 0, 0]
    rest += (0..<payload).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ 1) }
    if isSummed {
        let sum = ~onesSum(ip)
        (ip[10], ip[11]) = (UInt8(sum >> 8), UInt8(truncatingIfNeeded: sum))
        let place = tcp ? 16 : 6
        let check = ~onesSum(rest, pseudoSum(ip, length: UInt16(rest.count)))
        (rest[place], rest[place + 1]) = (UInt8(check >> 8), UInt8(truncatingIfNeeded: check))
    }
    return station + peer + [0x08, 0x00] + ip + rest
}

func pseudoSum(_ ip: [UInt8], length: UInt16) -> UInt16 {
    onesSum(ip[12..<20] + [0, ip[9]] + [UInt8(length >> 8), UInt8(truncatingIfNeeded: length)])
}
