// The image: descriptor tables, task states, page tables and handlers, of the numbers that the SDM gives (volume 3, figures 3-8, 5-1,
// 6-2, 6-8, 7-2, 7-10, 7-11).

import CBackplane

/// What a case starts in.
enum WitnessMode: CaseIterable {
    case real, flat, user, paged, pagedUser, virtual8086, long, longUser, compatibility

    var isLong: Bool { self == .long || self == .longUser || self == .compatibility }
    var is64: Bool { self == .long || self == .longUser }
    var isUser: Bool { self == .user || self == .pagedUser || self == .longUser || self == .compatibility }
    var is16: Bool { self == .real || self == .virtual8086 }
}

struct WitnessImage {
    private(set) var bytes = [UInt8](repeating: 0, count: Image.length)
    let mode: WitnessMode

    init(_ mode: WitnessMode) {
        self.mode = mode
        mode == .real ? realTable() : interruptTable()
        descriptors()
        tasks()
        handlers()
        if mode.isLong { longTables() } else { legacyTables() }
    }

    mutating func put(_ address: Int, _ value: UInt64, _ size: Int = 8) {
        for index in 0..<size { bytes[address + index] = UInt8(truncatingIfNeeded: value >> UInt64(index * 8)) }
    }

    mutating func put(_ address: Int, _ code: [UInt8]) {
        bytes.replaceSubrange(address..<address + code.count, with: code)
    }

    // MARK: Tables

    static func segment(_ access: UInt64, _ flags: UInt64, base: UInt64 = 0, limit: UInt64 = 0xfffff) -> UInt64 {
        limit & 0xffff | (base & 0xff_ffff) << 16 | access << 40 | (limit >> 16) << 48 | flags << 52 | (base >> 24)
            << 56
    }

    static func gate(_ type: UInt64, _ selector: UInt64, _ offset: UInt64, count: UInt64 = 0) -> UInt64 {
        offset & 0xffff | selector << 16 | count << 32 | type << 40 | (offset >> 16) << 48
    }

    /// What handlers use is marked as accessed: not every KVM does that when it delivers an exception. Selectors are 8 times the index. A system descriptor of long mode takes the index behind it too, which holds 0.
    private mutating func descriptors() {
        let code: UInt64 = mode.isLong ? 5 * 8 : 8
        let callGate: UInt64 = 0x8c
        let entries: [Int: UInt64] = [
            1: Self.segment(0x9b, 0xc), 2: Self.segment(0x93, 0xc), 3: Self.segment(0xfb, 0xc),
            4: Self.segment(0xf3, 0xc),
            5: Self.segment(0x9b, 0xa), 6: Self.segment(0xfb, 0xa),
            7: Self.segment(0x9f, mode.isLong ? 0xa : 0xc), 8: Self.segment(0x98, 0xc), 9: Self.segment(0x90, 0xc),
            10: Self.segment(0x96, 0xc, limit: 1), 11: Self.segment(0x12, 0xc), 12: Self.segment(0x1a, 0xc),
            13: Self.segment(0x8b, 0, base: UInt64(Image.task), limit: 0x67),
            15: Self.segment(0x89, 0, base: UInt64(Image.otherTask), limit: 0x67),
            17: Self.segment(0x81, 0, base: UInt64(Image.smallTask), limit: 0x2b),
            18: Self.segment(0x82, 0, base: UInt64(Image.ldt), limit: 0x7f),
            20: Self.gate(0x60 | callGate, code, UInt64(Image.arrivals)),
            22: Self.gate(0x60 | callGate, code, UInt64(Image.arrivals), count: mode.isLong ? 0 : 2),
            24: Self.gate(0xe5, 15 * 8, 0),
            25: Self.gate(0x0c, code, UInt64(Image.arrivals)),
            27: Self.gate(callGate, 0, UInt64(Image.arrivals)),
            29: Self.gate(0xe4, code, UInt64(Image.arrivals)),
            30: Self.segment(0x89, 0, base: UInt64(Image.thirdTask), limit: 0x20),
            32: Self.segment(0x9a, 0, limit: 0xffff), 33: Self.segment(0x92, 0, limit: 0xffff),
            34: Self.segment(0x9a, 4, limit: 0xfff), 35: Self.segment(0xfe, 0xc),
            36: Self.segment(0x9a, 0xe), 37: Self.segment(0x92, 0, base: 0x100, limit: 0x8fff),
            38: Self.segment(0x89, 0, base: UInt64(Image.thirdTask), limit: 0x67),
            40: Self.gate(0x8e, code, UInt64(Image.arrivals)), 42: Self.segment(0xfa, 0, limit: 0xffff),
            43: Self.segment(0xf2, 0, limit: 0xffff), 44: Self.segment(0xf8, 0xc), 45: Self.segment(0xf0, 0xc),
        ]
        for (index, value) in entries { put(Image.gdt + index * 8, value) }
        put(Image.ldt + 8, Self.segment(0x9a, 0xc))
        put(Image.ldt + 16, Self.segment(0x92, 0xc))
        put(Image.ldt + 24, Self.segment(0xfa, 0xc))
        put(Image.ldt + 32, Self.segment(0xf2, 0xc))
    }

