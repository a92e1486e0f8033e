// The software CPU in a machine of its own, with pages at the places of the native side.

import Glibc
import NativeCPU

@testable import Core
@testable import EngineSoft

final class SoftSide {
    private let machine: Machine
    let engine = SoftEngine(options: .tested)
    let cpu: SoftCPU
    let bits: Int
    /// SAFETY: `ramLength` bytes between guard pages, for the life of the process.
    private let ram: UnsafeMutableRawPointer
    private static let ramLength: UInt64 = 0x40000
    // Guest-physical. The two writable pages are in the wrong order, so that an access across their edge has to translate both.
    private static let tables: UInt64 = 0x1000
    private static let codeAt: UInt64 = 0x10000
    private static let writableAt: [UInt64] = [0x22000, 0x20000]
    private static let readOnlyAt: UInt64 = 0x21000
    private static let localTableAt: UInt64 = 0x23000

    var code: UnsafeMutableRawPointer { ram + Int(SoftSide.codeAt) }
    func page(_ number: Int) -> UnsafeMutableRawPointer {
        ram + Int(number < 2 ? SoftSide.writableAt[number] : SoftSide.readOnlyAt)
    }

    init(bits: Int) throws {
        self.bits = bits
        machine = try Machine(
            MachineDescription(name: "test", cpuCount: 1, memory: 0, instances: [], watchdog: 0),
            options: MachineOptions(makeEngine: nil, log: { _, _, _ in }))
        ram = nc_guarded(SoftSide.ramLength)
        try engine.setMemory([MappedMemory(address: 0, length: SoftSide.ramLength, host: ram, isReadOnly: false)])
        cpu = try engine.makeCPU(machine.vcpus[0]) as! SoftCPU
        cpu.takeMail()
        buildTables()
        setMode()
    }

    deinit { machine.tearDown() }

    private func buildTables() {
        let entries = ram.assumingMemoryBound(to: UInt64.self)
        func set(_ level: Int, _ index: UInt64, _ value: UInt64) {
            entries[Int(SoftSide.tables) / 8 + level * 512 + Int(index)] = value
        }
        let rights: UInt64 = 7
        set(0, 0, SoftSide.tables + 0x1000 | rights)
        set(1, Places.base >> 30, SoftSide.tables + 0x2000 | rights)
        set(2, Places.base >> 21 & 511, SoftSide.tables + 0x3000 | rights)
        func map(_ linear: UInt64, _ physical: UInt64, _ rights: UInt64) {
            set(3, linear >> 12 & 511, physical | rights)
        }
        for page in stride(from: 0, to: Places.codeLength, by: 4096) {
            map(Places.code + page, SoftSide.codeAt + page, 5)
        }
        // As the host maps them: data cannot be run.
        let noExecute: UInt64 = 1 << 63
        for page in 0..<2 { map(Places.data + UInt64(page) * 4096, SoftSide.writableAt[page], 7 | noExecute) }
        map(Places.readOnly, SoftSide.readOnlyAt, 5 | noExecute)
        map(SoftSide.localTable, SoftSide.localTableAt, 3 | noExecute)
    }

    private func setMode() {
        let s = cpu.s
        let state = s.cpu
        state.pointee.cr0 = 0x8005_0033  // PG AM WP NE ET MP PE
        state.pointee.cr4 = 0x6a0  // OSXMMEXCPT OSFXSR PGE PAE
        state.pointee.cr3 = SoftSide.tables
        state.pointee.efer = 0xd01  // NXE LMA LME SCE
        state.pointee.cpl = 3
        state.pointee.systemFlags = 0x202
        let flat = SegmentRegister(base: 0, limit: .max, selector: 0x2b, attributes: 0xc0f3)
        let code = SegmentRegister(
            base: 0, limit: .max, selector: bits == 64 ? 0x33 : 0x23, attributes: bits == 64 ? 0xa0fb : 0xc0fb)
        for number in 0..<6 { s.segment(number).pointee = flat }
        s.segment(Segment.cs).pointee = code
        s.segment(Segment.gs).pointee = SegmentRegister(
            base: Places.gsBase, limit: .max, selector: 0, attributes: bits == 64 ? 0xc0f3 : 0x100)
        s.segment(Segment.fs).pointee = SegmentRegister(base: 0, limit: .max, selector: 0, attributes: 0x100)
        // No tables: what a wild jump finds there is refused, as the host's kernel refuses it.
        state.pointee.gdt = DescriptorTable()
        state.pointee.idt = DescriptorTable()
        s.segment(Segment.tr).pointee = SegmentRegister(base: 0, limit: 0, selector: 0, attributes: 0x8b)
        s.segment(Segment.ldtr).pointee.attributes = 0x100
        cpu.updateMode()
        cpu.flushTranslations(keepsGlobal: false)
    }

    /// Outside of 64-bit mode: makes limits and rights be checked at every access, without any that fails.
    func setFlat(_ isFlat: Bool) {
        guard bits == 32 else { return }
        cpu.updateMode()
        if !isFlat { cpu.s.run.pointee.mode.remove(.flat) }
    }

    private static let localTable = Places.base + 0x1f_0000

