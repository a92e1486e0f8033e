// clock/1, events/1, log/1, machine/1, host/1, wiring/1 and console/1.

import CBackplane
import CHost
import Glibc
import Synchronization

extension ServiceTables {
    nonisolated(unsafe) static let clock = HostFunctions.constant(
        bp_clock_1(
            size: HostFunctions.size(bp_clock_1.self), reserved: 0,
            now: { host in
                PluginInstance.serve(host, "clock/1 now", .onceCreated, refused: 0) {
                    $0.clock._withUnsafeGuaranteedRef { $0.now }
                }
            },
            timer: { host, handler, cookie, out in
                PluginInstance.serve(host, "clock/1 timer", .fromCreate) { owner in
                    guard let handler else { return owner.refuse("clock/1 timer", "handler", "is NULL") }
                    guard let out else { return owner.refuse("clock/1 timer", "out", "is NULL") }
                    let id = owner.machine.newID()
                    guard owner.machine.timers.add(id, owner, handler, cookie) else { return status(BP_NO_MEMORY) }
                    out.pointee = id
                    return status(BP_OK)
                }
            },
            set: { host, id, deadline in
                PluginInstance.serve(host, "clock/1 set", .onceCreated) { $0.setTimer("clock/1 set", id, deadline) }
            },
            cancel: { host, id in
                PluginInstance.serve(host, "clock/1 cancel", .always) { $0.setTimer("clock/1 cancel", id, nil) }
            },
            is_counted: { host in
                PluginInstance.serve(host, "clock/1 is_counted", refused: 0) { $0.machine.isCounted ? 1 : 0 }
            }))

    nonisolated(unsafe) static let events = HostFunctions.constant(
        bp_events_1(
            size: HostFunctions.size(bp_events_1.self), reserved: 0,
            watch: { host, descriptor, events, handler, cookie, out in
                PluginInstance.serve(host, "events/1 watch") { $0.watch(descriptor, events, handler, cookie, out) }
            },
            change: { host, id, events in
                PluginInstance.serve(host, "events/1 change") { owner in
                    guard EventLoop.areKnown(events) else { return owner.refuseEvents("events/1 change", events) }
                    let answer = owner.machine.loop.change(id, of: owner, events)
                    return answer == BP_NOT_FOUND ? owner.refuse("events/1 change", id: id, "watch") : answer
                }
            },
            unwatch: { host, id in
                PluginInstance.serve(host, "events/1 unwatch", .always) { owner in
                    let answer = owner.machine.loop.unwatch(id, of: owner)
                    return answer == BP_NOT_FOUND ? owner.refuse("events/1 unwatch", id: id, "watch") : answer
                }
            },
            post: { host, function, argument in
                guard let owner = PluginInstance.of(host) else { return status(BP_INVALID) }
                guard let function else { return owner.refuse("events/1 post", "function", "is NULL") }
                // SAFETY: an opaque word of the plugin's.
                nonisolated(unsafe) let argument = argument
                let isAccepted = owner.machine.loop.post(owner, as: PostKey(function, argument)) {
                    owner.call(ch_activity_posted) { function(owner.raw, argument) }
                }
                return status(isAccepted ? BP_OK : BP_REFUSED)
            },
            expect: { host, function, argument, delay in
                PluginInstance.serve(host, "events/1 expect") { owner in
                    guard let function else { return owner.refuse("events/1 expect", "function", "is NULL") }
                    return owner.expect(PostKey(function, argument), after: delay)
                }
            },
            forget: { host, function, argument in
                PluginInstance.serve(host, "events/1 forget", .always, refused: ()) { owner in
                    guard let function else { return }
                    owner.machine.loop.forgetExpected(owner, PostKey(function, argument))
                }
            }))

    nonisolated(unsafe) static let log = HostFunctions.constant(
        bp_log_1(
            size: HostFunctions.size(bp_log_1.self), reserved: 0,
            write: { host, level, text, length in
                guard let instance = PluginInstance.of(host) else { return }
                let level = LogLevel(rawValue: level) ?? .error
                instance.machine.log(level, instance.id, HostFunctions.text(text, length))
            },
            level: { host in (PluginInstance.of(host)?.machine.options.logLevel ?? .error).rawValue }))