    private mutating func realTable() {
        for vector in 0..<256 { put(Image.idt + vector * 4, UInt64(Image.handlers + (vector & 31) * 16), 4) }
    }

    private mutating func interruptTable() {
        let code: UInt64 = mode.isLong ? 5 * 8 : 8
        let step = mode.isLong ? 16 : 8
        for vector in 0..<64 {
            var type: UInt64 = 0x8e
            var selector = code
            switch vector {
            case 0x30: type = 0xee
            case 0x31: type = 0xef
            case 0x32: (type, selector) = mode.isLong ? (0xee, 0x28) : (0xe5, 15 * 8)
            case 0x33: type = 0x6e
            case 0x34: type = 0xec
            case 0x35: type = 0x8f
            case 0x36: type = 0xe6
            case 0x37: (type, selector) = (0xee, 0)
            case 0x38: (type, selector) = (0xee, 7 * 8)
            case 0x39: (type, selector) = (0xee, 2 * 8)
            case 0x3a: (type, selector) = (0xee, 12 * 8)
            case 0x3b: (type, selector) = (0xee, 3 * 8)
            case 0x3c: (type, selector) = (0xee, 0x1f8)
            default: break
            }
            var gate = Self.gate(type, selector, UInt64(Image.handlers + vector * 16))
            if mode.isLong, vector == 0x3d { gate |= 1 << 32 }
            put(Image.idt + vector * step, gate)
        }
    }

    private mutating func tasks() {
        if mode.isLong {
            put(Image.task + 4, UInt64(Image.innerStack))
            put(Image.task + 0x24, UInt64(Image.innerStack) - 0x80)
        } else {
            put(Image.task + 4, UInt64(Image.innerStack), 4)
            put(Image.task + 8, 16, 2)
            put(Image.task, 15 * 8, 2)
        }
        put(Image.task + 0x66, 0x68, 2)
        for (place, flags) in [(Image.otherTask, 2), (Image.thirdTask, 0x102)] as [(Int, UInt64)] {
            put(place + 4, UInt64(Image.innerStack), 4)
            put(place + 8, 16, 2)
            put(place + 0x1c, UInt64(Image.directory), 4)
            put(place + 0x20, UInt64(Image.arrivals), 4)
            put(place + 0x24, flags, 4)
            for register in 0..<8 { put(place + 0x28 + register * 4, UInt64(0x1111_1111 * (register + 1)), 4) }
            put(place + 0x38, UInt64(Image.stack) - 0x100, 4)
            for (number, selector) in [16, 8, 16, 16, 0, 16].enumerated() {
                put(place + 0x48 + number * 4, UInt64(selector), 2)
            }
            put(place + 0x60, 18 * 8, 2)
            put(place + 0x66, 0x68, 2)
        }
        put(Image.smallTask + 0x0e, UInt64(Image.arrivals), 2)
        put(Image.smallTask + 0x10, 2, 2)
        for register in 0..<8 { put(Image.smallTask + 0x12 + register * 2, UInt64(0x1111 * (register + 1)), 2) }
        put(Image.smallTask + 0x1a, UInt64(Image.stack) - 0x100, 2)
        for (number, selector) in [16, 8, 16, 16].enumerated() {
            put(Image.smallTask + 0x22 + number * 2, UInt64(selector), 2)
        }
        put(Image.smallTask + 0x2a, 18 * 8, 2)
    }

    /// PUSH vector; HLT. The number is on the stack, whatever was pushed before it.
    private mutating func handlers() {
        for vector in 0..<64 { put(Image.handlers + vector * 16, [0x6a, UInt8(vector), 0xf4]) }
        put(Image.arrivals, [0x6a, 0x77, 0xf4])
        // Where the pages with rights of their own may be entered: HLT.
        for page in 0..<16 {
            for offset in [0, 0x10, 0xffe] { put(Image.rights + page * 4096 + offset, [0xf4, 0xf4]) }
        }
    }

