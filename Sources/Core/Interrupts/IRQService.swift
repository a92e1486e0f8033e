// irq/1: what devices and controllers ask of interrupt lines and pins.

import CBackplane

extension ServiceTables {
    nonisolated(unsafe) static let irq = HostFunctions.constant(
        bp_irq_1(
            size: HostFunctions.size(bp_irq_1.self), reserved: 0,
            line: { host, slot, position, out in
                PluginInstance.serve(host, "irq/1 line") { owner in
                    guard let out else { return owner.refuse("irq/1 line", "out", "is NULL") }
                    guard owner.slotIndex(slot) != nil else { return owner.refuseSlot("irq/1 line", slot) }
                    guard let end = owner.wire(slot, position) else { return status(BP_NOT_FOUND) }
                    guard let line = end.line else { return owner.refuse("irq/1 line", "slot", "is not of irq-line/1") }
                    // An id is the driver's place on its line: both are small.
                    out.pointee = UInt64(line + 1) << 32 | UInt64(end.driver)
                    return status(BP_OK)
                }
            },
            set: { host, id, level in
                PluginInstance.serve(host, "irq/1 set", .onceCreated) {
                    $0.drive("irq/1 set", id) { $0.set($1, driver: $2, level != 0) }
                }
            },
            pulse: { host, id in
                PluginInstance.serve(host, "irq/1 pulse", .onceCreated) {
                    $0.drive("irq/1 pulse", id) { lines, line, driver in
                        let up = lines.set(line, driver: driver, true)
                        let down = lines.set(line, driver: driver, false)
                        return up || down
                    }
                }
            },
            output: { host, vcpu, level in
                PluginInstance.serve(host, "irq/1 output", .onceCreated) { owner in
                    guard owner.machine.vcpus.indices.contains(Int(vcpu)) else {
                        return owner.refuseCPU("irq/1 output", vcpu)
                    }
                    let answer = owner.machine.setOutput(of: owner, vcpu, level != 0)
                    guard answer == status(BP_REFUSED) else { return answer }
                    let why =
                        "goes nowhere: neither 'cpu: interrupts:' names this instance, nor is another wired to it as a controller"
                    return owner.refuse("irq/1 output", "INTR", why, BP_REFUSED)
                }
            },
            nmi: { host, vcpu in
                PluginInstance.serve(host, "irq/1 nmi", .onceCreated) { owner in
                    let answer = owner.machine.raiseNMI(vcpu)
                    return answer == 0 ? answer : owner.refuseCPU("irq/1 nmi", vcpu)
                }
            }))
}

extension PluginInstance {
    /// Changes a line that this instance drives; the edge is delivered when no callback is on the stack.
    fileprivate func drive(
        _ service: StaticString, _ id: bp_id, _ change: (inout InterruptLines, Int, Int) -> Bool
    ) -> bp_status {
        let (line, driver) = (Int(id >> 32) - 1, Int(id & 0xffff_ffff))
        guard machine.lines.isDriver(self, line, driver) else { return refuse(service, id: id, "line") }
        if change(&machine.lines, line, driver) { machine.host.pointee.has_pending = 1 }
        return status(BP_OK)
    }
}
