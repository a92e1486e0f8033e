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

/// A slot of one instance and the slot of another that takes its wires over.
struct SlotPair {
    var old: Int
    var new: Int
    /// What the other's slot is called by; nil: its interface has no such functions.
    var client: UnsafeRawPointer?
}

/// The wires of a machine.
final class WireTable {
    private var wires: [UnsafeMutablePointer<ch_wire>] = []
    private var kept: [WireFunctions] = []
    /// Tables that stand for shorter ones of older plugins.
    private var completions: [UnsafeMutableRawPointer] = []

    deinit {
        for wire in wires { wire.deallocate() }
        for table in completions { table.deallocate() }
    }

    /// The table with something to call for each function of the interface: where it ends before functions that were appended later, or
    /// holds NULL for one, a copy whose missing functions answer BP_UNSUPPORTED, 0 or nothing. nil: it lacks one that every table has.
    func completed(_ table: UnsafeRawPointer?, _ functions: [InterfaceDescriptor.Function]) -> UnsafeRawPointer? {
        let size = table.map { Int($0.load(as: UInt32.self)) } ?? 0
        let entries = functions.indices.map { index -> UInt in
            guard let table, 8 + 8 * (index + 1) <= size else { return 0 }
            return table.load(fromByteOffset: 8 + 8 * index, as: UInt.self)
        }
        if let table, entries.allSatisfy({ $0 != 0 }) { return table }
        guard zip(entries, functions).allSatisfy({ $0 != 0 || $1.since > 0 }) else { return nil }
        let copy = UnsafeMutableRawPointer.allocate(byteCount: 8 + 8 * functions.count, alignment: 8)
        completions.append(copy)
        copy.storeBytes(of: UInt32(8 + 8 * functions.count), as: UInt32.self)
        copy.storeBytes(of: 0, toByteOffset: 4, as: UInt32.self)
        for (index, entry) in entries.enumerated() {
            let stub = UInt(bitPattern: ch_wire_stub(functions[index].result == .status ? Int32(BP_UNSUPPORTED) : 0))
            copy.storeBytes(of: entry != 0 ? entry : stub, toByteOffset: 8 + 8 * index, as: UInt.self)
        }
        return UnsafeRawPointer(copy)
    }

    /// A peer for `caller` that forwards to `target`, whose table holds all functions of the interface.
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

    /// At a quiet point: what calls `old` by the slot `slots` of them calls the same one of `new`, and what `old` calls is `new`'s to call too. No
    /// instance is wired to an end of `old`'s own. Answers what gives them back.
    func hand(_ old: PluginInstance, to new: PluginInstance, _ slots: [SlotPair]) -> [SlotPair] {
        var back = slots.map { SlotPair(old: $0.new, new: $0.old, client: nil) }
        // Those without `self` are cut: of instances that were wired to an end of `old`'s, and have gone.
        for wire in wires where wire.pointee.node == old.node && wire.pointee.`self` != nil {
            guard let number = slots.firstIndex(where: { $0.old == wire.pointee.index >> 16 }) else { continue }
            back[number].client = wire.pointee.functions
            wire.pointee.node = new.node
            wire.pointee.`self` = new.raw
            wire.pointee.functions = slots[number].client
            wire.pointee.index = UInt32(slots[number].new) << 16 | wire.pointee.index & 0xffff
        }
        for pair in slots {
            (new.wires[pair.new], old.wires[pair.old]) = (old.wires[pair.old], [])
            for end in new.wires[pair.new] { wire(of: end.peer)?.pointee.caller = new.node }
        }
        return back
    }

    private func wire(of peer: bp_peer) -> UnsafeMutablePointer<ch_wire>? { wires.first { $0 == peer.`self` } }

    /// The instance is destroyed, and its node goes: wires outlive both of their ends.
    func forget(_ instance: PluginInstance, _ standIn: UnsafeMutablePointer<ch_node>) {
        for wire in wires {
            if wire.pointee.node == instance.node { wire.pointee.node = standIn }
            if wire.pointee.caller == instance.node { (wire.pointee.caller, wire.pointee.`self`) = (standIn, nil) }
        }
    }

    /// After this nothing reaches the instance any more.
    func cut(_ instance: PluginInstance) {
        for wire in wires where wire.pointee.node == instance.node { wire.pointee.`self` = nil }
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

    /// Calls that wait for it never come.
    func dropCalls(to instance: PluginInstance) {
        for call in queuedCalls where call.wire.pointee.node == instance.node { call.free() }
        queuedCalls.removeAll { $0.wire.pointee.node == instance.node }
    }

    func perform(_ call: QueuedCall) {
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
}
