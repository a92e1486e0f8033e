/// One 8254 counter stepped a CLK pulse at a time, written down from the mode definitions of the data sheet (231164)
/// with nothing computed ahead. The chip, which computes everything from time stamps, has to agree with it.
/// Counts of 1 in modes 2 and 3 are illegal and not followed here.
struct SteppedCounter {
    private(set) var out = false
    private(set) var isNull = true
    private(set) var risingEdges: UInt64 = 0
    private var mode: UInt8 = 0
    private var access: UInt8 = 3
    private var decimal = false
    private var register: UInt16 = 0
    private var firstByte: UInt8?
    private var hasCount = false
    private var element = 0  // CE
    private var initial = 0  // the count that CE was loaded from
    private var counts = false  // loaded since the control word
    private var armed = false  // the terminal count is still to come
    private var loadPending = false
    private var triggerFlipFlop = false
    private var gate: Bool

    init(gate: Bool) { self.gate = gate }

    private var modulus: Int { decimal ? 10_000 : 65_536 }

    private var registerValue: Int {
        guard decimal else { return register == 0 ? 65_536 : Int(register) }
        var value = 0
        for digit in [12, 8, 4, 0] { value = value * 10 + Int(register >> UInt16(digit) & 15) }
        value %= 10_000
        return value == 0 ? 10_000 : value
    }

    /// What a latch and two reads give.
    var shownCount: UInt16 {
        let value = element % modulus
        guard decimal else { return UInt16(value) }
        return UInt16((value / 1000) << 12 | (value / 100 % 10) << 8 | (value / 10 % 10) << 4 | value % 10)
    }

    private mutating func drive(_ level: Bool) {
        if level && !out { risingEdges += 1 }
        out = level
    }

    mutating func writeControl(_ word: UInt8) {
        let code = word >> 1 & 7
        mode = code >= 6 ? code - 4 : code
        access = word >> 4 & 3
        decimal = word & 1 == 1
        (firstByte, hasCount, counts, armed, loadPending, triggerFlipFlop) = (nil, false, false, false, false, false)
        isNull = true
        drive(mode != 0)
    }

    /// Before the first load CE holds nothing that the data sheet defines.
    var isComparable: Bool { counts }

    mutating func writeCount(_ byte: UInt8) {
        switch access {
        case 1: complete(UInt16(byte))
        case 2: complete(UInt16(byte) << 8)
        default:
            if let low = firstByte {
                firstByte = nil
                complete(UInt16(byte) << 8 | UInt16(low))
            } else {
                firstByte = byte
                if mode == 0 { drive(false) }
            }
        }
    }

    private mutating func complete(_ count: UInt16) {
        register = count
        hasCount = true
        isNull = true
        switch mode {
        case 0:
            drive(false)
            loadPending = true
        case 4: loadPending = true
        case 2, 3: if !counts { loadPending = true }
        default: break
        }
    }

    mutating func setGate(_ level: Bool) {
        if level && !gate && hasCount { triggerFlipFlop = true }
        gate = level
        if !level && (mode == 2 || mode == 3) { drive(true) }
    }

    private mutating func load() {
        initial = registerValue
        element = initial
        isNull = false
        counts = true
        armed = true
    }

    private mutating func decrement() { element = (element % modulus + modulus - 1) % modulus }

    /// One CLK pulse.
    mutating func clock() {
        let triggered = triggerFlipFlop
        triggerFlipFlop = false
        let loads = loadPending
        loadPending = false
        switch mode {
        case 0: clockMode0(loads)
        case 1: clockMode1(triggered)
        case 2: clockMode2(loads || triggered)
        case 3: clockMode3(loads || triggered)
        case 4: clockStrobe(loads, counting: gate)
        default: clockStrobe(triggered, counting: true)
        }
    }

    /// The counter one CLK pulse later.
    static func after(_ counter: SteppedCounter) -> SteppedCounter {
        var counter = counter
        counter.clock()
        return counter
    }

    private mutating func clockMode0(_ loads: Bool) {
        if loads {
            load()
        } else if counts && gate && firstByte == nil {
            decrement()
            if element == 0 && armed {
                armed = false
            }
        }
        if counts && !armed && firstByte == nil { drive(true) }
    }

    private mutating func clockMode1(_ triggered: Bool) {
        if triggered {
            load()
            drive(false)
        } else if counts {
            decrement()
            if element == 0 && armed {
                armed = false
                drive(true)
            }
        }
    }

    private mutating func clockMode2(_ loads: Bool) {
        if loads {
            load()
            drive(true)
        } else if counts && gate {
            if element == 1 {
                load()
                drive(true)
            } else {
                decrement()
                if element == 1 { drive(false) }
            }
        }
    }

    private mutating func clockMode3(_ loads: Bool) {
        if loads {
            loadHalf()
            drive(true)
        } else if counts && gate {
            if out && initial % 2 == 1 && element == 0 {
                loadHalf()
                drive(false)
                return
            }
            element -= 2
            if element == 0 && !(out && initial % 2 == 1) {
                let level = !out
                loadHalf()
                drive(level)
            }
        }
    }

    private mutating func loadHalf() {
        load()
        if initial % 2 == 1 { element -= 1 }
    }

    private mutating func clockStrobe(_ loads: Bool, counting: Bool) {
        drive(true)
        if loads {
            load()
        } else if counts && counting {
            decrement()
            if element == 0 && armed {
                armed = false
                drive(false)
            }
        }
    }
}
