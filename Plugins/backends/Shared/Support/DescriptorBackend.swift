import PluginKit

/// Base of stream backends whose host end is a descriptor that can be waited for: sockets and pseudo-terminals.
/// Nothing blocks: what the host does not take waits in a bounded queue.
open class DescriptorBackend: StreamBackend {
    /// `descriptorReady` cookies below this one are the base's own.
    public static let firstFreeCookie: UInt64 = 2
    private static let (channelCookie, drainCookie) = (0 as UInt64, 1 as UInt64)
    /// How long a slow reader may take for the last bytes before a save or the end.
    private static let drainMilliseconds: UInt32 = 1000
    private static let chunk = 16 << 10

    private let isSocket: Bool
    /// Output is kept while nobody is there, instead of dropped.
    private let holdsOutput: Bool
    private let drainTimer: HostTimer
    private var channel: Descriptor?
    private var watch: Events.Watch?
    private var interest: Events.Interest = []
    private var output = OutputQueue()
    private var isDraining = false

    public init(_ host: Host, isSocket: Bool, holdsOutput: Bool) throws(PluginError) {
        self.isSocket = isSocket
        self.holdsOutput = holdsOutput
        do throws(HostCallError) { drainTimer = try HostTimer() } catch {
            throw PluginError("a host timer cannot be made: " + error.text)
        }
        super.init(host)
    }

    // MARK: For the backend

    public final var hasChannel: Bool { channel != nil }

    /// Somebody is there, at the other end of `descriptor`, which must not block.
    public final func attach(_ descriptor: Descriptor) {
        channel = descriptor
        setCarrier(true)
        updateInterest()
    }

    /// The other end of the channel is gone. It is not watched any more, and is closed unless the backend keeps it.
    open func channelLost() {}

    /// Other cookies than the base's.
    open func otherDescriptorReady(cookie: UInt64) {}

    // MARK: The channel

    private func lose() {
        removeWatch()
        channel = nil
        if !holdsOutput { carryOut(output.removeAll()) }
        finishDraining()
        setCarrier(false)
        channelLost()
    }

    private func removeWatch() {
        if let watch { (try? host.events)?.unwatch(watch) }
        watch = nil
        interest = []
    }

    private func updateInterest() {
        guard let channel else { return }
        var wanted: Events.Interest = []
        if inputSpace > 0 { wanted.insert(.read) }
        if !output.isEmpty { wanted.insert(.write) }
        guard wanted != interest else { return }
        // A hangup is reported even where nothing is asked for, again and again.
        if wanted.isEmpty { return removeWatch() }
        interest = wanted
        if let watch {
            (try? host.events)?.change(watch, to: wanted)
            return
        }
        do throws(PluginError) {
            watch = try host.events.watch(channel.raw, wanted, cookie: DescriptorBackend.channelCookie)
        } catch {
            host.log(.error, error.text)
            lose()
        }
    }

    private func send(_ bytes: UnsafeRawBufferPointer, to channel: Descriptor) -> Descriptor.Transfer {
        isSocket ? channel.send(bytes) : channel.write(bytes)
    }

    /// False: the other end is gone.
    private func flush(_ channel: Descriptor) -> Bool {
        while !output.isEmpty {
            switch output.withFront({ send($0, to: channel) }) {
            case .bytes(let count): carryOut(output.consume(count))
            case .wouldBlock, .end: return true
            case .failed: return false
            }
        }
        finishDraining()
        return true
    }

    /// One piece: there is another event for the next. False: the other end is gone.
    private func fill(_ channel: Descriptor, isHungUp: Bool) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: min(inputSpace, DescriptorBackend.chunk), alignment: 16) { buffer in
            switch channel.read(into: buffer) {
            case .bytes(let count):
                received(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                return true
            case .wouldBlock: return !isHungUp
            case .end, .failed: return false
            }
        }
    }

    private func serveChannel(_ events: Events.Interest) {
        guard let channel else { return }
        let isHungUp = !events.isDisjoint(with: [.hangup, .error])
        var isAlive = flush(channel)
        // What it sent before it went is still read, as long as there is space for it.
        if isAlive, interest.contains(.read) {
            isAlive = events.contains(.read) || isHungUp ? fill(channel, isHungUp: isHungUp) : true
        } else if isHungUp {
            isAlive = false
        }
        if isAlive { updateInterest() } else { lose() }
    }

    private func finishDraining() {
        guard isDraining else { return }
        isDraining = false
        drainTimer.stop()
        host.quiesced()
    }

    // MARK: From the host

    override open func connect() throws(PluginError) {
        try drainTimer.connect(host, cookie: DescriptorBackend.drainCookie)
    }

    override open func streamWritten(_ index: UInt32, _ bytes: UnsafeRawBufferPointer) {
        guard let channel else {
            if holdsOutput { carryOut(output.append(bytes)) }
            return
        }
        var rest = bytes
        if output.isEmpty {
            switch send(bytes, to: channel) {
            case .bytes(let count): rest = UnsafeRawBufferPointer(rebasing: bytes[count...])
            case .wouldBlock, .end: break
            case .failed:
                if holdsOutput { carryOut(output.append(bytes)) }
                return lose()
            }
        }
        guard !rest.isEmpty else { return }
        carryOut(output.append(rest))
        updateInterest()
    }

    override open func inputSpaceGrew() { updateInterest() }

    override open func descriptorReady(cookie: UInt64, descriptor: Int32, events: Events.Interest) {
        switch cookie {
        case DescriptorBackend.channelCookie: serveChannel(events)
        case DescriptorBackend.drainCookie:
            drainTimer.acknowledge()
            finishDraining()
        default: otherDescriptorReady(cookie: cookie)
        }
    }

    override open func quiesce() throws(PluginError) -> Bool {
        _ = try super.quiesce()
        guard channel != nil, !output.isEmpty else { return true }
        isDraining = true
        drainTimer.set(milliseconds: DescriptorBackend.drainMilliseconds)
        return false
    }

    override open func disconnect() {
        super.disconnect()
        watch = nil
        channel = nil
        if output.count > 0 { host.log(.warning, "\(output.count) bytes of the guest's output were never read") }
    }
}
