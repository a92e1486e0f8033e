// irq/1, clock/1, events/1, log/1, machine/1, host/1, wiring/1 and console/1.

import CBackplane
import CHost
import Glibc
import Synchronization

extension ServiceTables {
    nonisolated(unsafe) static let irq = HostFunctions.constant(
        bp_irq_1(
            size: HostFunctions.size(bp_irq_1.self), reserved: 0,
            line: { host, slot, position, out in
                guard let end = PluginInstance.of(host).wire(slot, position), let out else {
                    return status(BP_NOT_FOUND)
                }
                guard let line = end.line else { return status(BP_INVALID) }
                // An id is the driver's place on its line: both are small.
                out.pointee = UInt64(line + 1) << 32 | UInt64(end.driver)
                return status(BP_OK)
            },
            set: { host, id, level in
                PluginInstance.with(host) { $0.drive(id) { $0.set($1, driver: $2, level != 0) } }
            },
            pulse: { host, id in
                PluginInstance.of(host).drive(id) { lines, line, driver in
                    let up = lines.set(line, driver: driver, true)
                    let down = lines.set(line, driver: driver, false)
                    return up || down
                }
            },
            output: { host, vcpu, level in
                let instance = PluginInstance.of(host)
                guard instance.machine.controller?.instance === instance else { return status(BP_REFUSED) }
                instance.machine.setInterruptPin(vcpu, level != 0)
                return status(BP_OK)
            },
            nmi: { host, vcpu in
                let machine = PluginInstance.of(host).machine
                guard machine.vcpus.indices.contains(Int(vcpu)) else { return status(BP_NOT_FOUND) }
                machine.signal(machine.vcpus[Int(vcpu)], ch_attention_nmi)
                return status(BP_OK)
            }))

    nonisolated(unsafe) static let clock = HostFunctions.constant(
        bp_clock_1(
            size: HostFunctions.size(bp_clock_1.self), reserved: 0,
            now: { host in PluginInstance.with(host) { $0.clock._withUnsafeGuaranteedRef { $0.now } } },
            timer: { host, handler, cookie, out in
                let owner = PluginInstance.of(host)
                guard let handler, let out else { return status(BP_INVALID) }
                let id = owner.machine.newID()
                guard owner.machine.timers.add(id, owner, handler, cookie) else { return status(BP_NO_MEMORY) }
                out.pointee = id
                return status(BP_OK)
            },
            set: { host, id, deadline in PluginInstance.with(host) { $0.setTimer(id, deadline) } },
            cancel: { host, id in PluginInstance.with(host) { $0.setTimer(id, nil) } }))

    nonisolated(unsafe) static let events = HostFunctions.constant(
        bp_events_1(
            size: HostFunctions.size(bp_events_1.self), reserved: 0,
            watch: { host, descriptor, events, handler, cookie, out in
                let owner = PluginInstance.of(host)
                guard let handler, let out else { return status(BP_INVALID) }
                let id = owner.machine.newID()
                let watch = EventLoop.Watch(
                    id: id, owner: owner, descriptor: descriptor, handler: handler, cookie: cookie, events: events)
                out.pointee = id
                return owner.machine.loop.watch(watch)
            },
            change: { host, id, events in
                let owner = PluginInstance.of(host)
                return owner.machine.loop.change(id, of: owner, events)
            },
            unwatch: { host, id in
                let owner = PluginInstance.of(host)
                return owner.machine.loop.unwatch(id, of: owner)
            },
            post: { host, function, argument in
                let owner = PluginInstance.of(host)
                guard let function else { return status(BP_INVALID) }
                // SAFETY: an opaque word of the plugin's.
                nonisolated(unsafe) let argument = argument
                let isAccepted = owner.machine.loop.post(owner, as: PostKey(function, argument)) {
                    owner.call(ch_activity_posted) { function(owner.raw, argument) }
                }
                return status(isAccepted ? BP_OK : BP_REFUSED)
            },
            expect: { host, function, argument, delay in
                guard let function else { return status(BP_INVALID) }
                return PluginInstance.of(host).expect(PostKey(function, argument), after: delay)
            },
            forget: { host, function, argument in
                guard let function else { return }
                let owner = PluginInstance.of(host)
                owner.machine.loop.forgetExpected(owner, PostKey(function, argument))
            }))

    nonisolated(unsafe) static let log = HostFunctions.constant(
        bp_log_1(
            size: HostFunctions.size(bp_log_1.self), reserved: 0,
            write: { host, level, text, length in
                let instance = PluginInstance.of(host)
                let level = LogLevel(rawValue: level) ?? .error
                instance.machine.log(level, instance.id, HostFunctions.text(text, length))
            },
            level: { host in PluginInstance.of(host).machine.options.logLevel.rawValue }))

    nonisolated(unsafe) static let machine = HostFunctions.constant(
        bp_machine_1(
            size: HostFunctions.size(bp_machine_1.self), reserved: 0,
            stop: { host, status in
                let instance = PluginInstance.of(host)
                instance.machine.requestEnd(exitStatus(status), "")
            },
            reset: { host in PluginInstance.of(host).machine.requestReset() },
            power_off: { host in PluginInstance.of(host).machine.requestEnd(0, "") },
            on_power_button: { host, handler, argument in
                let instance = PluginInstance.of(host)
                guard let handler else { return status(BP_INVALID) }
                instance.machine.powerButtons.append((instance, handler, argument))
                return status(BP_OK)
            },
            pause: { host in PluginInstance.of(host).machine.pauseByPolicy() }))

