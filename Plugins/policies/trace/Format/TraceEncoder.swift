public import PluginKit

/// Exits as JSON, one event a line, formatted by hand into a buffer of fixed size without allocation.
/// Source: the Trace Event Format's array form (complete events, `ph` "X", `ts` and `dur` in microseconds) and JSON
/// Lines.
///
/// In the Chrome form the events of a vCPU are laid end to end where they would overlap: a viewer drops slices that
/// overlap without nesting. That happens where a clock and the cost of an exit are not the same time (counted time).
/// `args.time` is always the exact virtual time, and `args.ns` the cost.
public struct TraceEncoder: Sendable {
    public enum Format: Int, Sendable { case jsonLines, chrome }

    /// No event is longer, with the names of its vCPU and machine.
    public static let maximumEvent = 2560
    /// Bytes of an owner's name that are kept; an escape makes six of one.
    private static let maximumOwner = 255
    private static let trackedCPUs = 64

    public var buffer: ByteBuffer
    private let format: Format
    private let process: UInt64
    private let names = KindNames()
    private var isEmpty = true
    /// Chrome: vCPUs that have been named, as bits, and the end of each one's last event in nanoseconds.
    private var named: UInt64 = 0
    private var ends = [UInt64](repeating: 0, count: trackedCPUs)

    /// `process`: the number that stands for the machine in the Chrome form. `capacity`: bytes of the buffer.
    public init(_ format: Format, process: UInt64, capacity: Int) {
        self.format = format
        self.process = process
        buffer = ByteBuffer(capacity: max(capacity, TraceEncoder.maximumEvent))
        if format == .chrome { buffer.put("[") }
    }

    /// One exit; false where the buffer has no room for one now. `owner`: the id of who answered; empty: nobody.
    public mutating func append(
        _ exit: bp_exit, verdict: UInt32, nanoseconds: UInt64, owner: Span<UInt8>
    ) -> Bool {
        guard buffer.makeRoom(TraceEncoder.maximumEvent) else { return false }
        switch format {
        case .jsonLines:
            buffer.put("{\"time\":")
            buffer.putDecimal(exit.time)
            buffer.put(",\"ns\":")
            buffer.putDecimal(nanoseconds)
            buffer.put(",\"vcpu\":")
            buffer.putDecimal(UInt64(exit.vcpu))
            buffer.put(",\"kind\":\"")
            names.put(exit.reason, into: &buffer)
            buffer.put(34)
            putDetails(exit, verdict, owner)
            buffer.put("}\n")
        case .chrome:
            nameCPU(exit.vcpu)
            putChrome(exit, verdict, nanoseconds, owner)
        }
        return true
    }

    /// Ends the file; false where the buffer has no room now.
    public mutating func finish() -> Bool {
        guard format == .chrome else { return true }
        guard buffer.makeRoom(3) else { return false }
        buffer.put("\n]\n")
        return true
    }

    // MARK: Chrome

    private mutating func putChrome(_ exit: bp_exit, _ verdict: UInt32, _ nanoseconds: UInt64, _ owner: Span<UInt8>) {
        beginEvent()
        buffer.put("{\"ph\":\"X\",\"cat\":\"exit\",\"name\":\"")
        names.put(exit.reason, into: &buffer)
        buffer.put("\",\"ts\":")
        buffer.putMicroseconds(begin(exit, nanoseconds))
        buffer.put(",\"dur\":")
        buffer.putMicroseconds(nanoseconds)
        putTrack(exit.vcpu)
        buffer.put(",\"args\":{\"time\":")
        buffer.putDecimal(exit.time)
        buffer.put(",\"ns\":")
        buffer.putDecimal(nanoseconds)
        putDetails(exit, verdict, owner)
        buffer.put("}}")
    }

    /// Where the event starts on its vCPU's track, in nanoseconds: not before the one before has ended.
    private mutating func begin(_ exit: bp_exit, _ nanoseconds: UInt64) -> UInt64 {
        guard exit.vcpu < UInt32(TraceEncoder.trackedCPUs) else { return exit.time }
        let begin = max(exit.time, ends[Int(exit.vcpu)])
        let (end, overflow) = begin.addingReportingOverflow(nanoseconds)
        ends[Int(exit.vcpu)] = overflow ? .max : end
        return begin
    }

    /// The separator goes before an event, so that a file that is cut short lacks only its bracket.
    private mutating func beginEvent() {
        buffer.put(isEmpty ? "\n" : ",\n")
        isEmpty = false
    }

