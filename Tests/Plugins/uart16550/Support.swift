import Testing
@testable import UART16550

/// A chip with a clock, so that a test reads as the accesses of a driver. Numbers are the data sheet's.
struct Bench {
    var chip = UART16550()
    var now: UInt64 = 0

    mutating func read(_ offset: UInt8) -> UInt8 { chip.read(offset, at: now) }
    mutating func write(_ offset: UInt8, _ value: UInt8) { chip.write(offset, value, at: now) }
    mutating func receive(_ byte: UInt8, errors: UART16550.LineStatus = []) {
        chip.receive(byte, errors: errors, at: now)
    }
    mutating func receive(_ bytes: ClosedRange<UInt8>) { for byte in bytes { receive(byte) } }
    mutating func takeAll() -> [UInt8] {
        var bytes: [UInt8] = []
        while let byte = chip.popTransmit() { bytes.append(byte) }
        return bytes
    }
    mutating func wait(_ ns: UInt64) {
        now += ns
        chip.advance(to: now)
    }

    /// 8 data bits, no parity, 1 stop bit, divisor 1 (115200 baud): a character is 10 bits of 8680.55 ns.
    static func fast(fifo: UInt8? = nil) -> Bench {
        var bench = Bench()
        bench.write(3, 0x83)
        bench.write(0, 1)
        bench.write(1, 0)
        bench.write(3, 0x03)
        bench.write(4, 0x08)
        if let fifo { bench.write(2, fifo) }
        return bench
    }
}
