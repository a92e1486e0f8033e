// What the operator enters by command: the host is one more client of every instance that provides "input/1".
// SAFETY for this file: the host's end is kept by its machine, which outlives its instances and their timers.

import CBackplane
import CHost

/// An event of Linux's evdev: see "input/1" in plugin.h.
public struct HostInputEvent: Equatable, Sendable {
    public var type: UInt32
    public var code: UInt32
    public var value: Int64

    public init(type: UInt32, code: UInt32, value: Int64) { (self.type, self.code, self.value) = (type, code, value) }
}

/// The host's end of an input: events, and how long after those before them, in virtual time.
final class InputEnd {
    typealias Step = (delay: UInt64, events: [HostInputEvent])
    static let limit = 4096

    let instance: PluginInstance
    let index: UInt32
    private unowned(unsafe) let machine: Machine
    private let peer: bp_peer
    private let table: UnsafePointer<bp_input>
    private var timer: bp_id?
    private var waiting: [Step] = []

    init(
        _ machine: Machine, _ instance: PluginInstance, _ index: UInt32, _ peer: bp_peer,
        _ table: UnsafePointer<bp_input>
    ) {
        (self.machine, self.instance, self.index, self.peer, self.table) = (machine, instance, index, peer, table)
    }

    /// As machine files name it.
    var name: String {
        let count = instance.description.type.provided.first { $0.interface == "input/1" }?.count ?? 1
        return count == 1 ? instance.id : "\(instance.id).\(index)"
    }

    var isThere: Bool { !instance.isOffline && instance.phase == .connected }

    /// BP_INPUT_*.
    var kinds: UInt32 {
        guard isThere else { return 0 }
        var mask: UInt32 = 0
        let status = instance.call(ch_activity_interface) { table.pointee.takes(peer.`self`, peer.index, &mask) }
        return status == 0 ? mask : 0
    }

    /// With the lock held. After what waits; false: too much does.
    func send(_ steps: [Step]) -> Bool {
        guard waiting.count + steps.count <= InputEnd.limit else { return false }
        let isIdle = waiting.isEmpty
        waiting += steps
        if isIdle { goOn() }
        return true
    }

    /// It goes off line: what waits will not come.
    func forget() { waiting = [] }

    /// What waits no longer goes to the device, up to the next wait.
    private func goOn() {
        while let step = waiting.first {
            if step.delay > 0 {
                waiting[0].delay = 0
                return wait(step.delay)
            }
            waiting.removeFirst()
            deliver(step.events)
        }
    }

    private func deliver(_ events: [HostInputEvent]) {
        guard isThere else { return }
        instance.call(ch_activity_interface) {
            for event in events { table.pointee.event(peer.`self`, peer.index, event.type, event.code, event.value) }
        }
    }

    private func wait(_ delay: UInt64) {
        if timer == nil {
            let id = machine.newID()
            let cookie = UInt64(UInt(bitPattern: Unmanaged.passUnretained(self).toOpaque()))
            if machine.timers.add(id, instance, InputEnd.fired, cookie) { timer = id }
        }
        let (deadline, overflow) = machine.clock.now.addingReportingOverflow(delay)
        // Without a timer (too many, or its instance went) nothing is held any longer.
        guard let timer, machine.timers.set(timer, of: instance, to: overflow ? .max : deadline) else {
            self.timer = nil
            return goOn()
        }
        machine.loop.timersChanged()
    }

    /// Within a callback of the instance, as its own timers are.
    private static let fired: bp_timer_handler = { _, cookie, _ in
        guard let raw = UnsafeRawPointer(bitPattern: UInt(cookie)) else { return }
        Unmanaged<InputEnd>.fromOpaque(raw).takeUnretainedValue().goOn()
    }
}

/// The host shows no lamps.
nonisolated(unsafe) private let lampTable = HostFunctions.constant(
    bp_input_client(size: HostFunctions.size(bp_input_client.self), reserved: 0, leds: { _, _, _ in }))

extension Machine {
    /// While assembling: the host's own wires to what the instance takes in.
    func reachInputs(of instance: PluginInstance) throws(MachineError) {
        guard instance.raw != nil,
            let provided = instance.description.type.provided.first(where: { $0.interface == "input/1" })
        else { return }
        for index in 0..<min(provided.count, 64) {
            let client = bp_peer(
                size: HostFunctions.size(bp_peer.self), index: 0, self: nil, functions: UnsafeRawPointer(lampTable))
            let peer = try instance.query("input/1", index, client: client)
            let known = InterfaceDescriptor.standard["input/1"]?.provider ?? []
            guard let table = wireTable.completed(peer.functions, known) else {
                throw MachineError(
                    "'\(instance.id)' gives an incomplete function table for 'input/1'", status: 4,
                    location: instance.description.location)
            }
            inputs.append(InputEnd(self, instance, index, peer, table.assumingMemoryBound(to: bp_input.self)))
        }
    }

    /// Presses keys in their order, and releases them in the opposite one after `hold` virtual nanoseconds; keys that are given while others are
    /// held come after those.
    /// - Parameters:
    ///   - keys: evdev's KEY_*.
    ///   - name: an instance, or `instance.index`; nil: the first that takes keys.
    public func press(keys: [UInt32], hold: UInt64, on name: String?) throws(MachineError) {
        try locked { () throws(MachineError) in
            let takers = inputs.filter { $0.kinds & UInt32(BP_INPUT_KEYS) != 0 }
            guard let input = takers.first(where: { name == nil || [$0.name, $0.instance.id].contains(name) }) else {
                throw MachineError(
                    name.map { "'\($0)' takes no keys" }
                        ?? "nothing in the machine takes keys (provides input/1), as the plugin i8042 does")
            }
            let end = HostInputEvent(type: UInt32(BP_EV_SYN), code: 0, value: 0)
            func events(_ keys: [UInt32], _ value: Int64) -> [HostInputEvent] {
                keys.flatMap { [HostInputEvent(type: UInt32(BP_EV_KEY), code: $0, value: value), end] }
            }
            guard input.send([(0, events(keys, 1)), (hold, events(keys.reversed(), 0))]) else {
                throw MachineError("'\(input.name)' has too many keys to press already")
            }
        }
    }
}
