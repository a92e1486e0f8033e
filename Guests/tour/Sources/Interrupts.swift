import Machine

/// What entry.S leaves on the stack, by address.
struct InterruptFrame {
    let address: UInt32

    private func word(_ index: UInt32) -> UInt32 { Memory.read(address &+ index &* 4, .double) }

    var edi: UInt32 { word(0) }
    var esi: UInt32 { word(1) }
    var ebp: UInt32 { word(2) }
    /// Before the interrupt: PUSHA's own ESP is five words short of it.
    var esp: UInt32 { word(3) &+ 20 }
    var ebx: UInt32 { word(4) }
    var edx: UInt32 { word(5) }
    var ecx: UInt32 { word(6) }
    var eax: UInt32 { word(7) }
    var vector: UInt32 { word(8) }
    var errorCode: UInt32 { word(9) }
    var eip: UInt32 { word(10) }
    var eflags: UInt32 { word(12) }
}

/// Every interrupt and exception comes here. 0: go on; 1: leave the guarded call.
@c(tour_interrupt)
func interrupt(frame address: UInt32) -> Int32 {
    let frame = InterruptFrame(address: address)
    guard frame.vector >= UInt32(PIC.firstVector) else { return report(frame) }
    serve(line: UInt8(truncatingIfNeeded: frame.vector &- UInt32(PIC.firstVector)))
    return 0
}

/// The end of interrupt comes first: a device that asserts its line again from here on makes a new edge.
private func serve(line: UInt8) {
    guard PIC.acknowledge(line) else { return }
    Shared.count(line).increment()
    Shared.firedLines.value |= 1 << UInt32(line)
    let services = Service.on(line)
    if services.contains(.timer) { Shared.ticks.increment() }
    if services.contains(.console) { Console.serve() }
    if services.contains(.clock), RTC.acknowledge() { Shared.periods.increment() }
    if services.contains(.ata0) { ATAChannel.primary.acknowledgeInterrupt() }
    if services.contains(.ata1) { ATAChannel.secondary.acknowledgeInterrupt() }
}

/// An exception within its own report leaves nothing to go back to.
private func report(_ frame: InterruptFrame) -> Int32 {
    guard Shared.reporting.value == 0 else { cpu_halt_forever() }
    Shared.reporting.value = 1
    say("exception \(frame.vector) (\(exceptionName(frame.vector))), error \(hex: frame.errorCode, digits: 8)")
    say("  eip \(hex: frame.eip, digits: 8)  eflags \(hex: frame.eflags, digits: 8)  esp \(hex: frame.esp, digits: 8)")
    show("  eax \(hex: frame.eax, digits: 8)  ebx \(hex: frame.ebx, digits: 8)")
    say("  ecx \(hex: frame.ecx, digits: 8)  edx \(hex: frame.edx, digits: 8)")
    show("  esi \(hex: frame.esi, digits: 8)  edi \(hex: frame.edi, digits: 8)")
    say("  ebp \(hex: frame.ebp, digits: 8)")
    Shared.reporting.value = 0
    return 1
}

/// Intel SDM volume 3, table 6-1.
private func exceptionName(_ vector: UInt32) -> StaticString {
    switch vector {
    case 0: "divide error"
    case 1: "debug"
    case 2: "NMI"
    case 3: "breakpoint"
    case 4: "overflow"
    case 5: "bound range"
    case 6: "invalid opcode"
    case 7: "no coprocessor"
    case 8: "double fault"
    case 10: "invalid TSS"
    case 11: "segment not present"
    case 12: "stack fault"
    case 13: "general protection"
    case 14: "page fault"
    case 16: "floating point"
    case 17: "alignment check"
    case 18: "machine check"
    case 19: "SIMD floating point"
    default: "reserved"
    }
}

/// Finds the line a device interrupts on: the one that fires in each of three rounds.
/// `stimulate` makes the device interrupt once, `calm` withdraws it. Lowest line first; nil where none fires.
/// Lines of devices found before may not fire meanwhile.
func discoverLine(_ clock: Clock, stimulate: () -> Void, calm: () -> Void) -> UInt8? {
    var candidates: UInt32 = 0xFFFF
    for _ in 0..<3 {
        Shared.firedLines.value = 0
        stimulate()
        _ = clock.wait(milliseconds: 200) { Shared.firedLines.value & candidates != 0 }
        calm()
        candidates &= Shared.firedLines.value
        if candidates == 0 { return nil }
    }
    return UInt8(candidates.trailingZeroBitCount)
}
