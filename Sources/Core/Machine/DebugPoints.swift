// Breakpoints and watchpoints of a debugger, and how vCPUs are told of them: the engine's own, debug registers, or INT3 in memory.
// Source: SDM volume 3, chapter 17.

extension Machine {
    /// Debug registers of a CPU.
    static let debugRegisterCount = 4
    /// More than a person sets; each is looked at whenever the guest goes on.
    private static let debugPointLimit = 4096
    private static let int3: UInt8 = 0xcc

    // MARK: Breakpoints and watchpoints

    /// Throws where the CPU has no debug register left, and where this host's engine has no such breakpoints. Setting it again changes nothing.
    public func insert(_ point: DebugPoint) throws(MachineError) {
        try whileQuiet { [self] () throws(MachineError) in
            if debugger.points.contains(point) { return }
            guard debugger.points.count < Machine.debugPointLimit else {
                throw MachineError("there are \(Machine.debugPointLimit) breakpoints already")
            }
            if let problem = engine?.problem(with: point.kind) { throw MachineError(problem) }
            if !point.isCode, point.length == 0 || point.address.addingReportingOverflow(point.length - 1).overflow {
                throw MachineError("a watchpoint has 1 byte or more")
            }
            let needed = registersNeeded(debugger.points + [point], cpus)
            guard needed <= Machine.debugRegisterCount else {
                let reason = point.kind == .software ? "no memory that can be changed is mapped there, and " : ""
                throw MachineError("\(reason)the CPU has \(Machine.debugRegisterCount) debug registers")
            }
            debugger.points.append(point)
        }
    }

    /// False: there was none.
    public func remove(_ point: DebugPoint) throws(MachineError) -> Bool {
        var isFound = false
        try whileQuiet { [self] in
            isFound = debugger.points.contains(point)
            debugger.points.removeAll { $0 == point }
        }
        return isFound
    }

    func registersNeeded(_ points: [DebugPoint], _ cpus: [any CPU]) -> Int {
        var needed = 0
        for point in points {
            switch point.kind {
            case .software: needed += hasLinearBreakpoints || patchPlace(point.address, cpus) != nil ? 0 : 1
            case .hardware: needed += 1
            case .write, .read, .access: needed += Machine.pieces(point, limit: Machine.debugRegisterCount + 1).count
            }
        }
        return needed
    }

    var hasLinearBreakpoints: Bool { engine?.abilities.linearBreakpoints == true }

    /// What debug registers can hold of a watched range: aligned pieces of 1, 2, 4 and 8 bytes.
    static func pieces(_ point: DebugPoint, limit: Int) -> [DebugControl.Hardware] {
        var pieces: [DebugControl.Hardware] = []
        var address = point.address
        var left = point.length
        while left > 0, pieces.count < limit {
            var length: UInt64 = 8
            while length > left || address % length != 0 { length /= 2 }
            pieces.append(
                DebugControl.Hardware(
                    address: address, length: UInt8(length), kind: point.kind == .write ? .write : .access))
            address = address &+ length
            left -= length
        }
        return pieces
    }

    // MARK: What vCPUs are told; with the lock held, while they are parked

    /// On a vCPU's thread, before it runs the guest.
    func armDebugger(_ index: Int, _ cpu: any CPU) {
        if debugger.isIdle, debugger.patches.isEmpty { return }
        while debugger.armed.count < cpus.count { debugger.armed.append(DebuggerState.Armed()) }
        if !hasLinearBreakpoints { assignRegisters(cpu) }
        let armed = control(of: index, cpu)
        if !hasLinearBreakpoints { patch(cpu) }
        guard armed.control != debugger.armed[index].control else {
            debugger.armed[index] = armed
            return
        }
        do throws(EngineError) {
            try cpu.setDebug(armed.control)
            debugger.armed[index] = armed
        } catch {
            log(.error, nil, "the debugger's breakpoints: \(error)")
        }
    }

