// The contract of services ("Contracts" in plugin.h): a call from a thread of the plugin's own, from the wrong callback or with wild
// arguments is refused, and named with its instance, its service and the reason.
// SAFETY: as in HostFunctions.swift. What is looked at before the thread is known is one word of each, and never written by others.

import CBackplane
import CHost
import Synchronization

/// In which of an instance's callbacks a service may be called. Bits by `PluginInstance.Phase`.
enum CallTime: UInt8 {
    /// `create` and all that follow but `destroy`.
    case fromCreate = 0b01111
    /// Once it is created: a peer that connects earlier may call it before its own `connect`.
    case onceCreated = 0b01110
    case fromConnect = 0b01100
    /// What gives something back: in `destroy` too, where there is nothing left.
    case always = 0b11111

    func admits(_ phase: PluginInstance.Phase) -> Bool { rawValue >> UInt8(phase.rawValue) & 1 != 0 }
}

/// What plugins did that their contract forbids. From any thread.
final class ContractLog: Sendable {
    private struct Key: Hashable {
        var instance: String
        var service: String
        var what: String
    }
    private struct State {
        var seen: Set<Key> = []
        var news: [ContractBreach] = []
    }
    private let state = Mutex(State())
    /// Each is named once; a plugin that finds more ways than this has been named enough.
    private static let limit = 256

    /// True: it is new. A thread may try a million times a second.
    func add(_ instance: String, _ service: String, _ what: String, _ text: () -> String) -> Bool {
        state.withLock { state in
            guard state.seen.count < ContractLog.limit else { return false }
            guard state.seen.insert(Key(instance: instance, service: service, what: what)).inserted else {
                return false
            }
            state.news.append(ContractBreach(instance: instance, text: text()))
            return true
        }
    }

    func take() -> [ContractBreach] {
        state.withLock { state in
            defer { state.news = [] }
            return state.news
        }
    }
}

/// A call that was refused.
public struct ContractBreach: Sendable, Equatable {
    static let strayThread = "it is called from a thread of the plugin's own, for which only post, complete and log are"

    /// Id of the instance.
    public var instance: String
    /// "io/1 claim is refused: widths 0 is no OR of 1, 2, 4 and 8"
    public var text: String
}

extension Machine {
    /// The calls that were refused since the last time: each instance, service and reason once.
    public func takeContractBreaches() -> [ContractBreach] { contract.take() }

    /// From any thread.
    func nameBreach(_ instance: String, _ service: String, _ reason: String) {
        func text() -> String { "\(service) is refused: \(reason)" }
        if contract.add(instance, service, reason, text) { log(.error, instance, text()) }
    }
}

extension PluginInstance {
    /// Runs `body` for a service that only a callback of the instance may call: nothing is retained (two locked instructions, 10 ns), and
    /// the check of the thread is a compare. `refused`: the answer to a call that may not be.
    @inline(__always)
    static func serve<R>(
        _ host: UnsafePointer<bp_host>?, _ service: StaticString, _ time: CallTime = .fromConnect, refused: R,
        _ body: (PluginInstance) -> R
    ) -> R {
        guard let opaque = host?.pointee.opaque else { return refused }
        return Unmanaged<PluginInstance>.fromOpaque(opaque)._withUnsafeGuaranteedRef { instance in
            guard ch_may_call(instance.running, instance.node), time.admits(instance.phase) else {
                instance.refuseCall(service)
                return refused
            }
            return body(instance)
        }
    }

    @inline(__always)
    static func serve(
        _ host: UnsafePointer<bp_host>?, _ service: StaticString, _ time: CallTime = .fromConnect,
        _ body: (PluginInstance) -> bp_status
    ) -> bp_status {
        serve(host, service, time, refused: status(BP_REFUSED), body)
    }

    @inline(never)
    private func refuseCall(_ service: StaticString) {
        let reason: String
        if !machine.lock.isMine {
            reason = ContractBreach.strayThread
        } else if node.pointee.depth == 0 {
            reason = "it is called outside of the instance's own callbacks"
        } else {
            switch phase {
            case .none: reason = "it may not be called in create"
            case .created: reason = "it may not be called before connect"
            case .connected, .disconnected, .destroyed: reason = "it may not be called in destroy"
            }
        }
        breach(service, reason) { reason }
    }

    /// Refuses an argument that no author can have meant. What a guest decides (an address, a length) is not named so.
    @inline(never)
    func refuse(
        _ service: StaticString, _ field: String, _ why: @autoclosure () -> String, _ answer: Int = BP_INVALID
    ) -> bp_status {
        breach(service, field) { "\(field) \(why())" }
        return status(answer)
    }

    /// The same for an id: 0 is what an author holds who has none, and is answered only.
    func refuse(_ service: StaticString, id: bp_id, _ what: String) -> bp_status {
        if id == 0 || phase.rawValue >= Phase.disconnected.rawValue { return status(BP_NOT_FOUND) }
        return refuse(service, "id", "\(id) is no \(what) of this instance's", BP_NOT_FOUND)
    }

    private func breach(_ service: StaticString, _ key: String, _ reason: () -> String) {
        func text() -> String { "\(service) is refused: \(reason())" }
        guard machine.contract.add(id, service.description, key, text) else { return }
        // A callback that fails says it in its error.
        if isComingUp, machine.lock.isMine { comingUp.append(text()) } else { tell(text()) }
    }

    private func tell(_ breach: String) { machine.log(.error, id, breach) }

    /// Around create and connect.
    func comeUp(_ body: () -> bp_status) -> bp_status {
        (failure, conflict, comingUp, isComingUp) = ("", "", [], true)
        defer { isComingUp = false }
        let status = body()
        guard status == 0 else { return status }
        for text in comingUp { tell(text) }
        comingUp = []
        return status
    }
}
