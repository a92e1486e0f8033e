import Machine

/// What interrupt handlers and the rest of the kernel both touch, and nothing else: volatile words, all 0 at the start.
/// A handler runs to its end before the rest goes on, so a word that only one side writes needs no more care.
enum Shared {
    /// Interrupts taken on each IRQ line, 0 to 15.
    static func count(_ line: UInt8) -> Word { Word(index: UInt32(line & 15)) }
    /// What a handler has to serve on each IRQ line: `Service`.
    static func services(_ line: UInt8) -> Word { Word(index: 16 + UInt32(line & 15)) }

    static let masterSpurious = Word(index: 32)
    static let slaveSpurious = Word(index: 33)
    /// Interrupts of the PIT's channel 0 since it was started.
    static let ticks = Word(index: 34)
    /// Periodic interrupts of the real-time clock.
    static let periods = Word(index: 35)
    /// Interrupts that the drives of an ATA channel raised, 0 or 1.
    static func completions(_ channel: UInt8) -> Word { Word(index: 36 + UInt32(channel & 1)) }

    /// The console's UART: its base port, or 0 where there is none.
    static let consoleBase = Word(index: 38)
    /// 1 while an exception is being reported.
    static let reporting = Word(index: 39)

    /// A bit for each IRQ line that has fired since this was last cleared.
    static let firedLines = Word(index: 42)

    /// Received bytes are at [tail, head) modulo `inputSize`: the handler moves head, the reader moves tail.
    static let inputHead = Word(index: 40)
    static let inputTail = Word(index: 41)
    static let inputSize: UInt32 = 256
    static func input(_ position: UInt32) -> Word { Word(index: 64 + position % inputSize) }

    struct Word {
        fileprivate let index: UInt32

        var value: UInt32 {
            get { shared_load(index) }
            nonmutating set { shared_store(index, newValue) }
        }
        func increment() { value &+= 1 }
    }
}

/// The devices that an IRQ line was found to belong to. Lines may be shared.
struct Service: Flags {
    let rawValue: UInt32
    static let timer = Self(rawValue: 1 << 0)
    static let console = Self(rawValue: 1 << 1)
    static let clock = Self(rawValue: 1 << 2)
    static let ata0 = Self(rawValue: 1 << 3)
    static let ata1 = Self(rawValue: 1 << 4)
    /// Used for the transcript only: the second UART is polled.
    static let com2 = Self(rawValue: 1 << 5)

    static func on(_ line: UInt8) -> Service { Service(rawValue: Shared.services(line).value) }
    /// Has the handler of `line` serve this, too.
    func attach(to line: UInt8) { Shared.services(line).value |= rawValue }
}
