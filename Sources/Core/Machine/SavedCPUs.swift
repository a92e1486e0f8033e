// A virtual CPU's state out of a machine and into one, at a quiet point.

extension Machine {
    /// Throws where an access of this vCPU waits for its answer, too.
    public func saveCPU(_ vcpu: Int) throws(MachineError) -> StateBuffer {
        var saved = StateBuffer(version: 0)
        try onCPU(vcpu, "saving a CPU") { (cpu) throws(EngineError) in saved = try cpu.save() }
        return saved
    }

    /// Leaves the CPU as it was where it throws. One that waits in HLT goes on as what it has become.
    public func loadCPU(_ saved: StateBuffer, vcpu: Int) throws(MachineError) {
        try onCPU(vcpu, "loading a CPU") { [self] (cpu) throws(EngineError) in
            try cpu.load(saved)
            state.cpuLoads &+= 1
        }
    }
}
