import BackendSupport
import CSlirp
import Glibc

/// libslirp: the network's end in user space. Used by one thread at a time; after `start` of its `NetworkThread`, by that thread only.
final class SlirpStack {
    struct Failure: Error {
        var text: String
    }

    /// A timer of the library's own: router advertisements.
    private final class Timer {
        let callback: SlirpTimerCb
        let argument: UnsafeMutableRawPointer?
        /// Host milliseconds; nil: not set.
        var deadline: Int64?

        init(_ callback: SlirpTimerCb, _ argument: UnsafeMutableRawPointer?) {
            self.callback = callback
            self.argument = argument
        }
    }

    // SAFETY: made in init, given back in deinit; the callbacks outlive the library's stack, which keeps their address.
    private var slirp: OpaquePointer?
    private let callbacks = UnsafeMutablePointer<SlirpCb>.allocate(capacity: 1)
    private var timers: [Timer] = []
    private var descriptors: [pollfd] = []
    /// A frame for the guest.
    var deliver: (UnsafeRawBufferPointer) -> Void = { _ in }
    /// What the library has to say about the guest.
    var complain: (String) -> Void = { _ in }

    init(_ settings: NetworkSettings) throws(Failure) {
        callbacks.initialize(to: Self.functions)
        slirp = Self.make(settings, callbacks, Unmanaged.passUnretained(self).toOpaque())
        guard slirp != nil else { throw Failure(text: "libslirp could not make the network") }
        for forward in settings.forwards { try add(forward, settings) }
    }

    deinit {
        if let slirp { slirp_cleanup(slirp) }
        callbacks.deallocate()
    }

    private static func make(
        _ settings: NetworkSettings, _ callbacks: UnsafePointer<SlirpCb>, _ opaque: UnsafeMutableRawPointer
    ) -> OpaquePointer? {
        var texts: [UnsafeMutablePointer<CChar>?] = []
        defer { texts.forEach { free($0) } }
        func copy(_ text: String?) -> UnsafePointer<CChar>? {
            guard let text, let copy = strdup(text) else { return nil }
            texts.append(copy)
            return UnsafePointer(copy)
        }
        var config = SlirpConfig()
        config.version = 4
        config.restricted = settings.isRestricted ? 1 : 0
        config.in_enabled = true
        config.vnetwork = address(settings.network)
        config.vnetmask = address(settings.mask)
        config.vhost = address(settings.gateway)
        config.vnameserver = address(settings.nameServer)
        config.vdhcp_start = address(settings.firstGuest)
        config.in6_enabled = settings.hasIPv6
        config.vprefix_addr6 = address6(0)
        config.vprefix_len = 64
        config.vhost6 = address6(2)
        config.vnameserver6 = address6(3)
        config.vhostname = copy(settings.hostname)
        config.tftp_path = copy(settings.tftp)
        config.bootfile = copy(settings.bootFile)
        config.disable_host_loopback = !settings.reachesHost
        return slirp_new(&config, callbacks, opaque)
    }

    private static func address(_ address: IPv4Address) -> in_addr { in_addr(s_addr: address.value.bigEndian) }

    /// fec0::N, site-local, as QEMU has it.
    private static func address6(_ last: UInt8) -> in6_addr {
        var address = in6_addr()
        withUnsafeMutableBytes(of: &address) { ($0[0], $0[1], $0[15]) = (0xFE, 0xC0, last) }
        return address
    }

    private func add(_ forward: NetworkSettings.Forward, _ settings: NetworkSettings) throws(Failure) {
        let guest = forward.guestAddress ?? settings.firstGuest
        let result = slirp_add_hostfwd(
            slirp, forward.isUDP ? 1 : 0, Self.address(forward.hostAddress), Int32(forward.hostPort),
            Self.address(guest), Int32(forward.guestPort))
        guard result == 0 else {
            let reason = String(cString: strerror(errno))
            throw Failure(text: "forward: the host does not let it listen for \(forward.text): \(reason)")
        }
    }

    // MARK: Work

    /// A frame of the guest's.
    func input(_ frame: [UInt8]) {
        frame.withUnsafeBufferPointer { slirp_input(slirp, $0.baseAddress, Int32(truncatingIfNeeded: $0.count)) }
    }

