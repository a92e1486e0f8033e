// Answers that instances owe: of accesses that they have deferred, and of block requests. The watchdog counts how long; a machine goes on
// without them, and an operator can take who owes them off line.
// SAFETY: a debt is linked once and freed with the machine, after the watchdog has let go of it; its counts change under the machine's lock.

import CBackplane
import CHost

/// What somebody waits for.
final class Debt {
    enum Kind {
        /// Of an access by this vCPU.
        case access(vcpu: Int)
        /// Of requests of the instance of this id.
        case blockRequests(client: String)
    }

    let kind: Kind
    let pointer: UnsafeMutablePointer<ch_debt>
    /// Of `access`: where.
    var place = ""
    fileprivate var isOutstanding: Bool { pointer.pointee.count > 0 }

    init(_ kind: Kind, _ node: UnsafeMutablePointer<ch_node>?) {
        self.kind = kind
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: ch_debt())
        pointer.pointee.node = node
    }

    deinit { pointer.deallocate() }

    /// "owes the answer to an access to port 0x2e0"
    var text: String {
        switch kind {
        case .access: "owes the answer to an access to \(place)"
        case .blockRequests(let client):
            pointer.pointee.count == 1
                ? "owes '\(client)' the completion of a block request"
                : "owes '\(client)' the completion of \(pointer.pointee.count) block requests"
        }
    }
}

/// An answer that is owed for longer than the watchdog waits.
public struct DebtSummary: Sendable, Equatable {
    /// Id of the instance that owes it.
    public var instance: String
    /// "owes the answer to an access to port 0x2e0, for 12 s"
    public var text: String
}

extension Machine {
    // MARK: With the lock held

    /// Made once, while the machine is assembled.
    func addDebt(_ kind: Debt.Kind, of node: UnsafeMutablePointer<ch_node>?) -> Debt {
        let debt = Debt(kind, node)
        debts.append(debt)
        debt.pointer.pointee.next = host.pointee.debts
        host.pointee.debts = debt.pointer
        return debt
    }

    /// Both ends of a wire of block/1: what the client submits, the provider completes, each once.
    func watchBlockWire(
        _ provider: PluginInstance, _ client: PluginInstance, _ ends: (provider: bp_peer, client: bp_peer)
    ) {
        let debt = addDebt(.blockRequests(client: client.id), of: provider.node)
        let none: UInt8 = 0xff
        if let wire = ends.provider.`self`?.assumingMemoryBound(to: ch_wire.self) {
            // info, submit, cancel_all
            (wire.pointee.debt, wire.pointee.asks, wire.pointee.answers, wire.pointee.forgets) = (
                debt.pointer, 1, none, 2
            )
        }
        if let wire = ends.client.`self`?.assumingMemoryBound(to: ch_wire.self) {
            // complete
            (wire.pointee.debt, wire.pointee.asks, wire.pointee.answers, wire.pointee.forgets) = (
                debt.pointer, none, 0, none
            )
        }
    }

    /// The access of a vCPU that waits for its answer.
    func accessDebt(_ vcpu: Int) -> Debt? {
        debts.first { if case .access(vcpu) = $0.kind { true } else { false } }
    }

    /// Nothing is owed by an instance that begins anew.
    func forgetDebts(of instance: PluginInstance) {
        for debt in debts where debt.pointer.pointee.node == instance.node { ch_debt_forget(debt.pointer) }
    }

    private func tellDebt(_ pointer: UInt) {
        guard let debt = debts.first(where: { UInt(bitPattern: $0.pointer) == pointer }), debt.isOutstanding,
            let instance = instance(of: debt.pointer.pointee.node), !instance.isOffline
        else { return }
        let (what, time) = (debt.text, durationText(host.pointee.watchdog_limit))
        log(.warning, instance.id, "\(what), for \(time): 'instance offline \(instance.id)' goes on without it")
        tell(.answerOwed(instance: instance.id, what: what))
    }

    // MARK: From any thread

    /// On the watchdog's thread, which must not wait for the lock: the event loop says it.
    func noteDebt(_ debt: UnsafeMutablePointer<ch_debt>) {
        let number = UInt(bitPattern: debt)
        loop.post(nil) { [self] in tellDebt(number) }
    }

    /// What is owed for longer than the watchdog waits.
    public var debtSummaries: [DebtSummary] {
        lock.held { _ in
            return debts.filter { $0.isOutstanding && $0.pointer.pointee.is_told != 0 }.compactMap { debt in
                instance(of: debt.pointer.pointee.node).map {
                    DebtSummary(instance: $0.id, text: "\(debt.text), for \(durationText(debt.pointer.pointee.since))")
                }
            }
        }
    }
}

/// "12 s", "400 ms"
func durationText(_ nanoseconds: UInt64) -> String {
    nanoseconds >= 1_000_000_000 ? "\(nanoseconds / 1_000_000_000) s" : "\(nanoseconds / 1_000_000) ms"
}
