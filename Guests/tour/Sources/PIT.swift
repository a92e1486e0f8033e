import Machine

/// Channel 0 of the interval timer.
/// Source: 8254 data sheet, "Programming the 8254" and "Read-Back Command".
enum PIT {
    enum Model { case absent, i8253, i8254 }

    /// Clocks in a tick: 1 193 182 Hz / 11 932 is 100 Hz.
    static let clocksPerTick: UInt32 = 11_932
    static let clocksPerMillisecond: UInt32 = 1_193
    static let millisecondsPerTick: UInt32 = 10

    private static let counter = Port(0x40), control = Port(0x43)
    private static let oneShot: UInt8 = 0x30  // channel 0, low then high byte, mode 0
    private static let rateGenerator: UInt8 = 0x34  // the same, mode 2
    private static let latchCount: UInt8 = 0x00
    private static let readBackStatus: UInt8 = 0xE2  // channel 0, status only

    // MARK: Presence

    /// A count is 838 ns long, and a look takes three accesses: so many looks see it move on any machine. Each access is an exit of a virtual one, and they
    /// may be slow: where there is no PIT, all of them are made.
    private static let looks = 1000

    /// Leaves channel 0 in mode 2 with its longest period.
    static func probe() -> Model {
        start(oneShot, count: 0)
        let first = status
        start(rateGenerator, count: 0)
        if first & 0x3F == oneShot, status & 0x3F == rateGenerator { return .i8254 }
        let before = count
        for _ in 0..<looks where count != before { return .i8253 }
        return .absent
    }

    private static var status: UInt8 {
        control.write(readBackStatus)
        return counter.read()
    }

    // MARK: Counting

    /// The count as it is now.
    static var count: UInt32 {
        control.write(latchCount)
        let low = counter.read()
        return UInt32(low) | UInt32(counter.read()) << 8
    }

    /// One interrupt, a millisecond from now. Afterwards the count wraps from 0 to 65 535 and goes on, silently.
    static func fireOnce() { start(oneShot, count: UInt16(clocksPerMillisecond)) }

    /// An interrupt every 10 ms.
    static func startTicking() { start(rateGenerator, count: UInt16(clocksPerTick)) }

    /// A new count is taken over with the next clock: waits until it is, so that `count` never shows the old one.
    private static func start(_ mode: UInt8, count new: UInt16) {
        control.write(mode)
        counter.write(UInt8(truncatingIfNeeded: new))
        counter.write(UInt8(truncatingIfNeeded: new >> 8))
        guard new != 0 else { return }  // 0 stands for 65 536: no count is above it
        for _ in 0..<looks where count <= UInt32(new) { return }
    }
}