    /// Waits for the host's sockets, a timer or `wake`, at most `milliseconds`, and does what they bring. Without `takes` sockets wait:
    /// the guest has no room for what they would bring.
    func wait(milliseconds: UInt32, wake: Int32, takes: Bool) {
        descriptors = [pollfd(fd: wake, events: Int16(POLLIN), revents: 0)]
        var timeout = min(milliseconds, untilTimer)
        let opaque = Unmanaged.passUnretained(self).toOpaque()
        if takes { slirp_pollfds_fill(slirp, &timeout, Self.addDescriptor, opaque) }
        let count = poll(&descriptors, nfds_t(descriptors.count), Int32(clamping: timeout))
        if takes { slirp_pollfds_poll(slirp, count < 0 ? 1 : 0, Self.events, opaque) }
        fireTimers()
    }

    private var untilTimer: UInt32 {
        let now = Int64(HostClock.milliseconds)
        return timers.compactMap(\.deadline).min().map { UInt32(clamping: $0 - now) } ?? .max
    }

    private func fireTimers() {
        let now = Int64(HostClock.milliseconds)
        for timer in timers {
            guard let deadline = timer.deadline, deadline <= now else { continue }
            timer.deadline = nil
            timer.callback(timer.argument)
        }
    }

    // MARK: What the library calls
    // SAFETY: `opaque` is the stack that made it, which lives as long as the library's.

    private static func stack(_ opaque: UnsafeMutableRawPointer?) -> SlirpStack {
        Unmanaged<SlirpStack>.fromOpaque(opaque.unsafelyUnwrapped).takeUnretainedValue()
    }

    private static let functions: SlirpCb = {
        var functions = SlirpCb()
        functions.send_packet = { bytes, count, opaque in
            stack(opaque).deliver(UnsafeRawBufferPointer(start: bytes, count: count))
            return count
        }
        functions.guest_error = { text, opaque in
            if let text { stack(opaque).complain(String(cString: text)) }
        }
        functions.clock_get_ns = { _ in Int64(HostClock.now) }
        functions.timer_new = { callback, argument, opaque in
            guard let callback else { return nil }
            let timer = Timer(callback, argument)
            stack(opaque).timers.append(timer)
            return Unmanaged.passUnretained(timer).toOpaque()
        }
        functions.timer_free = { raw, opaque in
            stack(opaque).timers.removeAll { Unmanaged.passUnretained($0).toOpaque() == raw }
        }
        functions.timer_mod = { raw, deadline, opaque in
            let timer = stack(opaque).timers.first { Unmanaged.passUnretained($0).toOpaque() == raw }
            timer?.deadline = deadline
        }
        functions.register_poll_fd = { _, _ in }
        functions.unregister_poll_fd = { _, _ in }
        functions.notify = { _ in }
        functions.init_completed = { _, _ in }
        return functions
    }()

    private static let bits: [(slirp: Int, poll: Int)] = [
        (SLIRP_POLL_IN, Int(POLLIN)), (SLIRP_POLL_OUT, Int(POLLOUT)),
        (SLIRP_POLL_PRI, Int(POLLPRI)), (SLIRP_POLL_ERR, Int(POLLERR)),
        (SLIRP_POLL_HUP, Int(POLLHUP)),
    ]

    private static let addDescriptor: SlirpAddPollCb = { descriptor, events, opaque in
        let stack = stack(opaque)
        let wanted = bits.reduce(0) { $0 | (Int(events) & $1.slirp != 0 ? $1.poll : 0) }
        stack.descriptors.append(pollfd(fd: descriptor, events: Int16(truncatingIfNeeded: wanted), revents: 0))
        return Int32(stack.descriptors.count - 1)
    }

    private static let events: SlirpGetREventsCb = { index, opaque in
        let stack = stack(opaque)
        guard stack.descriptors.indices.contains(Int(index)) else { return 0 }
        let found = Int(stack.descriptors[Int(index)].revents)
        return Int32(truncatingIfNeeded: bits.reduce(0) { $0 | (found & $1.poll != 0 ? $1.slirp : 0) })
    }
}
