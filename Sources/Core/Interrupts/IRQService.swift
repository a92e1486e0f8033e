// irq/1: what devices and controllers ask of interrupt lines and pins.

import CBackplane

extension ServiceTables {
    nonisolated(unsafe) static let irq = HostFunctions.constant(
        bp_irq_1(
            size: HostFunctions.size(bp_irq_1.self), reserved: 0,
            line: { host, slot, position, out in
                guard let end = PluginInstance.of(host).wire(slot, position), let out else {
                    return status(BP_NOT_FOUND)
                }
                guard let line = end.line else { return status(BP_INVALID) }
                // An id is the driver's place on its line: both are small.
                out.pointee = UInt64(line + 1) << 32 | UInt64(end.driver)
                return status(BP_OK)
            },
            set: { host, id, level in
                PluginInstance.with(host) { $0.drive(id) { $0.set($1, driver: $2, level != 0) } }
            },
            pulse: { host, id in
                PluginInstance.of(host).drive(id) { lines, line, driver in
                    let up = lines.set(line, driver: driver, true)
                    let down = lines.set(line, driver: driver, false)
                    return up || down
                }
            },
            output: { host, vcpu, level in
                let instance = PluginInstance.of(host)
                return instance.machine.setOutput(of: instance, vcpu, level != 0)
            },
            nmi: { host, vcpu in PluginInstance.of(host).machine.raiseNMI(vcpu) }))
}

extension PluginInstance {
    /// Changes a line that this instance drives; the edge is delivered when no callback is on the stack.
    fileprivate func drive(_ id: bp_id, _ change: (inout InterruptLines, Int, Int) -> Bool) -> bp_status {
        let (line, driver) = (Int(id >> 32) - 1, Int(id & 0xffff_ffff))
        guard machine.lines.isDriver(self, line, driver) else { return status(BP_NOT_FOUND) }
        if change(&machine.lines, line, driver) { machine.host.pointee.has_pending = 1 }
        return status(BP_OK)
    }
}