    nonisolated(unsafe) static let machine = HostFunctions.constant(
        bp_machine_1(
            size: HostFunctions.size(bp_machine_1.self), reserved: 0,
            stop: { host, status in
                PluginInstance.serve(host, "machine/1 stop", refused: ()) {
                    $0.machine.requestEnd(exitStatus(status), "")
                }
            },
            reset: { host in PluginInstance.serve(host, "machine/1 reset", refused: ()) { $0.machine.requestReset() } },
            power_off: { host in
                PluginInstance.serve(host, "machine/1 power_off", refused: ()) { $0.machine.requestEnd(0, "") }
            },
            on_power_button: { host, handler, argument in
                PluginInstance.serve(host, "machine/1 on_power_button") { owner in
                    guard let handler else { return owner.refuse("machine/1 on_power_button", "handler", "is NULL") }
                    owner.machine.powerButtons.append((owner, handler, argument))
                    return status(BP_OK)
                }
            },
            pause: { host in PluginInstance.serve(host, "machine/1 pause", refused: ()) { $0.machine.pauseByPolicy() } }
        ))

    nonisolated(unsafe) static let world = HostFunctions.constant(
        bp_host_1(
            size: HostFunctions.size(bp_host_1.self), reserved: 0,
            wall_clock: { host, seconds, nanoseconds in
                PluginInstance.serve(host, "host/1 wall_clock", .fromCreate, refused: ()) { owner in
                    let time = owner.machine.wallClock
                    seconds?.pointee = time.seconds
                    nanoseconds?.pointee = time.nanoseconds
                }
            },
            entropy: { host, bytes, length in
                PluginInstance.serve(host, "host/1 entropy", .fromCreate, refused: ()) { owner in
                    guard let bytes else { return }
                    let buffer = UnsafeMutableRawBufferPointer(start: bytes, count: Int(clamping: length))
                    owner.machine.fillEntropy(buffer)
                }
            }))

    nonisolated(unsafe) static let wiring = HostFunctions.constant(
        bp_wiring_1(
            size: HostFunctions.size(bp_wiring_1.self), reserved: 0,
            peer: { host, slot, position, out in
                PluginInstance.serve(host, "wiring/1 peer") { owner in
                    guard let out else { return owner.refuse("wiring/1 peer", "out", "is NULL") }
                    guard owner.slotIndex(slot) != nil else { return owner.refuseSlot("wiring/1 peer", slot) }
                    guard let end = owner.wire(slot, position) else { return status(BP_NOT_FOUND) }
                    PassedStruct.write(end.peer, to: out, least: LeastPassedSize.peer)
                    return status(BP_OK)
                }
            },
            count: { host, slot in
                PluginInstance.serve(host, "wiring/1 count", refused: 0) { owner in
                    if let index = owner.slotIndex(slot) { return UInt32(owner.wires[index].count) }
                    _ = owner.refuseSlot("wiring/1 count", slot)
                    return 0
                }
            }))

    nonisolated(unsafe) static let console = HostFunctions.constant(
        bp_console_1(
            size: HostFunctions.size(bp_console_1.self), reserved: 0,
            open: { host, receive, throttle in
                PluginInstance.serve(host, "console/1 open") {
                    $0.openConsole("console/1 open", receive, throttle, shown: nil)
                }
            },
            write: { host, bytes, length in
                PluginInstance.serve(host, "console/1 write") { owner in
                    guard let client = owner.consoleClient, let provider = owner.machine.options.console else {
                        return status(BP_REFUSED)
                    }
                    guard length == 0 || bytes != nil else {
                        return owner.refuse("console/1 write", "bytes", "is NULL")
                    }
                    provider.write(client, UnsafeRawBufferPointer(start: bytes, count: Int(clamping: length)))
                    return status(BP_OK)
                }
            },
            ready: { host, room in
                PluginInstance.serve(host, "console/1 ready") { $0.consoleReady(room) }
            },
            on_break: { host, received in
                PluginInstance.serve(host, "console/1 on_break") { owner in
                    guard let client = owner.consoleClient else { return status(BP_REFUSED) }
                    guard let received else { return owner.refuse("console/1 on_break", "received", "is NULL") }
                    client.setBreak(received)
                    return status(BP_OK)
                }
            },
            open_window: { host, receive, throttle, shown in
                PluginInstance.serve(host, "console/1 open_window") { owner in
                    guard let shown else { return owner.refuse("console/1 open_window", "shown", "is NULL") }
                    return owner.openConsole("console/1 open_window", receive, throttle, shown: shown)
                }
            },
            on_size: { host, sized in
                PluginInstance.serve(host, "console/1 on_size") { owner in
                    guard let client = owner.consoleClient else { return status(BP_REFUSED) }
                    guard let sized else { return owner.refuse("console/1 on_size", "sized", "is NULL") }
                    client.setSize(sized)
                    owner.machine.options.console?.tellSize(client)
                    return status(BP_OK)
                }
            }))
}

