// CR0, CR3, CR4, CR8 and XCR0, and what invalidates translations. Source: SDM volume 3, 2.5, 2.6, 4.1.2, 4.4.1, 4.10.4, 10.8.3;
// volume 2, MOV CR, LMSW, SMSW, CLTS, INVLPG, INVPCID, XSETBV.

import CBackplane

let moveFromControl: Handler = { s, p in call(s, p) { $0.moveFromControl(p) } }
let moveToControl: Handler = { s, p in call(s, p) { $0.moveToControl(p) } }
let storeMachineStatus: Handler = { s, p in call(s, p) { $0.storeMachineStatus(p) } }
let loadMachineStatus: Handler = { s, p in call(s, p) { $0.loadMachineStatus(p) } }
let clearTaskSwitched: Handler = { s, p in call(s, p) { $0.clearTaskSwitched(p) } }
let invalidatePage: Handler = { s, p in call(s, p) { $0.invalidatePage(p) } }
let invalidatePCID: Handler = { s, p in call(s, p) { $0.invalidatePCID(p) } }
let invalidateCaches: Handler = { s, p in call(s, p) { $0.invalidateCaches(p) } }
let getExtendedControl: Handler = { s, p in call(s, p) { $0.getExtendedControl(p) } }
let setExtendedControl: Handler = { s, p in call(s, p) { $0.setExtendedControl(p) } }

extension SoftCPU {
    // MARK: MOV CR

    func moveFromControl(_ p: P) -> P {
        guard s.cpu.pointee.cpl == 0 else { return raise(s, p, Vector.gp, code: 0) }
        let number = p.op.pointee.which
        var exit = bp_exit()
        var value = control(number)
        switch ask(BP_EXIT_CR, p, UInt64(number), &exit, { $0.value = value }) {
        case .proceed: break
        case .answered: value = exit.value
        case .raised: return abort(s, p)
        }
        put(p.op.pointee.src, value, size: is64 ? 8 : 4)
        return go(p)
    }

    private func control(_ number: Int) -> UInt64 {
        switch number {
        case 0: s.cpu.pointee.cr0
        case 2: s.cpu.pointee.cr2
        case 3: s.cpu.pointee.cr3
        case 4: s.cpu.pointee.cr4
        default: s.cpu.pointee.cr8
        }
    }

    func moveToControl(_ p: P) -> P {
        guard s.cpu.pointee.cpl == 0 else { return raise(s, p, Vector.gp, code: 0) }
        let value = s[p.op.pointee.src] & (is64 ? .max : 0xffff_ffff)
        return setControl(p.op.pointee.which, value, p)
    }

    /// Writes a control register, after policies were asked.
    private func setControl(_ number: Int, _ value: UInt64, _ p: P) -> P {
        var exit = bp_exit()
        let answer = ask(BP_EXIT_CR, p, UInt64(number), &exit) {
            $0.value = value
            $0.flags |= UInt16(BP_EXITF_WRITE)
        }
        switch answer {
        case .proceed: break
        case .answered: return retire(s, p)
        case .raised: return abort(s, p)
        }
        let isDone: Bool
        switch number {
        case 0: isDone = setCR0(value)
        case 2:
            s.cpu.pointee.cr2 = value
            isDone = true
        case 3: isDone = setCR3(value)
        case 4: isDone = setCR4(value)
        default:
            isDone = value <= 15
            if isDone { s.cpu.pointee.cr8 = value }
        }
        guard isDone else { return raise(s, p, Vector.gp, code: 0) }
        return retire(s, p)
    }

    // MARK: CR0

