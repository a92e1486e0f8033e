// Registers as gdb numbers them. Names and order of the standard features are gdb's ("Debugging with GDB", G.5.6); control registers have
// the names that QEMU gives them.

import CBackplane
import Core

/// What a debugger is told that the CPU is. One for a whole connection: gdb cannot change it.
package enum GDBArchitecture: String, Sendable { case i386, x86_64 = "x86-64" }

/// All registers of a vCPU.
package struct DebugRegisters: Sendable {
    package var machine: bp_registers
    package var floating: FloatingState
    /// Of `msrIndices`; cannot be written.
    package var msrs: [UInt64]

    /// What 64-bit systems are entered by and keep beside GS: KERNEL_GS_BASE, STAR, LSTAR, FMASK (SDM volume 4, table 2-2).
    package static let msrIndices: [UInt32] = [0xc000_0102, 0xc000_0081, 0xc000_0082, 0xc000_0084]

    package init(machine: bp_registers, floating: FloatingState, msrs: [UInt64] = [0, 0, 0, 0]) {
        self.machine = machine
        self.floating = floating
        self.msrs = msrs
    }
}

struct GDBRegister: Sendable {
    enum Group: Sendable { case core, sse, segments, system }

    var name: String
    /// As the debugger sees it, little-endian.
    var bytes: Int
    var type: String
    var group: Group
    var get: @Sendable (DebugRegisters) -> [UInt8]
    /// False: this register cannot be written.
    var set: @Sendable (inout DebugRegisters, [UInt8]) -> Bool
}

struct GDBRegisterSet: Sendable {
    let architecture: GDBArchitecture
    /// By gdb's number.
    let registers: [GDBRegister]

    init(_ architecture: GDBArchitecture) {
        self.architecture = architecture
        let is64 = architecture == .x86_64
        var list = GDBRegisterSet.general(is64)
        list += GDBRegisterSet.segments + GDBRegisterSet.stack + GDBRegisterSet.floatingControl
        list += GDBRegisterSet.vectors(is64 ? 16 : 8)
        if is64 { list += GDBRegisterSet.bases }
        registers = list + GDBRegisterSet.system(is64)
    }

    /// Of the `g` packet.
    var length: Int { registers.reduce(0) { $0 + $1.bytes } }

    func read(_ state: DebugRegisters) -> [UInt8] { registers.flatMap { $0.get(state) } }

    /// False: not as many bytes as registers have.
    func write(_ bytes: [UInt8], to state: inout DebugRegisters) -> Bool {
        guard bytes.count == length else { return false }
        var at = 0
        for register in registers {
            // What cannot be written keeps its value, and gdb sends all that it has read.
            _ = register.set(&state, Array(bytes[at..<at + register.bytes]))
            at += register.bytes
        }
        return true
    }

    // MARK: The registers

    private typealias Path<T> = WritableKeyPath<DebugRegisters, T> & Sendable

    private static func bytes(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
    }

