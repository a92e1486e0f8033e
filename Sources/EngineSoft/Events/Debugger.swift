// The debugger's breakpoints and watchpoints. Breakpoints are of linear addresses and leave no trace in guest memory: decoded blocks end
// before an instruction whose address has the same bits 11:0 as one of them, whatever page it lies in, since blocks belong to physical
// pages; the block that begins there asks first.

import Core

/// The first operation of a block that may begin at a breakpoint.
let breakpointCheck: Handler = { s, p in call(s, p) { $0.checkBreakpoint(p) } }

extension SoftCPU {
    /// Whether the instruction that `source` would get next begins at the offset of a breakpoint.
    func mayStop(_ source: BlockSource) -> Bool {
        !breakpointOffsets.isEmpty
            && breakpointOffsets.contains((source.pageOffset &+ UInt64(source.length)) & 0xfff)
    }

    func checkBreakpoint(_ p: P) -> P {
        guard isBreakpoint(fetchLinear(s.rip)) else { return following(p) }
        rewind(s, p)
        return stopAtBreakpoint()
    }

    @inline(never)
    func isBreakpoint(_ linear: UInt64) -> Bool {
        debug.breakpoints.contains(linear) || hardwareHits(linear) != 0
    }

    /// Execute breakpoints among `DebugControl.hardware`, as bits of DR6.
    private func hardwareHits(_ linear: UInt64) -> UInt64 {
        var hits: UInt64 = 0
        for (number, breakpoint) in debug.hardware.enumerated()
        where breakpoint.kind == .execute && breakpoint.address == linear {
            hits |= 1 << UInt64(number)
        }
        return hits
    }

    /// RIP is at the instruction.
    func stopAtBreakpoint() -> P {
        let hits = hardwareHits(fetchLinear(s.rip))
        let kind: DebugEvent.Kind = hits == 0 ? .softwareBreakpoint : .hardwareBreakpoint
        runEnd = .debug(DebugEvent(kind: kind, rip: s.rip, dr6: hits))
        s.run.pointee.stop = .end
        return toRunLoop
    }

    /// Between runs. Decoded code is dropped where it lacks the checks of a new breakpoint, and where it has checks for none.
    func adopt(_ control: DebugControl) {
        debug = control
        let executes = control.hardware.filter { $0.kind == .execute }.map(\.address)
        let offsets = Set((control.breakpoints + executes).map { $0 & 0xfff })
        hasBreakpoints = !offsets.isEmpty
        let isOver = control == DebugControl() && !breakpointOffsets.isEmpty
        if isOver || !offsets.isSubset(of: breakpointOffsets) {
            breakpointOffsets = isOver ? [] : offsets.union(breakpointOffsets)
            emptyArena()
        }
        var addresses: [UInt64] = [0, 0, 0, 0]
        var bits: UInt64 = 0
        for (number, breakpoint) in control.hardware.prefix(4).enumerated() where breakpoint.kind != .execute {
            addresses[number] = breakpoint.address
            bits |= DR7.global(number, breakpoint.condition, length: UInt64(breakpoint.length)) ?? 0
        }
        s.run.pointee.watch = (addresses[0], addresses[1], addresses[2], addresses[3])
        s.run.pointee.watchControl = bits
        updateMode()
    }
}