    /// false: #GP(0) is due and nothing has changed.
    func setCR0(_ wanted: UInt64) -> Bool {
        let cpu = s.cpu
        guard wanted >> 32 == 0 else { return false }
        let value = wanted & CR0.defined | CR0.et
        let old = cpu.pointee.cr0
        let isPaging = value & CR0.pg != 0
        if isPaging, value & CR0.pe == 0 { return false }
        if value & CR0.nw != 0, value & CR0.cd == 0 { return false }
        var efer = cpu.pointee.efer
        let entersLong = efer & EFER.lme != 0 && isPaging && old & CR0.pg == 0
        if entersLong {
            // SDM volume 3, 10.8.5.
            let task = s.segment(Segment.tr).pointee
            guard cpu.pointee.cr4 & CR4.pae != 0, !s.segment(Segment.cs).pointee.isLong,
                task.type & 8 != 0 || !task.isUsable
            else { return false }
            efer |= EFER.lma
        }
        if !isPaging, old & CR0.pg != 0 {
            guard !is64, cpu.pointee.cr4 & CR4.pcide == 0 else { return false }
            efer &= ~EFER.lma
        }
        let changed = old ^ value
        let readsPointers = isPaging && efer & EFER.lma == 0 && cpu.pointee.cr4 & CR4.pae != 0
        if readsPointers, changed & (CR0.pg | CR0.cd | CR0.nw) != 0 {
            guard loadPageDirectoryPointers(cpu.pointee.cr3) else { return false }
        }
        cpu.pointee.cr0 = value
        cpu.pointee.efer = efer
        if changed & (CR0.pg | CR0.wp | CR0.pe) != 0 { flushTranslations(keepsGlobal: false) }
        updateMode()
        return true
    }

    /// SMSW, which UMIP takes away from user mode.
    func storeMachineStatus(_ p: P) -> P {
        guard mayStoreSystem else { return raise(s, p, Vector.gp, code: 0) }
        return store16(p, s.cpu.pointee.cr0) ? following(p) : abort(s, p)
    }

    /// CR4.UMIP: SGDT, SIDT, SLDT, SMSW and STR need ring 0.
    var mayStoreSystem: Bool { s.cpu.pointee.cr4 & CR4.umip == 0 || s.cpu.pointee.cpl == 0 }

    func loadMachineStatus(_ p: P) -> P {
        guard s.cpu.pointee.cpl == 0 else { return raise(s, p, Vector.gp, code: 0) }
        guard let word = operand16(p) else { return abort(s, p) }
        // PE can be set and not cleared.
        let old = s.cpu.pointee.cr0
        return setControl(0, old & ~0xe | UInt64(word) & 0xf, p)
    }

    func clearTaskSwitched(_ p: P) -> P {
        guard s.cpu.pointee.cpl == 0 else { return raise(s, p, Vector.gp, code: 0) }
        return setControl(0, s.cpu.pointee.cr0 & ~CR0.ts, p)
    }

    // MARK: CR3

    func setCR3(_ wanted: UInt64) -> Bool {
        let cpu = s.cpu
        var value = wanted
        if isLongMode {
            // Bit 63 with PCIDs allows translations to stay, and is not stored.
            if cpu.pointee.cr4 & CR4.pcide != 0 { value &= ~(1 << 63) }
            guard value & ~PageWalk.physicalMask == 0 else { return false }
        } else if cpu.pointee.cr0 & CR0.pg != 0, cpu.pointee.cr4 & CR4.pae != 0 {
            guard loadPageDirectoryPointers(value) else { return false }
        }
        cpu.pointee.cr3 = value
        flushTranslations(keepsGlobal: true)
        return true
    }

