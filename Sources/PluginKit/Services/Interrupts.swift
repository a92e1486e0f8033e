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