extension PluginInstance {
    fileprivate func watch(
        _ descriptor: Int32, _ events: UInt32, _ handler: bp_event_handler?, _ cookie: UInt64,
        _ out: UnsafeMutablePointer<bp_id>?
    ) -> bp_status {
        let service: StaticString = "events/1 watch"
        guard let handler else { return refuse(service, "handler", "is NULL") }
        guard let out else { return refuse(service, "out", "is NULL") }
        guard EventLoop.areKnown(events) else { return refuseEvents(service, events) }
        let id = machine.newID()
        let answer = machine.loop.watch(
            EventLoop.Watch(
                id: id, owner: self, descriptor: descriptor, handler: handler, cookie: cookie, events: events))
        if answer == BP_INVALID { return refuse(service, "descriptor", "\(descriptor) cannot be waited for") }
        if answer == BP_OK { out.pointee = id }
        return answer
    }

    fileprivate func refuseEvents(_ service: StaticString, _ events: UInt32) -> bp_status {
        refuse(service, "events", "\(hexText(UInt64(events))) has bits that are no BP_EVENT")
    }

    func refuseCPU(_ service: StaticString, _ vcpu: UInt32) -> bp_status {
        refuse(service, "vcpu", "\(vcpu) is none: there are \(machine.vcpus.count)", BP_NOT_FOUND)
    }

    func refuseSlot(_ service: StaticString, _ name: UnsafePointer<CChar>?) -> bp_status {
        guard let name else { return refuse(service, "slot", "is NULL") }
        let text = HostFunctions.text(name, UInt64(strnlen(name, 64)))
        return refuse(service, "slot", "'\(text)' is none of its class's", BP_NOT_FOUND)
    }

    /// `shown`: of a console that paints the window; nil: of one that writes lines.
    fileprivate func openConsole(
        _ service: StaticString, _ receive: ConsoleClient.Receive?, _ throttle: ConsoleClient.Throttle?,
        shown: ConsoleClient.Shown?
    ) -> bp_status {
        guard let receive else { return refuse(service, "receive", "is NULL") }
        guard let throttle else { return refuse(service, "throttle", "is NULL") }
        guard let provider = machine.options.console, shown == nil || provider.hasWindow else {
            return status(BP_UNSUPPORTED)
        }
        guard consoleClient == nil else { return status(BP_BUSY) }
        let client = ConsoleClient(self, receive, throttle, shown)
        consoleClient = client
        provider.open(client)
        return status(BP_OK)
    }

    fileprivate func consoleReady(_ room: UInt64) -> bp_status {
        guard let client = consoleClient, let provider = machine.options.console else { return status(BP_REFUSED) }
        // First, so that an end of the input that is found meanwhile is told to somebody who waits.
        if room > 0 { _ = expect(.console, after: CountedTime.pollPeriod) }
        if !provider.hasSteadyInput(client) { machine.loop.forgetExpected(self, .console) }
        provider.ready(client, room: room)
        return status(BP_OK)
    }
}

extension PluginInstance {
    func slotIndex(_ name: UnsafePointer<CChar>?) -> Int? {
        guard let name else { return nil }
        let text = String(cString: name)
        return description.type.slots.firstIndex { $0.name == text }
    }

    func wire(_ slot: UnsafePointer<CChar>?, _ position: UInt32) -> WireEnd? {
        guard let index = slotIndex(slot), wires[index].indices.contains(Int(position)) else {
            hasMissedWire = true
            return nil
        }
        return wires[index][Int(position)]
    }

    fileprivate func setTimer(_ service: StaticString, _ id: bp_id, _ deadline: UInt64?) -> bp_status {
        guard machine.timers.set(id, of: self, to: deadline) else { return refuse(service, id: id, "timer") }
        machine.loop.timersChanged()
        return status(BP_OK)
    }
}

