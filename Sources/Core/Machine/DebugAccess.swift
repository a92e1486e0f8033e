// Registers and memory as a debugger reads and writes them.

public import CBackplane
import CHost

extension Machine {
    // MARK: Registers and memory

    public var debugCPUCount: Int { max(1, description.cpuCount) }

    /// All at one quiet point. MSRs that the CPU does not have read as 0.
    public func readRegisters(
        vcpu: Int, msrs: [UInt32] = []
    ) throws(MachineError) -> (machine: bp_registers, floating: FloatingState, msrs: [UInt64]) {
        var machine = bp_registers()
        var floating = FloatingState()
        var values: [UInt64] = []
        try onCPU(vcpu, "reading registers") { (cpu) throws(EngineError) in
            machine = try cpu.registers()
            floating = try cpu.floatingState()
            for index in msrs { values.append(try cpu.readMSR(index) ?? 0) }
        }
        return (machine, floating, values)
    }

    /// Throws what no CPU could hold, and changes nothing then. nil: stays.
    public func setRegisters(_ registers: bp_registers?, _ floating: FloatingState?, vcpu: Int) throws(MachineError) {
        try onCPU(vcpu, "writing registers") { [self] (cpu) throws(EngineError) in
            let before = try cpu.registers()
            if let registers {
                try cpu.setRegisters(registers)
                if registers.rip != before.rip { debugger.unseen.insert(vcpu) }
            }
            do throws(EngineError) {
                if let floating { try cpu.setFloatingState(floating) }
            } catch {
                if registers != nil { try cpu.setRegisters(before) }
                throw error
            }
        }
    }

    func onCPU(
        _ index: Int, _ what: String, _ body: @escaping (any CPU) throws(EngineError) -> Void
    ) throws(MachineError) {
        try whileQuiet { [self] () throws(MachineError) in
            guard cpus.indices.contains(index) else { throw MachineError("there is no vCPU \(index)") }
            do throws(EngineError) {
                try body(cpus[index])
            } catch {
                throw MachineError("\(what): \(error)", status: 6)
            }
        }
    }

    /// RAM and ROM by linear address as a CPU translates it, which is parked or the caller's own: up to the first page with a byte that is not mapped
    /// to any. With the lock held.
    func readLinear(_ address: UInt64, _ count: Int, _ cpu: any CPU) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            initialized = readLinear(address, UnsafeMutableRawBufferPointer(buffer), cpu)
        }
    }

    /// How many bytes were read.
    func readLinear(_ address: UInt64, _ bytes: UnsafeMutableRawBufferPointer, _ cpu: any CPU) -> Int {
        var done = 0
        while done < bytes.count {
            let at = address &+ UInt64(done)
            let length = min(bytes.count - done, 4096 - Int(at & 4095))
            guard let physical = try? cpu.translate(at),
                copy(physical, bytes.baseAddress.map { $0 + done }, UInt64(length), toGuest: false) == 0
            else { break }
            done += length
        }
        return done
    }

    /// RAM and ROM by linear address, up to the first byte that is not mapped to any; throws where that is the first one.
    public func readForDebugger(linear address: UInt64, count: Int, vcpu: Int) throws(MachineError) -> [UInt8] {
        var result: [UInt8] = []
        try onCPU(vcpu, "reading memory") { [self] (cpu) in result = readLinear(address, count, cpu) }
        if result.isEmpty, count > 0 {
            throw MachineError("0x\(String(address, radix: 16)) is not mapped to memory")
        }
        return result
    }

    /// RAM by linear address: all of it or, where a byte is not mapped to any, nothing.
    public func writeForDebugger(linear address: UInt64, _ bytes: [UInt8], vcpu: Int) throws(MachineError) {
        try onCPU(vcpu, "writing memory") { [self] (cpu) throws(EngineError) in
            var pieces: [(physical: UInt64, range: Range<Int>)] = []
            var done = 0
            while done < bytes.count {
                let at = address &+ UInt64(done)
                let length = min(bytes.count - done, 4096 - Int(at & 4095))
                guard let physical = try cpu.translate(at),
                    forEachPiece(physical, UInt64(length), toGuest: true, { _, _, _ in })
                else { throw EngineError("0x\(String(at, radix: 16)) is not mapped to memory that can be changed") }
                pieces.append((physical, done..<done + length))
                done += length
            }
            for piece in pieces {
                var part = Array(bytes[piece.range])
                _ = copy(piece.physical, &part, UInt64(part.count), toGuest: true)
            }
        }
    }
}
