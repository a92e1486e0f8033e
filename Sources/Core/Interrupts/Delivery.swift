// The way of a line: a device sets it (irq/1, IRQService.swift), its level as a whole changes (InterruptLines.swift), and here the edge reaches the
// controller, once no callback is on the stack. What the controller makes of it goes on in InterruptPins.swift, to the vCPU's attention word.
// Calls that waited for an instance on the stack (Plugins/Wires.swift) are delivered with the edges, in turn.
// SAFETY for this file: as in InterruptPins.swift.

import CBackplane
import CHost

extension Machine {
    /// Delivers pins and queued calls until none waits. Only where no callback is on the stack.
    @inline(never)
    func drain() {
        guard host.pointee.depth == 0 else { return }
        var budget = 1_000_000
        while host.pointee.has_pending != 0 {
            host.pointee.has_pending = 0
            while let (number, level) = lines.takeEdge() {
                deliver(number, level)
                budget -= 1
                if budget < 0 { return endEndlessDelivery() }
            }
            while !queuedCalls.isEmpty {
                let calls = queuedCalls
                queuedCalls = []
                queuedBytes = 0
                for call in calls {
                    perform(call)
                    call.free()
                }
                budget -= calls.count
                if budget < 0 { return endEndlessDelivery() }
            }
        }
    }

    private func deliver(_ number: Int, _ level: Bool) {
        let line = lines.lines[number]
        // Once disconnected it is not entered any more; before its own connect it may be (others connect earlier).
        guard !line.provider.isOffline, line.provider.phase.rawValue < PluginInstance.Phase.disconnected.rawValue,
            line.provider.raw != nil, let table = line.target.functions
        else { return }
        let functions = table.assumingMemoryBound(to: bp_irq_line.self)
        line.provider.call(ch_activity_line, UInt64(line.target.index)) {
            functions.pointee.set(line.target.`self`, line.target.index, level ? 1 : 0)
        }
    }

    private func endEndlessDelivery() {
        requestEnd(4, "plugins call each other without end: a million pin changes and calls after one exit")
    }
}