    private mutating func putTrack(_ vcpu: UInt32) {
        buffer.put(",\"pid\":")
        buffer.putDecimal(process)
        buffer.put(",\"tid\":")
        buffer.putDecimal(UInt64(vcpu))
    }

    /// Metadata events that give the machine and a vCPU their names in a viewer.
    private mutating func nameCPU(_ vcpu: UInt32) {
        guard vcpu < UInt32(TraceEncoder.trackedCPUs), named & (1 &<< UInt64(vcpu)) == 0 else { return }
        if named == 0 {
            beginEvent()
            buffer.put("{\"ph\":\"M\",\"name\":\"process_name\"")
            putTrack(vcpu)
            buffer.put(",\"args\":{\"name\":\"machine\"}}")
        }
        named |= 1 &<< UInt64(vcpu)
        beginEvent()
        buffer.put("{\"ph\":\"M\",\"name\":\"thread_name\"")
        putTrack(vcpu)
        buffer.put(",\"args\":{\"name\":\"vcpu ")
        buffer.putDecimal(UInt64(vcpu))
        buffer.put("\"}}")
    }

    // MARK: What both forms say of an exit

    private mutating func putDetails(_ exit: bp_exit, _ verdict: UInt32, _ owner: Span<UInt8>) {
        switch Int(exit.reason) {
        case BP_EXIT_IO: putAccess(exit, ",\"port\":")
        case BP_EXIT_EPT_VIOLATION: putAccess(exit, ",\"address\":")
        case BP_EXIT_RDMSR, BP_EXIT_WRMSR:
            putField(",\"msr\":", exit.address)
            putField(",\"value\":", exit.value)
        case BP_EXIT_CPUID:
            putField(",\"leaf\":", exit.address)
            putField(",\"subleaf\":", exit.extra.0)
        case BP_EXIT_CR, BP_EXIT_DR:
            buffer.put(exit.isWrite ? ",\"write\":true" : ",\"write\":false")
            buffer.put(",\"register\":")
            buffer.putDecimal(exit.address)
            putField(",\"value\":", exit.value)
        case BP_EXIT_EXCEPTION: putException(exit)
        default: break
        }
        putField(",\"rip\":", exit.rip)
        if exit.has(BP_EXITF_RIP_PAST) { buffer.put(",\"rip-past\":true") }
        putVerdict(verdict)
        if !owner.isEmpty {
            buffer.put(",\"owner\":")
            buffer.putQuoted(owner, limit: TraceEncoder.maximumOwner)
        }
    }

    private mutating func putField(_ name: String, _ value: UInt64) {
        buffer.put(name)
        buffer.putHex(value)
    }

    private mutating func putAccess(_ exit: bp_exit, _ name: String) {
        buffer.put(exit.isWrite ? ",\"write\":true" : ",\"write\":false")
        putField(name, exit.address)
        buffer.put(",\"width\":")
        buffer.putDecimal(UInt64(exit.width))
        let unused = 64 &- min(UInt64(exit.width), 8) &* 8
        putField(",\"value\":", unused == 64 ? 0 : exit.value & (UInt64.max &>> unused))
        if exit.has(BP_EXITF_STRING) { buffer.put(",\"string\":true") }
        if exit.isUnclaimed { buffer.put(",\"unclaimed\":true") }
    }

    private mutating func putException(_ exit: bp_exit) {
        buffer.put(",\"vector\":")
        buffer.putDecimal(exit.address)
        if exit.has(BP_EXITF_ERROR_CODE) { putField(",\"error-code\":", exit.value) }
        if exit.address == 14 { putField(",\"cr2\":", exit.extra.0) }
    }

    /// Nothing for an exit that no policy answered.
    private mutating func putVerdict(_ verdict: UInt32) {
        switch Int(verdict) {
        case BP_VERDICT_HANDLED: buffer.put(",\"verdict\":\"handled\"")
        case BP_VERDICT_INJECT: buffer.put(",\"verdict\":\"inject\"")
        case BP_VERDICT_PAUSE: buffer.put(",\"verdict\":\"pause\"")
        case BP_VERDICT_STOP: buffer.put(",\"verdict\":\"stop\"")
        case BP_VERDICT_RESET: buffer.put(",\"verdict\":\"reset\"")
        case BP_VERDICT_SWITCH: buffer.put(",\"verdict\":\"switch\"")
        default: break
        }
    }
}