extension Machine {
    var wallClock: (seconds: Int64, nanoseconds: UInt32) {
        if let start = description.clock.wallClock ?? (clock.source == .counted ? CountedTime.wallClock : nil) {
            let now = clock.now
            return (start &+ Int64(now / 1_000_000_000), UInt32(now % 1_000_000_000))
        }
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return (Int64(time.tv_sec), UInt32(time.tv_nsec))
    }

    func fillEntropy(_ bytes: UnsafeMutableRawBufferPointer) {
        guard var numbers = random else {
            _ = ch_random(bytes.baseAddress, UInt64(bytes.count))
            return
        }
        for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: numbers.next()) }
        random = numbers
    }
}

/// A console of an instance - the backends `terminal` and `screen` - as the control plane sees it. All functions may be called from any thread.
public final class ConsoleClient: @unchecked Sendable {
    public typealias Receive = @convention(c) (UnsafeMutableRawPointer?, UnsafeRawPointer?, UInt64) -> Void
    public typealias Throttle = @convention(c) (UnsafeMutableRawPointer?, UInt32) -> Void
    public typealias Shown = @convention(c) (UnsafeMutableRawPointer?, UInt32, UInt32) -> Void
    typealias Break = @convention(c) (UnsafeMutableRawPointer?) -> Void
    private let instance: PluginInstance
    private let shownFunction: Shown?
    private let breakFunction = Mutex<Break?>(nil)
    private let sizeFunction = Mutex<Shown?>(nil)
    private let receiveFunction: Receive
    private let throttleFunction: Throttle

    init(
        _ instance: PluginInstance, _ receive: @escaping Receive, _ throttle: @escaping Throttle, _ shown: Shown?
    ) {
        self.instance = instance
        shownFunction = shown
        receiveFunction = receive
        throttleFunction = throttle
    }

    /// Bytes handed to `receive` that the instance has not got yet: they will use up room that it grants meanwhile.
    public var undelivered: UInt64 { waiting.withLock { $0 } }
    private let waiting = Mutex<UInt64>(0)

    public var machineName: String { instance.machine.description.name }
    public var instanceID: String { instance.id }
    public var machine: Machine { instance.machine }

    /// Bytes that were typed: never more than `ready` gave room for.
    public func receive(_ bytes: [UInt8]) {
        waiting.withLock { $0 += UInt64(bytes.count) }
        instance.machine.loop.post(instance, as: .console) { [self, instance, receiveFunction] in
            waiting.withLock { $0 -= UInt64(bytes.count) }
            instance.call(ch_activity_console) {
                bytes.withUnsafeBytes { receiveFunction(instance.raw, $0.baseAddress, UInt64($0.count)) }
            }
        }
    }

    /// There is no input any more: nobody need wait for it.
    public func inputEnded() { instance.machine.loop.post(instance, as: .console) {} }

    /// The operator sends a break, which comes after the bytes received so far. False: this instance takes none.
    public func sendBreak() -> Bool {
        guard let function = breakFunction.withLock({ $0 }) else { return false }
        return instance.machine.loop.post(instance) { [instance] in
            instance.call(ch_activity_console) { function(instance.raw) }
        }
    }

    /// It paints the whole window in place of writing lines.
    public var isPainter: Bool { shownFunction != nil }

    /// The window's size in character cells: it is in the foreground, or the size has changed. 0 and 0: it is not any more.
    public func shown(columns: Int, rows: Int) {
        guard let function = shownFunction else { return }
        instance.machine.loop.post(instance) { [instance] in
            instance.call(ch_activity_console) {
                function(instance.raw, UInt32(clamping: columns), UInt32(clamping: rows))
            }
        }
    }

    /// Of a console that writes lines: the terminal has this size.
    public func sized(columns: Int, rows: Int) {
        guard machine.clock.source != .counted, let function = sizeFunction.withLock({ $0 }) else { return }
        instance.machine.loop.post(instance) { [instance] in
            instance.call(ch_activity_console) {
                function(instance.raw, UInt32(clamping: columns), UInt32(clamping: rows))
            }
        }
    }

    func setSize(_ function: @escaping Shown) { sizeFunction.withLock { $0 = function } }
    func setBreak(_ function: @escaping Break) { breakFunction.withLock { $0 = function } }

    /// true: the terminal is slow, write no more; false: go on.
    public func throttle(_ on: Bool) {
        instance.machine.loop.post(instance) { [instance, throttleFunction] in
            instance.call(ch_activity_console) { throttleFunction(instance.raw, on ? 1 : 0) }
        }
    }
}
