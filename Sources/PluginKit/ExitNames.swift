/// Exits in words: the names of basic exit reasons, and sentences about a record.
/// Source: SDM volume 3, appendix C (names and numbers). Reasons that plugin.h does not name have no entry.
public struct ExitName: Sendable {
    /// The basic exit reason, 0...63.
    public let reason: UInt16
    /// As properties and traces write it: the constant of plugin.h in lower case with hyphens, "ept-violation".
    public let key: StaticString
    /// The SDM's: "EPT violation".
    public let title: StaticString

    private init(_ reason: UInt16, _ key: StaticString, _ title: StaticString) {
        self.reason = reason
        self.key = key
        self.title = title
    }

    /// Ascending by reason.
    public static let all: [ExitName] = [
        ExitName(0, "exception", "Exception or non-maskable interrupt (NMI)"),
        ExitName(1, "external-interrupt", "External interrupt"),
        ExitName(2, "triple-fault", "Triple fault"),
        ExitName(3, "init", "INIT signal"),
        ExitName(4, "sipi", "Start-up IPI (SIPI)"),
        ExitName(7, "interrupt-window", "Interrupt window"),
        ExitName(8, "nmi-window", "NMI window"),
        ExitName(9, "task-switch", "Task switch"),
        ExitName(10, "cpuid", "CPUID"),
        ExitName(12, "hlt", "HLT"),
        ExitName(14, "invlpg", "INVLPG"),
        ExitName(15, "rdpmc", "RDPMC"),
        ExitName(16, "rdtsc", "RDTSC"),
        ExitName(18, "vmcall", "VMCALL"),
        ExitName(19, "vmclear", "VMCLEAR"),
        ExitName(20, "vmlaunch", "VMLAUNCH"),
        ExitName(21, "vmptrld", "VMPTRLD"),
        ExitName(22, "vmptrst", "VMPTRST"),
        ExitName(23, "vmread", "VMREAD"),
        ExitName(24, "vmresume", "VMRESUME"),
        ExitName(25, "vmwrite", "VMWRITE"),
        ExitName(26, "vmxoff", "VMXOFF"),
        ExitName(27, "vmxon", "VMXON"),
        ExitName(28, "cr", "Control-register accesses"),
        ExitName(29, "dr", "MOV DR"),
        ExitName(30, "io", "I/O instruction"),
        ExitName(31, "rdmsr", "RDMSR"),
        ExitName(32, "wrmsr", "WRMSR"),
        ExitName(33, "entry-failure", "VM-entry failure due to invalid guest state"),
        ExitName(36, "mwait", "MWAIT"),
        ExitName(37, "monitor-trap", "Monitor trap flag"),
        ExitName(39, "monitor", "MONITOR"),
        ExitName(40, "pause", "PAUSE"),
        ExitName(46, "descriptor-table", "Access to GDTR or IDTR"),
        ExitName(47, "ldtr-tr", "Access to LDTR or TR"),
        ExitName(48, "ept-violation", "EPT violation"),
        ExitName(51, "rdtscp", "RDTSCP"),
        ExitName(54, "wbinvd", "WBINVD or WBNOINVD"),
        ExitName(55, "xsetbv", "XSETBV"),
        ExitName(57, "rdrand", "RDRAND"),
        ExitName(58, "invpcid", "INVPCID"),
        ExitName(61, "rdseed", "RDSEED"),
    ]

    /// The title of a reason; "exit reason 5" for one without an entry.
    public static func title(of reason: UInt16) -> String {
        for name in all where name.reason == reason { return name.title.description }
        return "exit reason " + reason.description
    }

    /// The key of a reason; "reason-5" for one without an entry.
    public static func key(of reason: UInt16) -> String {
        for name in all where name.reason == reason { return name.key.description }
        return "reason-" + reason.description
    }

    /// The reason that a key names, nil: none.
    public static func reason(of key: String) -> UInt16? {
        for name in all where name.key.description == key { return name.reason }
        return nil
    }
}

extension bp_exit {
    /// Not an exit: an operator asks the guest to power off, and no instance has a power button.
    public var asksPower: Bool { has(BP_EXITF_ASK_POWER) }
    public var isWrite: Bool { has(BP_EXITF_WRITE) }
    public var isUnclaimed: Bool { has(BP_EXITF_UNCLAIMED) }

    @inline(__always)
    public func has(_ flag: Int) -> Bool { flags & UInt16(truncatingIfNeeded: flag) != 0 }

    /// "at rip 0x1000f3"; "just before rip 0x1000f4" where the engine gives the address past the instruction.
    public var placeText: String {
        (has(BP_EXITF_RIP_PAST) ? "just before rip " : "at rip ") + hexText(rip)
    }

    /// Of an I/O exit or an EPT violation: "guest wrote 0x41 (1 byte) to port 0x2f9 at rip 0x1000f3".
    public var accessText: String {
        let target = (reason == UInt16(BP_EXIT_IO) ? "port " : "memory ") + hexText(address)
        let size = width.description + (width == 1 ? " byte" : " bytes")
        let string = has(BP_EXITF_STRING) ? " by string I/O" : ""
        guard isWrite else { return "guest read " + size + " from " + target + string + " " + placeText }
        let mask: UInt64 = width >= 8 ? .max : (1 &<< (UInt64(width) &* 8)) &- 1
        return "guest wrote " + hexText(value & mask) + " (" + size + ") to " + target + string + " " + placeText
    }
}

/// "0x3f8"
public func hexText(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