    // MARK: Pages

    /// Bits of the entries of the sixteen pages: P, R/W, U/S, A, D.
    static let rights: [UInt64] = [
        0x67, 0x07, 0x03, 0x01, 0x05, 0x00, 0x27, 0x47, 0x63, 0x61, 0x06, 0x02, 0x25, 0x65, 0x67, 0x66,
    ]

    private mutating func legacyTables() {
        put(Image.directory, UInt64(Image.table) | 7, 4)
        for page in 0..<(Image.length >> 12) { put(Image.table + page * 4, UInt64(page << 12) | rights(page), 4) }
    }

    private mutating func longTables() {
        for level in 0..<3 { put(Image.longTables + level * 4096, UInt64(Image.longTables + (level + 1) * 4096) | 7) }
        for page in 0..<(Image.length >> 12) {
            var entry = UInt64(page << 12) | rights(page)
            if page - (Image.rights >> 12) == 14 { entry |= 1 << 63 }
            // A reserved bit: beyond every processor's physical addresses.
            if page - (Image.rights >> 12) == 13 { entry |= 1 << 51 }
            put(Image.longTables + 0x3000 + page * 8, entry)
        }
    }

    private func rights(_ page: Int) -> UInt64 {
        let number = page - (Image.rights >> 12)
        return number >= 0 && number < 16 ? Self.rights[number] : 0x67
    }
}

extension WitnessMode {
    /// The registers that a case starts with; `from` are those after power-on.
    func registers(_ from: bp_registers) -> bp_registers {
        var state = from
        func segment(_ selector: UInt16, _ attributes: UInt16, base: UInt64 = 0, limit: UInt32 = .max) -> bp_segment {
            .init(base: base, limit: limit, selector: selector, attributes: attributes)
        }
        withUnsafeMutableBytes(of: &state.general) { general in
            for number in 0..<16 {
                let value = UInt64(0x0101_0101) * UInt64(number + 1)
                general.storeBytes(of: number < 8 || is64 ? value : 0, toByteOffset: number * 8, as: UInt64.self)
            }
            let stack = isUser ? Image.userStack : Image.stack
            general.storeBytes(of: UInt64(stack), toByteOffset: 32, as: UInt64.self)
        }
        (state.rip, state.rflags) = (UInt64(Image.code), 2)
        (state.gdtr_base, state.gdtr_limit) = (UInt64(Image.gdt), 0x17f)
        (state.idtr_base, state.idtr_limit) = (UInt64(Image.idt), self == .real ? 0x3ff : isLong ? 0x3ff : 0x1ff)
        if self == .real {
            let all = segment(0, 0x93, limit: 0xffff)
            (state.ds, state.es, state.ss, state.fs, state.gs) = (all, all, all, all, all)
            state.cs = all
            return state
        }
        state.tr = segment(13 * 8, 0x8b, base: UInt64(Image.task), limit: 0x67)
        state.ldtr = segment(18 * 8, 0x82, base: UInt64(Image.ldt), limit: 0x7f)
        state.cr0 = 0x31
        let level: UInt16 = isUser ? 3 : 0
        let data = segment(isUser ? 0x23 : 0x10, 0xc093 | level << 5)
        (state.ds, state.es, state.ss, state.fs, state.gs) = (data, data, data, data, data)
        switch self {
        case .flat, .paged: state.cs = segment(8, 0xc09b)
        case .user, .pagedUser, .compatibility: state.cs = segment(0x1b, 0xc0fb)
        case .long: state.cs = segment(0x28, 0xa09b)
        case .longUser: state.cs = segment(0x33, 0xa0fb)
        default:
            let plain = segment(0, 0xf3, limit: 0xffff)
            (state.cs, state.ds, state.es, state.ss, state.fs, state.gs) = (plain, plain, plain, plain, plain, plain)
            state.rflags = 0x3_0002 & ~0x1_0000
        }
        if self == .paged || self == .pagedUser || self == .virtual8086 {
            (state.cr3, state.cr0) = (UInt64(Image.directory), 0x8001_0031)
        }
        if isLong {
            (state.cr3, state.cr4, state.efer, state.cr0) = (UInt64(Image.longTables), 0x20, 0xd01, 0x8001_0031)
        }
        return state
    }
}