    private func control(of index: Int, _ cpu: any CPU) -> DebuggerState.Armed {
        let linear = linearRIP(cpu)
        var passed: UInt64?
        if let from = debugger.passing[index], linear.rip == from,
            debugger.passingPatch[index] != nil || codePoint(at: linear.linear) != nil
        {
            passed = linear.linear
        } else {
            debugger.passing[index] = nil
            debugger.passingPatch[index] = nil
        }
        debugger.passedPlace[index] = debugger.passingPatch[index] ?? passed.flatMap { patchPlace($0, [cpu]) }
        var armed = DebuggerState.Armed()
        armed.control.singleStep = debugger.stepping == index || passed != nil
        // In HLT an interrupt is all that a step can wait for.
        armed.control.holdsInterrupts = armed.control.singleStep && !debugger.halted.contains(index)
        for point in debugger.points where !point.isCode {
            for piece in Machine.pieces(point, limit: Machine.debugRegisterCount) { arm(piece, point, &armed) }
        }
        for point in debugger.points where point.isCode && point.address != passed {
            if hasLinearBreakpoints {
                armed.control.breakpoints.insert(point.address)
            } else if point.kind == .hardware || debugger.registered.contains(point.address) {
                arm(DebugControl.Hardware(address: point.address, length: 1, kind: .execute), point, &armed)
            }
        }
        // Also while this vCPU passes the only one: another may meet it.
        armed.control.softwareBreakpoints = !hasLinearBreakpoints && debugger.points.contains { $0.kind == .software }
        return armed
    }

    /// Which software breakpoints take a debug register: those where no memory can be changed, and in real mode as many as there are
    /// registers, because there are KVMs that emulate real mode and give the INT3 to the guest.
    private func assignRegisters(_ cpu: any CPU) {
        debugger.registered = []
        let software = debugger.points.filter { $0.kind == .software }
        var free = Machine.debugRegisterCount - registersNeeded(debugger.points, [cpu])
        let isReal = ((try? cpu.registers())?.cr0 ?? CR0.pe) & CR0.pe == 0
        for point in software {
            if patchPlace(point.address, [cpu]) == nil {
                debugger.registered.insert(point.address)
            } else if isReal, free > 0 {
                debugger.registered.insert(point.address)
                free -= 1
            }
        }
    }

    private func arm(_ register: DebugControl.Hardware, _ point: DebugPoint, _ armed: inout DebuggerState.Armed) {
        guard armed.control.hardware.count < Machine.debugRegisterCount else {
            log(.warning, nil, "no debug register is left for the breakpoint at 0x\(String(point.address, radix: 16))")
            return
        }
        armed.control.hardware.append(register)
        armed.hardware.append(point)
    }

    func codePoint(at linear: UInt64) -> DebugPoint? {
        debugger.points.first { $0.isCode && $0.address == linear }
    }

    func linearRIP(_ cpu: any CPU) -> (rip: UInt64, linear: UInt64) {
        guard let registers = try? cpu.registers() else { return (0, 0) }
        return (registers.rip, registers.linearRIP)
    }

    // MARK: INT3 in memory, where the engine has nothing better

    /// Guest-physical, of RAM that can be changed; nil: none is mapped there by these CPUs, which are parked or the caller's own.
    private func patchPlace(_ linear: UInt64, _ cpus: [any CPU]) -> UInt64? {
        for cpu in cpus {
            guard let physical = try? cpu.translate(linear) else { continue }
            // What is read there is what is written there.
            guard let written = exits.map.memory(at: physical, isWrite: true), !written.isReadOnly,
                exits.map.memory(at: physical, isWrite: false)?.backing == written.backing
            else { continue }
            return physical
        }
        return nil
    }

    private func patch(_ cpu: any CPU) {
        let passed = Set(debugger.passedPlace.values)
        for place in passed { unpatch(place) }
        for point in debugger.points where point.kind == .software && !debugger.registered.contains(point.address) {
            guard let place = patchPlace(point.address, [cpu]), debugger.patches[place] == nil, !passed.contains(place),
                let byte = byte(at: place)
            else { continue }
            debugger.patches[place] = byte
            setByte(Machine.int3, at: place)
        }
    }

    /// At every quiet point: nobody but the guest itself sees the INT3s.
    func unpatchAll() {
        for place in debugger.patches.keys { unpatch(place) }
    }

    private func unpatch(_ place: UInt64) {
        guard let byte = debugger.patches.removeValue(forKey: place) else { return }
        // What the guest or a device has written over it stays.
        if self.byte(at: place) == Machine.int3 { setByte(byte, at: place) }
    }

    private func byte(at address: UInt64) -> UInt8? {
        var byte: UInt8 = 0
        return copy(address, &byte, 1, toGuest: false) == 0 ? byte : nil
    }

    private func setByte(_ value: UInt8, at address: UInt64) {
        var byte = value
        _ = copy(address, &byte, 1, toGuest: true)
    }
}