    nonisolated(unsafe) static let world = HostFunctions.constant(
        bp_host_1(
            size: HostFunctions.size(bp_host_1.self), reserved: 0,
            wall_clock: { host, seconds, nanoseconds in
                let time = PluginInstance.of(host).machine.wallClock
                seconds?.pointee = time.seconds
                nanoseconds?.pointee = time.nanoseconds
            },
            entropy: { host, bytes, length in
                guard let bytes else { return }
                let buffer = UnsafeMutableRawBufferPointer(start: bytes, count: Int(clamping: length))
                PluginInstance.of(host).machine.fillEntropy(buffer)
            }))

    nonisolated(unsafe) static let wiring = HostFunctions.constant(
        bp_wiring_1(
            size: HostFunctions.size(bp_wiring_1.self), reserved: 0,
            peer: { host, slot, position, out in
                guard let end = PluginInstance.of(host).wire(slot, position), let out else {
                    return status(BP_NOT_FOUND)
                }
                PassedStruct.write(end.peer, to: out, least: LeastPassedSize.peer)
                return status(BP_OK)
            },
            count: { host, slot in
                let instance = PluginInstance.of(host)
                return instance.slotIndex(slot).map { UInt32(instance.wires[$0].count) } ?? 0
            }))

    nonisolated(unsafe) static let console = HostFunctions.constant(
        bp_console_1(
            size: HostFunctions.size(bp_console_1.self), reserved: 0,
            open: { host, receive, throttle in
                let instance = PluginInstance.of(host)
                guard let provider = instance.machine.options.console, let receive, let throttle else {
                    return status(BP_UNSUPPORTED)
                }
                guard instance.consoleClient == nil else { return status(BP_BUSY) }
                let client = ConsoleClient(instance, receive, throttle)
                instance.consoleClient = client
                provider.open(client)
                return status(BP_OK)
            },
            write: { host, bytes, length in
                let instance = PluginInstance.of(host)
                guard let client = instance.consoleClient, let provider = instance.machine.options.console else {
                    return status(BP_REFUSED)
                }
                provider.write(client, UnsafeRawBufferPointer(start: bytes, count: Int(clamping: length)))
                return status(BP_OK)
            },
            ready: { host, room in
                let instance = PluginInstance.of(host)
                guard let client = instance.consoleClient, let provider = instance.machine.options.console else {
                    return status(BP_REFUSED)
                }
                let loop = instance.machine.loop
                // First, so that an end of the input that is found meanwhile is told to somebody who waits.
                if room > 0 { _ = instance.expect(.console, after: CountedTime.pollPeriod) }
                if !provider.hasSteadyInput(client) { loop.forgetExpected(instance, .console) }
                provider.ready(client, room: room)
                return status(BP_OK)
            },
            on_break: { host, received in
                guard let client = PluginInstance.of(host).consoleClient else { return status(BP_REFUSED) }
                guard let received else { return status(BP_INVALID) }
                client.setBreak(received)
                return status(BP_OK)
            }))
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

    /// Changes a line that this instance drives; the edge is delivered when no callback is on the stack.
    fileprivate func drive(_ id: bp_id, _ change: (inout InterruptLines, Int, Int) -> Bool) -> bp_status {
        let (line, driver) = (Int(id >> 32) - 1, Int(id & 0xffff_ffff))
        guard machine.lines.isDriver(self, line, driver) else { return status(BP_NOT_FOUND) }
        if change(&machine.lines, line, driver) { machine.host.pointee.has_pending = 1 }
        return status(BP_OK)
    }

    fileprivate func setTimer(_ id: bp_id, _ deadline: UInt64?) -> bp_status {
        guard machine.timers.set(id, of: self, to: deadline) else { return status(BP_NOT_FOUND) }
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
        if random.state == nil {
            _ = ch_random(bytes.baseAddress, UInt64(bytes.count))
            return
        }
        for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: random.next() ?? 0) }
    }
}

/// A `terminal` backend as the control plane sees it. All functions may be called from any thread.
public final class ConsoleClient: @unchecked Sendable {
    public typealias Receive = @convention(c) (UnsafeMutableRawPointer?, UnsafeRawPointer?, UInt64) -> Void
    public typealias Throttle = @convention(c) (UnsafeMutableRawPointer?, UInt32) -> Void
    typealias Break = @convention(c) (UnsafeMutableRawPointer?) -> Void
    private let instance: PluginInstance
    private let breakFunction = Mutex<Break?>(nil)
    private let receiveFunction: Receive
    private let throttleFunction: Throttle

    init(_ instance: PluginInstance, _ receive: @escaping Receive, _ throttle: @escaping Throttle) {
        self.instance = instance
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

    func setBreak(_ function: @escaping Break) { breakFunction.withLock { $0 = function } }

    /// true: the terminal is slow, write no more; false: go on.
    public func throttle(_ on: Bool) {
        instance.machine.loop.post(instance) { [instance, throttleFunction] in
            instance.call(ch_activity_console) { throttleFunction(instance.raw, on ? 1 : 0) }
        }
    }
}