    /// false: one of them has reserved bits set; nothing has changed.
    func loadPageDirectoryPointers(_ cr3: UInt64) -> Bool {
        let table = cr3 & 0xffff_ffe0
        var entries: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &entries) { bytes in
            for index in 0..<4 {
                let entry = memory.readPhysical(s, table &+ UInt64(index * 8), 8)
                bytes.storeBytes(of: entry, toByteOffset: index * 8, as: UInt64.self)
            }
        }
        guard SoftCPU.isValid(entries) else { return false }
        s.cpu.pointee.pageDirectoryPointers = entries
        return true
    }

    /// Entries that are present have no reserved bits.
    static func isValid(_ entries: (UInt64, UInt64, UInt64, UInt64)) -> Bool {
        [entries.0, entries.1, entries.2, entries.3].allSatisfy {
            $0 & 1 == 0 || $0 & (~PageWalk.physicalMask | 0x1e6) == 0
        }
    }

    // MARK: CR4

    /// The bits that this CPU has.
    static let cr4Bits: UInt64 =
        CR4.vme | CR4.pvi | CR4.tsd | CR4.de | CR4.pse | CR4.pae | CR4.mce | CR4.pge | CR4.pce | CR4.osfxsr
        | CR4.osxmmexcpt
        | CR4.umip
        | CR4.fsgsbase | CR4.pcide | CR4.osxsave | CR4.smep | CR4.smap

    func setCR4(_ value: UInt64) -> Bool {
        let cpu = s.cpu
        let changed = cpu.pointee.cr4 ^ value
        guard value & ~SoftCPU.cr4Bits == 0 else { return false }
        if isLongMode, value & CR4.pae == 0 { return false }
        if changed & value & CR4.pcide != 0, !isLongMode || cpu.pointee.cr3 & 0xfff != 0 { return false }
        let paging = CR4.pse | CR4.pae | CR4.pge | CR4.smep | CR4.smap | CR4.pcide
        if !isLongMode, cpu.pointee.cr0 & CR0.pg != 0, value & CR4.pae != 0,
            changed & (CR4.pae | CR4.pge | CR4.pse | CR4.smep) != 0
        {
            guard loadPageDirectoryPointers(cpu.pointee.cr3) else { return false }
        }
        cpu.pointee.cr4 = value
        if changed & paging != 0 { flushTranslations(keepsGlobal: false) }
        updateMode()
        return true
    }

    // MARK: Invalidation

    func invalidatePage(_ p: P) -> P {
        guard s.cpu.pointee.cpl == 0 else { return raise(s, p, Vector.gp, code: 0) }
        let address = linear(s, p)
        if let end = ask(BP_EXIT_INVLPG, p, address) { return end }
        flushTranslation(of: address)
        return retire(s, p)
    }

    func invalidatePCID(_ p: P) -> P {
        guard s.cpu.pointee.cpl == 0 else { return raise(s, p, Vector.gp, code: 0) }
        let kind = s[p.op.pointee.dst] & (is64 ? .max : 0xffff_ffff)
        let address = linear(s, p)
        guard let pcid = s.read(p, address, as: UInt64.self),
            let page = s.read(p, (address &+ 8) & s.run.pointee.linearMask, as: UInt64.self)
        else { return abort(s, p) }
        let hasPCIDs = s.cpu.pointee.cr4 & CR4.pcide != 0
        let isValid: Bool
        switch kind {
        case 0: isValid = pcid >> 12 == 0 && SoftMemory.isCanonical(page) && (hasPCIDs || pcid == 0)
        case 1: isValid = pcid >> 12 == 0 && (hasPCIDs || pcid == 0)
        default: isValid = kind <= 3 && pcid >> 12 == 0
        }
        guard isValid else { return raise(s, p, Vector.gp, code: 0) }
        if let end = ask(BP_EXIT_INVPCID, p, kind) { return end }
        // More than asked for may go (SDM volume 3, 4.10.4.2).
        if kind == 0 { flushTranslation(of: page) } else { flushTranslations(keepsGlobal: kind != 2) }
        return retire(s, p)
    }

    /// INVD and WBINVD: there is no cache that a guest could see.
    func invalidateCaches(_ p: P) -> P {
        guard s.cpu.pointee.cpl == 0 else { return raise(s, p, Vector.gp, code: 0) }
        if let end = ask(BP_EXIT_WBINVD, p) { return end }
        return go(p)
    }

    // MARK: XCR0

    /// x87 and SSE.
    static let xcr0Bits: UInt64 = 3

    func getExtendedControl(_ p: P) -> P {
        guard s.cpu.pointee.cr4 & CR4.osxsave != 0 else { return raise(s, p, Vector.ud) }
        guard s[Register.rcx] & 0xffff_ffff == 0 else { return raise(s, p, Vector.gp, code: 0) }
        putPair(s.cpu.pointee.xcr0)
        return following(p)
    }

    func setExtendedControl(_ p: P) -> P {
        guard s.cpu.pointee.cr4 & CR4.osxsave != 0 else { return raise(s, p, Vector.ud) }
        let index = s[Register.rcx] & 0xffff_ffff
        let value = pair
        guard s.cpu.pointee.cpl == 0, index == 0, value & 1 != 0, value & ~SoftCPU.xcr0Bits == 0 else {
            return raise(s, p, Vector.gp, code: 0)
        }
        var exit = bp_exit()
        let answer = ask(BP_EXIT_XSETBV, p, index, &exit) {
            $0.value = value
            $0.flags |= UInt16(BP_EXITF_WRITE)
        }
        switch answer {
        case .raised: return abort(s, p)
        case .answered: break
        case .proceed: s.cpu.pointee.xcr0 = value
        }
        return retire(s, p)
    }

    /// EDX:EAX
    var pair: UInt64 { s[Register.rdx] << 32 | s[Register.rax] & 0xffff_ffff }

    func putPair(_ value: UInt64) {
        s[Register.rax] = value & 0xffff_ffff
        s[Register.rdx] = value >> 32
    }
}
