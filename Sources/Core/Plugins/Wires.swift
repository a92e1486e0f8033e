// Forwarding ends between plugins, and the queue for calls into an instance that is on the call stack.
// SAFETY for this file: wires live as long as the machine; queued calls own copies of the bytes that they point to.

import CBackplane
import CHost
import Glibc

/// What the core knows of the functions that a wire forwards to.
final class WireFunctions {
    let functions: [InterfaceDescriptor.Function]
    let name: String
    init(_ name: String, _ functions: [InterfaceDescriptor.Function]) {
        self.name = name
        self.functions = functions
    }
}

/// The wires of a machine.
final class WireTable {
    private var wires: [UnsafeMutablePointer<ch_wire>] = []
    private var kept: [WireFunctions] = []

    deinit {
        for wire in wires { wire.deallocate() }
    }

    /// A peer for `caller` that forwards to `target`, whose table was checked to hold all functions of the interface.
    func forward(
        to target: bp_peer, of instance: PluginInstance, for caller: PluginInstance, _ name: String,
        _ functions: [InterfaceDescriptor.Function]
    ) -> bp_peer {
        let info = WireFunctions(name, functions)
        kept.append(info)
        let wire = UnsafeMutablePointer<ch_wire>.allocate(capacity: 1)
        wire.initialize(
            to: ch_wire(
                self: target.`self`, functions: target.functions, node: instance.node, caller: caller.node,
                machine: instance.machine.host,
                index: target.index, function_count: UInt32(functions.count),
                descriptor: Unmanaged.passUnretained(info).toOpaque(), debt: nil, asks: 0, answers: 0, forgets: 0))
        wires.append(wire)
        return bp_peer(
            size: UInt32(MemoryLayout<bp_peer>.size), index: target.index, self: wire,
            functions: ch_wire_table(UInt32(functions.count)))
    }

    /// After this nothing reaches the instance any more.
    func cut(_ instance: PluginInstance) {
        for wire in wires where wire.pointee.node == instance.node { wire.pointee.`self` = nil }
    }

    /// Whether a function table is as long as the interface, with no hole.
    static func isComplete(_ table: UnsafeRawPointer?, count: Int) -> Bool {
        guard let table else { return false }
        guard table.load(as: UInt32.self) >= UInt32(8 + 8 * count) else { return false }
        return (0..<count).allSatisfy { table.load(fromByteOffset: 8 + 8 * $0, as: UInt.self) != 0 }
    }
}

/// A call that waits until its target is off the call stack.
struct QueuedCall {
    var wire: UnsafeMutablePointer<ch_wire>
    var function: Int
    var arguments: (UInt64, UInt64, UInt64, UInt64)
    /// Copies of IN and IN_STRUCT arguments.
    var owned: [UnsafeMutableRawPointer]

    func free() { owned.forEach { $0.deallocate() } }
}

/// Bytes that calls may hold in the queue, and calls in it.
private let queueLimits = (calls: 65536, bytes: 64 << 20)

extension Machine {
    /// From a forwarding function, on a thread that holds no lock.
    func refuseCall(_ wire: UnsafeMutablePointer<ch_wire>, _ function: Int) -> UInt64 {
        guard let descriptor = wire.pointee.descriptor, let caller = wire.pointee.caller.pointee.id else { return 0 }
        let info = Unmanaged<WireFunctions>.fromOpaque(descriptor).takeUnretainedValue()
        guard info.functions.indices.contains(function) else { return 0 }
        let service = "\(info.name) \(info.functions[function].name)"
        nameBreach(String(cString: caller), service, ContractBreach.strayThread)
        return info.functions[function].result == .status ? UInt64(BP_REFUSED) : 0
    }

    /// From a forwarding function whose target is on the stack, off line or gone.
    func callLater(_ wire: UnsafeMutablePointer<ch_wire>, _ function: Int, _ arguments: UnsafePointer<UInt64>) -> UInt64
    {
        guard let descriptor = wire.pointee.descriptor else { return UInt64(BP_FAULT) }
        let info = Unmanaged<WireFunctions>.fromOpaque(descriptor).takeUnretainedValue()
        guard info.functions.indices.contains(function) else { return UInt64(BP_FAULT) }
        let signature = info.functions[function]
        let isGone = wire.pointee.`self` == nil || wire.pointee.node.pointee.is_offline != 0
        guard signature.isAsynchronous else {
            return signature.result == .status ? UInt64(isGone ? BP_REFUSED : BP_BUSY) : 0
        }
        if isGone { return 0 }
        guard queuedCalls.count < queueLimits.calls, queuedBytes < queueLimits.bytes else {
            log(.error, instance(of: wire.pointee.node)?.id, "too many calls wait for it; one is dropped")
            return 0
        }
        queuedCalls.append(copyCall(wire, function, signature, arguments))
        host.pointee.has_pending = 1
        return 0
    }

    private func copyCall(
        _ wire: UnsafeMutablePointer<ch_wire>, _ function: Int, _ signature: InterfaceDescriptor.Function,
        _ arguments: UnsafePointer<UInt64>
    ) -> QueuedCall {
        var copies = (arguments[0], arguments[1], arguments[2], arguments[3])
        var owned: [UnsafeMutableRawPointer] = []
        withUnsafeMutableBytes(of: &copies) { raw in
            let slots = raw.bindMemory(to: UInt64.self)
            for (index, type) in signature.parameters.enumerated() {
                guard let source = UnsafeRawPointer(bitPattern: UInt(slots[index])) else { continue }
                var count = 0
                if type == .inBuffer, index + 1 < 4 { count = Int(clamping: slots[index + 1]) }
                if type == .text { count = strlen(source.assumingMemoryBound(to: CChar.self)) + 1 }
                if type == .inStruct { count = Int(source.load(as: UInt32.self)) }
                guard count > 0 else { continue }
                let copy = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 16)
                copy.copyMemory(from: source, byteCount: count)
                owned.append(copy)
                queuedBytes += count
                slots[index] = UInt64(UInt(bitPattern: copy))
            }
        }
        return QueuedCall(wire: wire, function: function, arguments: copies, owned: owned)
    }

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

    private func perform(_ call: QueuedCall) {
        let wire = call.wire
        guard let target = wire.pointee.`self`, wire.pointee.node.pointee.is_offline == 0,
            let table = wire.pointee.functions
        else { return }
        typealias Function = @convention(c) (UnsafeMutableRawPointer?, UInt32, UInt64, UInt64, UInt64, UInt64) -> Void
        let function = table.load(fromByteOffset: 8 + 8 * call.function, as: Function.self)
        let frame = ch_enter(host, wire.pointee.node, ch_activity_interface, UInt64(call.function))
        function(
            target, wire.pointee.index, call.arguments.0, call.arguments.1, call.arguments.2, call.arguments.3)
        ch_leave(host, wire.pointee.node, frame)
    }

    private func endEndlessDelivery() {
        requestEnd(4, "plugins call each other without end: a million pin changes and calls after one exit")
    }
}
