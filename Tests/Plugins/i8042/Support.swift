import Testing
@testable import I8042

/// A controller with a clock, used as software does.
struct Bench {
    var chip = I8042()
    var now: UInt64 = 0
    var resets = 0

    mutating func data(_ value: UInt8) { if chip.write(.data, value, at: now) { resets += 1 } }
    mutating func command(_ value: UInt8) { if chip.write(.statusOrCommand, value, at: now) { resets += 1 } }
    var status: UInt8 { mutating get { chip.read(.statusOrCommand, at: now) } }

    /// The next byte and whether it is the mouse's; nil: none within 20 ms.
    mutating func next() -> (byte: UInt8, isAuxiliary: Bool)? {
        for _ in 0..<200 {
            let status = self.status
            if status & 0x01 != 0 { return (chip.read(.data, at: now), status & 0x20 != 0) }
            now += 100_000
        }
        return nil
    }

    /// All that comes without a pause of 20 ms, of one of the two devices.
    mutating func take(auxiliary: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < 2000, let (byte, isAuxiliary) = next() {
            if isAuxiliary == auxiliary { bytes.append(byte) } else { return bytes + [0xEE, 0xEE, 0xEE] }
        }
        return bytes
    }

    /// A controller command's answer.
    mutating func ask(_ value: UInt8) -> UInt8? {
        command(value)
        return status & 0x01 != 0 ? chip.read(.data, at: now) : nil
    }

    mutating func keyboard(_ bytes: UInt8...) -> [UInt8] {
        var answers: [UInt8] = []
        for byte in bytes {
            data(byte)
            answers += take()
        }
        return answers
    }

    mutating func mouse(_ bytes: UInt8...) -> [UInt8] {
        var answers: [UInt8] = []
        for byte in bytes {
            command(0xD4)
            data(byte)
            answers += take(auxiliary: true)
        }
        return answers
    }

    mutating func press(_ key: UInt16) { chip.key(key, pressed: true, at: now) }
    mutating func release(_ key: UInt16) { chip.key(key, pressed: false, at: now) }

    mutating func tap(_ key: UInt16) -> (make: [UInt8], break: [UInt8]) {
        press(key)
        let make = take()
        release(key)
        return (make, take())
    }

    /// Translation off, as an operating system that wants set 2 or 3 does it.
    static func plain(set: UInt8 = 2) -> Bench {
        var bench = Bench()
        bench.command(0x60)
        bench.data(0x27)
        if set != 2 { _ = bench.keyboard(0xF0, set) }
        return bench
    }

    static func withMouse() -> Bench {
        var bench = Bench()
        bench.command(0x60)
        bench.data(0x47)
        return bench
    }
}
