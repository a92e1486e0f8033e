/// What a guest may believe its CPU to be: the most that it is shown. Nothing is ever added to what the engine has.
/// Sources: Intel's application note 485 (signatures, maximum leaves), SDM volume 2. Not modelled: cache descriptors.
public struct CPUTemplate: Sendable {
    public let name: StaticString
    /// Family, model, stepping; nil: the engine's.
    public let signature: (family: UInt32, model: UInt32, stepping: UInt32)?
    /// The highest basic leaf; nil: the engine's.
    public let lastLeaf: UInt32?
    /// The highest extended leaf, 0: none; nil: the engine's.
    public let lastExtended: UInt32?
    /// Features that may be seen; nil: all.
    public let features: [String]?

    private static let i486 = ["fpu", "vme"]
    private static let pentium = i486 + ["de", "pse", "tsc", "msr", "mce", "cx8"]
    private static let pentium2 =
        pentium + ["pae", "apic", "sep", "mtrr", "pge", "mca", "cmov", "pat", "pse36", "mmx", "fxsr"]
    private static let pentium3 = pentium2 + ["sse"]
    private static let pentium4 = pentium3 + ["sse2", "clflush", "dts", "acpi", "ss", "ht", "tm", "pbe"]
    private static let core2 =
        pentium4 + [
            "pni", "ssse3", "cx16", "monitor", "ds_cpl", "dtes64", "est", "tm2", "xtpr", "pdcm", "vmx", "syscall", "nx",
            "lm",
            "lahf_lm", "hypervisor",
        ]

    /// The first changes nothing.
    public static let all: [CPUTemplate] = [
        CPUTemplate(name: "host", signature: nil, lastLeaf: nil, lastExtended: nil, features: nil),
        CPUTemplate(name: "i486", signature: (4, 8, 0), lastLeaf: 1, lastExtended: 0, features: i486),
        CPUTemplate(name: "pentium", signature: (5, 2, 12), lastLeaf: 1, lastExtended: 0, features: pentium),
        CPUTemplate(
            name: "pentium-mmx", signature: (5, 4, 3), lastLeaf: 1, lastExtended: 0, features: pentium + ["mmx"]),
        CPUTemplate(name: "pentium2", signature: (6, 5, 2), lastLeaf: 2, lastExtended: 0, features: pentium2),
        CPUTemplate(name: "pentium3", signature: (6, 8, 3), lastLeaf: 2, lastExtended: 0, features: pentium3),
        CPUTemplate(
            name: "pentium4", signature: (15, 2, 7), lastLeaf: 2, lastExtended: 0x8000_0004, features: pentium4),
        CPUTemplate(name: "core2", signature: (6, 15, 11), lastLeaf: 10, lastExtended: 0x8000_0008, features: core2),
    ]

    /// EAX of leaf 1: extended family and model as the SDM adds them up.
    public static func encode(_ signature: (family: UInt32, model: UInt32, stepping: UInt32)) -> UInt32 {
        let family = min(signature.family, 15)
        let extended = signature.family > 15 ? signature.family - 15 : 0
        return (signature.stepping & 15) | (signature.model & 15) << 4 | family << 8 | (signature.model >> 4 & 15) << 16
            | (extended & 0xff) << 20
    }
}

/// The answer to one CPUID.
public struct CPUIDAnswer: Equatable, Sendable {
    public var eax: UInt32
    public var ebx: UInt32
    public var ecx: UInt32
    public var edx: UInt32

    public init(eax: UInt32, ebx: UInt32, ecx: UInt32, edx: UInt32) {
        (self.eax, self.ebx, self.ecx, self.edx) = (eax, ebx, ecx, edx)
    }

    static let nothing = CPUIDAnswer(eax: 0, ebx: 0, ecx: 0, edx: 0)

    subscript(register: CPUFeature.Register) -> UInt32 {
        get {
            switch register {
            case .eax: eax
            case .ebx: ebx
            case .ecx: ecx
            case .edx: edx
            }
        }
        set {
            switch register {
            case .eax: eax = newValue
            case .ebx: ebx = newValue
            case .ecx: ecx = newValue
            case .edx: edx = newValue
            }
        }
    }
}

/// What a guest is shown in place of what the engine has.
public struct CPUIDView: Sendable {
    public var template = CPUTemplate.all[0]
    /// Hidden, whatever the template shows.
    public var hidden: [CPUFeature] = []
    /// 12 bytes; nil: the engine's.
    public var vendor: [UInt8]?
    /// At most 48 bytes; nil: the engine's.
    public var brand: [UInt8]?

    public init() {}

    /// `own`: the engine's answer to this leaf and subleaf.
    public func answer(leaf: UInt32, subleaf: UInt32, own: CPUIDAnswer) -> CPUIDAnswer {
        if let answer = identity(leaf, own) { return answer }
        guard isShown(leaf) else { return .nothing }
        var answer = own
        for feature in CPUFeature.all where feature.leaf == leaf && (leaf != 7 || subleaf == 0) {
            let isAllowed = template.features?.contains(feature.name.description) ?? true
            if !isAllowed || hidden.contains(feature) { answer[feature.register] &= ~(1 << feature.bit) }
        }
        // Bits without a name belong to no template.
        if template.features != nil { answer = masked(answer, leaf, subleaf) }
        if leaf == 1, let signature = template.signature { answer.eax = CPUTemplate.encode(signature) }
        return answer
    }

    private func isShown(_ leaf: UInt32) -> Bool {
        if leaf >= 0x8000_0000 { return template.lastExtended.map { leaf <= $0 } ?? true }
        // Above the basic leaves are those of hypervisors.
        if leaf >= 0x4000_0000 {
            return template.features?.contains("hypervisor") ?? !hidden.contains { $0.name.description == "hypervisor" }
        }
        return template.lastLeaf.map { leaf <= $0 } ?? true
    }

    private func masked(_ answer: CPUIDAnswer, _ leaf: UInt32, _ subleaf: UInt32) -> CPUIDAnswer {
        var answer = answer
        for register in [CPUFeature.Register.ebx, .ecx, .edx] {
            let named = CPUFeature.all.filter { $0.leaf == leaf && $0.register == register }
            guard !named.isEmpty else { continue }
            answer[register] &= named.reduce(0) { $0 | 1 << $1.bit }
        }
        return answer
    }

    /// Leaves that name the CPU.
    private func identity(_ leaf: UInt32, _ own: CPUIDAnswer) -> CPUIDAnswer? {
        switch leaf {
        case 0:
            var answer = own
            if let last = template.lastLeaf { answer.eax = min(own.eax, last) }
            if let vendor, vendor.count == 12 {
                (answer.ebx, answer.edx, answer.ecx) = (word(vendor, 0), word(vendor, 4), word(vendor, 8))
            }
            return answer
        case 0x8000_0000:
            guard let last = template.lastExtended else { return own }
            if last == 0 { return .nothing }
            var answer = own
            answer.eax = min(own.eax, last)
            return answer
        case 0x8000_0002...0x8000_0004:
            guard let brand, isShown(leaf) else { return nil }
            let at = Int(leaf - 0x8000_0002) * 16
            return CPUIDAnswer(
                eax: word(brand, at), ebx: word(brand, at + 4), ecx: word(brand, at + 8), edx: word(brand, at + 12))
        default: return nil
        }
    }

    /// Little-endian; beyond the text there are zeros.
    private func word(_ text: [UInt8], _ at: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | (at + $1 < text.count ? UInt32(text[at + $1]) : 0) << UInt32(8 * $1) }
    }
}
