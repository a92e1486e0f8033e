/// An interrupt request line that a slot of the instance is wired to; nothing happens where it is not wired.
public struct Line: @unchecked Sendable {
    let host: Host
    let table: UnsafePointer<bp_irq_1>?
    let id: bp_id

    public var isWired: Bool { id != 0 }

    /// The level that this instance drives. Recorded at once, delivered when the outermost callback has returned.
    public func set(_ level: Bool) {
        if id != 0 { _ = table?.pointee.set(host.raw, id, level ? 1 : 0) }
    }

    /// Up and down: one edge.
    public func pulse() {
        if id != 0 { _ = table?.pointee.pulse(host.raw, id) }
    }
}

extension Host {
    /// The line that slot `slot` is wired to. From connect on.
    public func line(_ slot: StaticString, position: UInt32 = 0) throws(PluginError) -> Line {
        let table = try required("irq/1", as: bp_irq_1.self)
        var id: bp_id = 0
        let name = UnsafeRawPointer(slot.utf8Start).assumingMemoryBound(to: CChar.self)
        let status = Status(rawValue: table.pointee.line(raw, name, position, &id))
        if status != .notFound { try status.check("fetching an interrupt line") }
        return Line(host: self, table: table, id: status == .ok ? id : 0)
    }
}

/// The CPU's interrupt pins, for an interrupt controller.
public struct InterruptOutput: @unchecked Sendable {
    let host: Host
    let table: UnsafePointer<bp_irq_1>

    /// The controller's output: the INTR pin of `vcpu` where `cpu: interrupts:` names this instance, and every instance that is wired to it.
    public func set(_ level: Bool, vcpu: UInt32 = 0) { _ = table.pointee.output(host.raw, vcpu, level ? 1 : 0) }
    public func nmi(vcpu: UInt32 = 0) { _ = table.pointee.nmi(host.raw, vcpu) }
}

extension Host {
    public var interruptOutput: InterruptOutput {
        get throws(PluginError) { InterruptOutput(host: self, table: try required("irq/1", as: bp_irq_1.self)) }
    }
}

/// Message signalled interrupts ("msi/1").
public struct MessageService: @unchecked Sendable {
    let host: Host
    let table: UnsafePointer<bp_msi_1>

    /// A vector, masked at first.
    public func vector() throws(PluginError) -> MessageVector {
        var id: bp_id = 0
        try Status(rawValue: table.pointee.vector(host.raw, &id)).check("registering an interrupt message")
        return MessageVector(service: self, id: id)
    }
}

public struct MessageVector: @unchecked Sendable {
    let service: MessageService
    let id: bp_id

    /// What the message is from now on. What was pending is sent, where it is masked no more.
    public func program(address: UInt64, data: UInt64, isMasked: Bool) {
        _ = service.table.pointee.program(service.host.raw, id, address, data, isMasked ? 1 : 0)
    }
    /// From any thread. While it is masked it becomes pending.
    public func raise() { _ = service.table.pointee.raise(service.host.raw, id) }
    public var isPending: Bool {
        var value: UInt32 = 0
        return service.table.pointee.pending(service.host.raw, id, &value) == 0 && value != 0
    }
    /// What is pending is dropped.
    public func forget() { _ = service.table.pointee.forget(service.host.raw, id) }
}

extension Host {
    /// Throws where the host is older than minor 6.
    public var messages: MessageService {
        get throws(PluginError) { MessageService(host: self, table: try required("msi/1", as: bp_msi_1.self)) }
    }
}
