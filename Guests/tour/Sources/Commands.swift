import Machine

/// What is wrong with a command.
enum CommandError: Error {
    case unknown(Line.Word)
    case missing(StaticString)
    case notANumber(Line.Word)
    case badWidth(Line.Word)
    case tooLarge(Line.Word, largest: UInt32)
    case tooMuch(Line.Word)

    func report() {
        switch self {
        case .unknown(let word): say("error: unknown command '\(word)', try help")
        case .missing(let what): say("error: \(what) is missing")
        case .notANumber(let word): say("error: '\(word)' is not a number of 32 bits, decimal or 0x and hexadecimal")
        case .badWidth(let word): say("error: width '\(word)' is not 8, 16 or 32")
        case .tooLarge(let word, let largest): say("error: '\(word)' is above \(hex: largest)")
        case .tooMuch(let word): say("error: '\(word)' is one argument too many")
        }
    }
}

/// The arguments of a command, taken one after the other.
struct Arguments {
    private let line: Line
    private var position = 0

    init(_ line: Line) { self.line = line }

    mutating func word() -> Line.Word? { line.word(at: &position) }

    /// A required number.
    mutating func number(_ what: StaticString, upTo largest: UInt32 = UInt32.max) throws(CommandError) -> UInt32 {
        guard let word = word() else { throw .missing(what) }
        guard let value = word.number else { throw .notANumber(word) }
        guard value <= largest else { throw .tooLarge(word, largest: largest) }
        return value
    }

    /// The optional last argument: 8 where it is left out.
    mutating func width() throws(CommandError) -> Width {
        guard let word = word() else { return .byte }
        guard let bits = word.number, let width = Width(rawValue: bits) else { throw .badWidth(word) }
        try end()
        return width
    }

    /// A value that the width after it must be able to hold.
    mutating func sizedValue() throws(CommandError) -> (UInt32, Width) {
        var sameWord = self
        let value = try number("VALUE")
        let width = try width()
        _ = try sameWord.number("VALUE", upTo: width.largest)
        return (value, width)
    }

    mutating func end() throws(CommandError) {
        if let word = word() { throw .tooMuch(word) }
    }

    /// For a command without arguments.
    mutating func none(_ command: () -> Void) throws(CommandError) {
        try end()
        command()
    }

    mutating func port() throws(CommandError) -> Port {
        Port(UInt16(truncatingIfNeeded: try number("PORT", upTo: 0xFFFF)))
    }
}

/// The commands of the prompt.
extension Tour {
    func run(_ line: Line) {
        var arguments = Arguments(line)
        guard let name = arguments.word() else { return }
        do throws(CommandError) {
            try run(name, &arguments)
        } catch {
            error.report()
        }
    }

    private func run(_ name: Line.Word, _ arguments: inout Arguments) throws(CommandError) {
        switch name {
        case "help": try arguments.none { Self.help() }
        case "ticks": try arguments.none { showTicks() }
        case "disk": try arguments.none { testDisks() }
        case "irqs": try arguments.none { showInterrupts() }
        case "mem": try arguments.none { showMemory() }
        case "peek": try peek(&arguments)
        case "poke": try poke(&arguments)
        case "in": try input(&arguments)
        case "out": try output(&arguments)
        case "fault": try arguments.none { cpu_invalid_opcode() }
        case "reboot": try arguments.none { reboot() }
        case "halt", "off": try arguments.none { Self.halt() }
        case "exit": try exit(&arguments)
        default: throw .unknown(name)
        }
    }

    private static func help() {
        say("help                      this list")
        say("ticks                     timer interrupts so far")
        say("disk                      test the disks again")
        say("irqs                      interrupts on each line")
        say("mem                       memory map and kernel")
        say("peek ADDR [WIDTH]         read memory")
        say("poke ADDR VALUE [WIDTH]   write memory")
        say("in PORT [WIDTH]           read a port")
        say("out PORT VALUE [WIDTH]    write a port")
        say("fault                     execute an invalid opcode")
        say("reboot                    reset the machine")
        say("halt, off                 stop for ever: CLI and HLT")
        say("exit N                    end the monitor with status 2N+1, by port 0x501")
        say("numbers are decimal or 0x hexadecimal, WIDTH is 8 (the default), 16 or 32 bits")
    }

    // MARK: Memory and ports

    private func peek(_ arguments: inout Arguments) throws(CommandError) {
        let address = try arguments.number("ADDR")
        let width = try arguments.width()
        say("\(hex: address, digits: 8): \(hex: Memory.read(address, width), digits: width.digits)")
    }

    private func poke(_ arguments: inout Arguments) throws(CommandError) {
        let address = try arguments.number("ADDR")
        let (value, width) = try arguments.sizedValue()
        Memory.write(address, value, width)
    }

    private func input(_ arguments: inout Arguments) throws(CommandError) {
        let port = try arguments.port()
        let width = try arguments.width()
        say("port \(hex: UInt32(port.address), digits: 4): \(hex: port.read(width), digits: width.digits)")
    }

    private func output(_ arguments: inout Arguments) throws(CommandError) {
        let port = try arguments.port()
        let (value, width) = try arguments.sizedValue()
        port.write(value, width)
    }

    // MARK: Reports

    private func showTicks() {
        if timerLine == nil { return say("ticks: no timer interrupt") }
        say("ticks: \(Shared.ticks.value)")
    }

    private func showInterrupts() {
        for line in 0..<UInt8(16) where Shared.count(line).value != 0 {
            show("irq \(line): \(Shared.count(line).value)")
            let services = Service.on(line)
            if services.contains(.timer) { show(" pit") }
            if services.contains(.console) { show(" console") }
            if services.contains(.com2) { show(" com2") }
            if services.contains(.clock) { show(" rtc") }
            if services.contains(.ata0) { show(" ata0") }
            if services.contains(.ata1) { show(" ata1") }
            say("")
        }
        say("spurious: \(Shared.masterSpurious.value) master, \(Shared.slaveSpurious.value) slave")
    }

    private func showMemory() {
        boot?.forEachRegion { region in
            show("base \(hex: region.baseHigh, digits: 8)\(bare: region.base, digits: 8)")
            show(" length \(hex: region.lengthHigh, digits: 8)\(bare: region.length, digits: 8)")
            say(" \(region.kindName)")
        }
        say("kernel \(hex: image_start(), digits: 8) to \(hex: image_end(), digits: 8)")
    }

    // MARK: Endings

    /// The ways that a PC is reset, from the mildest on.
    private func reboot() {
        say("rebooting")
        Console.flush()
        Port(0x64).write(0xFE)  // keyboard controller: pulse the reset line
        _ = clock.wait(milliseconds: 100) { false }
        Port(0xCF9).write(0x02)  // reset control: a hard reset,
        Port(0xCF9).write(0x06)  // now
        _ = clock.wait(milliseconds: 100) { false }
        cpu_triple_fault()
    }

    /// What CLI and HLT mean is for the monitor to decide: usually, power off.
    private static func halt() {
        say("halted")
        Console.flush()
        cpu_halt_forever()
    }

    /// QEMU's isa-debug-exit: the monitor ends with status (N << 1) | 1.
    private func exit(_ arguments: inout Arguments) throws(CommandError) {
        let status = try arguments.number("N", upTo: 127)
        try arguments.end()
        Console.flush()
        Port(0x501).write(UInt8(status))
        say("exit: nothing ends the monitor at port 0x501")
    }
}