    /// Segments of an LDT, from its first entry on.
    func setLocalTable(_ descriptors: [UInt64]) {
        for (index, descriptor) in descriptors.enumerated() {
            ram.storeBytes(of: descriptor, toByteOffset: Int(SoftSide.localTableAt) + index * 8, as: UInt64.self)
        }
        cpu.s.segment(Segment.ldtr).pointee = SegmentRegister(
            base: SoftSide.localTable, limit: UInt32(descriptors.count * 8 - 1), selector: 0, attributes: 0x82)
    }

    /// Loads segment registers as if by their selectors.
    func setSegments(_ selectors: [Int: UInt16], _ register: (UInt16) -> SegmentRegister) {
        for (number, selector) in selectors { cpu.s.segment(number).pointee = register(selector) }
        cpu.updateMode()
    }

    /// Bytes of the code region have changed.
    func codeWritten(_ offset: Int, _ length: Int) {
        var at = SoftSide.codeAt + UInt64(offset)
        let end = at + UInt64(length)
        while at < end {
            let piece = min(end, (at | 0xfff) + 1) - at
            if cpu.memory.blocks.holdsCode(at) { cpu.memory.blocks.drop(at, piece) }
            at += piece
        }
    }

    /// Runs until an exception; false: out of time, and `resume` goes on.
    func run(_ state: UnsafeMutablePointer<nc_state>, single: Bool) -> Bool {
        load(state)
        cpu.s.run.pointee.chain = nil
        return resume(state, single: single, instructions: 1_000_000)
    }

    func resume(_ state: UnsafeMutablePointer<nc_state>, single: Bool, instructions: UInt64) -> Bool {
        let s = cpu.s
        let limit = s.run.pointee.executed &+ instructions
        s.run.pointee.deadline = limit
        s.run.pointee.stop = .none
        while s.run.pointee.stop == .none {
            cpu.run(from: cpu.findBlock(single: single))
            if s.run.pointee.executed &+ 64 > limit { return false }
        }
        s.run.pointee.stop = .none
        store(state)
        return true
    }

    private func load(_ state: UnsafeMutablePointer<nc_state>) {
        let s = cpu.s
        let raw = UnsafeRawPointer(state)
        for number in 0..<16 { s[UInt8(number * 8)] = raw.load(fromByteOffset: number * 8, as: UInt64.self) }
        s.rip = state.pointee.rip
        s.cpu.rflags = state.pointee.rflags
        FXImage.load(raw + FXImage.offset, s)
    }

    private func store(_ state: UnsafeMutablePointer<nc_state>) {
        let s = cpu.s
        let raw = UnsafeMutableRawPointer(state)
        for number in 0..<16 { raw.storeBytes(of: s[UInt8(number * 8)], toByteOffset: number * 8, as: UInt64.self) }
        state.pointee.rip = s.rip
        state.pointee.rflags = s.cpu.rflags
        state.pointee.cs = s.segment(Segment.cs).pointee.selector
        state.pointee.ss = s.segment(Segment.ss).pointee.selector
        state.pointee.ds = s.segment(Segment.ds).pointee.selector
        state.pointee.es = s.segment(Segment.es).pointee.selector
        let fault = s.run.pointee.fault
        state.pointee.vector = UInt64(fault.vector)
        state.pointee.error = fault.hasCode ? UInt64(fault.code) : 0
        state.pointee.cr2 = s.cpu.pointee.cr2
        FXImage.store(raw + FXImage.offset, s)
    }
}

/// x87 and SSE state between the engine's memory and an FXSAVE image (SDM volume 1, table 10-2).
enum FXImage {
    static let offset = MemoryLayout<nc_state>.offset(of: \nc_state.fx)!

    static func load(_ image: UnsafeRawPointer, _ s: S) {
        let x87 = s.cpu
        x87.pointee.x87.control = image.load(fromByteOffset: 0, as: UInt16.self)
        x87.pointee.x87.status = image.load(fromByteOffset: 2, as: UInt16.self)
        x87.pointee.x87.notEmpty = image.load(fromByteOffset: 4, as: UInt8.self)
        x87.pointee.mxcsr = image.load(fromByteOffset: 24, as: UInt32.self)
        let top = Int(x87.pointee.x87.status >> 11 & 7)
        for number in 0..<8 {
            memcpy(s + Layout.x87 + ((top + number) & 7) * 16, image + 32 + number * 16, 16)
        }
        s.copyVectors(from: image + 160, count: 16)
    }

    static func store(_ image: UnsafeMutableRawPointer, _ s: S) {
        let x87 = s.cpu
        image.storeBytes(of: x87.pointee.x87.control, toByteOffset: 0, as: UInt16.self)
        image.storeBytes(of: x87.pointee.x87.status, toByteOffset: 2, as: UInt16.self)
        image.storeBytes(of: x87.pointee.x87.notEmpty, toByteOffset: 4, as: UInt8.self)
        image.storeBytes(of: x87.pointee.mxcsr, toByteOffset: 24, as: UInt32.self)
        let top = Int(x87.pointee.x87.status >> 11 & 7)
        for number in 0..<8 {
            memcpy(image + 32 + number * 16, s + Layout.x87 + ((top + number) & 7) * 16, 16)
        }
        s.copyVectors(to: image + 160, count: 16)
    }
}