    private static func number(_ bytes: some Collection<UInt8>) -> UInt64 {
        bytes.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// An integer register. Bits that the debugger does not see are kept where those that it sees do not change.
    private static func integer<T: FixedWidthInteger & Sendable>(
        _ name: String, _ count: Int, _ group: GDBRegister.Group, _ path: any Path<T>, type: String? = nil,
        bits: Range<Int> = 0..<T.bitWidth
    ) -> GDBRegister {
        let mask = T.bitWidth == bits.count ? ~0 : (T(1) << T(bits.count)) - 1
        return GDBRegister(name: name, bytes: count, type: type ?? "int\(count * 8)", group: group) {
            bytes(UInt64(truncatingIfNeeded: $0[keyPath: path] >> T(bits.lowerBound) & mask), count)
        } set: { state, new in
            let old = state[keyPath: path]
            if new == bytes(UInt64(truncatingIfNeeded: old >> T(bits.lowerBound) & mask), count) { return true }
            let value = T(truncatingIfNeeded: number(new)) & mask
            state[keyPath: path] = old & ~(mask << T(bits.lowerBound)) | value << T(bits.lowerBound)
            return true
        }
    }

    /// Shown, and written only with what it holds.
    private static func fixed(
        _ name: String, _ count: Int, _ group: GDBRegister.Group, _ get: @escaping @Sendable (DebugRegisters) -> UInt64
    ) -> GDBRegister {
        GDBRegister(name: name, bytes: count, type: "int\(count * 8)", group: group) {
            bytes(get($0), count)
        } set: { state, new in
            number(new) == get(state)
        }
    }

    private static func general(_ is64: Bool) -> [GDBRegister] {
        let names = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"]
        let paths: [any Path<UInt64>] = [
            \.machine.general.0, \.machine.general.1, \.machine.general.2, \.machine.general.3, \.machine.general.4,
            \.machine.general.5, \.machine.general.6, \.machine.general.7, \.machine.general.8, \.machine.general.9,
            \.machine.general.10, \.machine.general.11, \.machine.general.12, \.machine.general.13,
            \.machine.general.14, \.machine.general.15,
        ]
        let size = is64 ? 8 : 4
        // gdb's order, as numbers of the encoding.
        let order = is64 ? [0, 3, 1, 2, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15] : [0, 1, 2, 3, 4, 5, 6, 7]
        return order.map { encoding in
            let name = encoding < 8 ? (is64 ? "r" : "e") + names[encoding] : "r\(encoding)"
            let isPointer = encoding == 4 || encoding == 5
            return integer(name, size, .core, paths[encoding], type: isPointer ? "data_ptr" : nil)
        } + [
            integer(is64 ? "rip" : "eip", size, .core, \.machine.rip, type: "code_ptr"),
            integer("eflags", 4, .core, \.machine.rflags, type: "i386_eflags"),
        ]
    }

    /// Selectors. Writing one alone would leave the hidden part as it is, a state that no CPU gets into by itself.
    private static let segments: [GDBRegister] = [
        fixed("cs", 4, .core) { UInt64($0.machine.cs.selector) },
        fixed("ss", 4, .core) { UInt64($0.machine.ss.selector) },
        fixed("ds", 4, .core) { UInt64($0.machine.ds.selector) },
        fixed("es", 4, .core) { UInt64($0.machine.es.selector) },
        fixed("fs", 4, .core) { UInt64($0.machine.fs.selector) },
        fixed("gs", 4, .core) { UInt64($0.machine.gs.selector) },
    ]

    private static let stack: [GDBRegister] = (0..<8).map { number in
        wide("st\(number)", 10, "i387_ext", .core, \.floating.registers, number * 16)
    }

    private static func wide(
        _ name: String, _ count: Int, _ type: String, _ group: GDBRegister.Group, _ path: any Path<[UInt8]>,
        _ place: Int
    ) -> GDBRegister {
        GDBRegister(name: name, bytes: count, type: type, group: group) {
            Array($0[keyPath: path][place..<place + count])
        } set: { state, value in
            state[keyPath: path].replaceSubrange(place..<place + count, with: value)
            return true
        }
    }

    private static let floatingControl: [GDBRegister] = [
        integer("fctrl", 4, .core, \.floating.control, type: "int"),
        integer("fstat", 4, .core, \.floating.status, type: "int"),
        GDBRegister(name: "ftag", bytes: 4, type: "int", group: .core) {
            bytes(UInt64(fullTags($0.floating)), 4)
        } set: { state, value in
            state.floating.notEmpty = abridged(UInt16(truncatingIfNeeded: number(value)))
            return true
        },
        integer("fiseg", 4, .core, \.floating.instructionPointer, type: "int", bits: 32..<48),
        integer("fioff", 4, .core, \.floating.instructionPointer, type: "int", bits: 0..<32),
        integer("foseg", 4, .core, \.floating.dataPointer, type: "int", bits: 32..<48),
        integer("fooff", 4, .core, \.floating.dataPointer, type: "int", bits: 0..<32),
        integer("fop", 4, .core, \.floating.opcode, type: "int", bits: 0..<11),
    ]

    /// The tag word of FSTENV, by physical register: 0 valid, 1 zero, 2 special, 3 empty (SDM volume 1, 8.1.7).
    static func fullTags(_ state: FloatingState) -> UInt16 {
        var tags: UInt16 = 0
        for physical in 0..<8 {
            var tag: UInt16 = 3
            if state.notEmpty >> UInt8(physical) & 1 != 0 {
                let place = ((physical - Int(state.status >> 11 & 7)) & 7) * 16
                let significand = number(state.registers[place..<place + 8])
                let exponent = number(state.registers[place + 8..<place + 10]) & 0x7fff
                if exponent == 0 {
                    tag = significand == 0 ? 1 : 2
                } else {
                    tag = exponent == 0x7fff || significand >> 63 == 0 ? 2 : 0
                }
            }
            tags |= tag << UInt16(physical * 2)
        }
        return tags
    }

    private static func abridged(_ tags: UInt16) -> UInt8 {
        (0..<8).reduce(0) { $0 | (tags >> UInt16($1 * 2) & 3 == 3 ? 0 : 1 << UInt8($1)) }
    }

    private static func vectors(_ count: Int) -> [GDBRegister] {
        (0..<count).map { wide("xmm\($0)", 16, "vec128", .sse, \.floating.vectors, $0 * 16) }
            + [integer("mxcsr", 4, .sse, \.floating.mxcsr, type: "i386_mxcsr")]
    }

    private static let bases: [GDBRegister] = [
        integer("fs_base", 8, .segments, \.machine.fs.base, type: "int"),
        integer("gs_base", 8, .segments, \.machine.gs.base, type: "int"),
    ]

    private static func system(_ is64: Bool) -> [GDBRegister] {
        let size = is64 ? 8 : 4
        let msrs = ["k_gs_base", "star", "lstar", "fmask"].enumerated().map { position, name in
            fixed(name, 8, .system) { $0.msrs[position] }
        }
        return [
            integer("cr0", size, .system, \.machine.cr0, type: "i386_cr0"),
            integer("cr2", size, .system, \.machine.cr2), integer("cr3", size, .system, \.machine.cr3),
            integer("cr4", size, .system, \.machine.cr4, type: "i386_cr4"),
            integer("cr8", size, .system, \.machine.cr8),
            integer("efer", 8, .system, \.machine.efer, type: "i386_efer"),
        ] + (is64 ? msrs : [])
    }
}
