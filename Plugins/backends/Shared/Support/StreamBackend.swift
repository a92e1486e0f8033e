import PluginKit

/// Base of all backends that provide "stream/1", index 0, to one client.
///
/// Bytes go to the client only while the machine runs, within the room that it granted, and one piece for each
/// callback: a client that is on the call stack, or that answers with `ready` from inside `receive`, is heard before
/// the next piece. Not modelled: line signals from the client (break, DTR, RTS) have no meaning at any of these host
/// ends.
open class StreamBackend: Instance {
    /// `posted` arguments up to this one are the base's own.
    public static let lastOwnPost: UInt = 1
    private static let delivery: UInt = 1

    private var client: StreamClient?
    private var input = InputQueue()
    private var isRunning = false
    private var isDeliveryPosted = false
    private var isDelivering = false
    private var carrier = false
    private var throttle = false
    /// Character cells of the window at the other end.
    private var window = (columns: 0, rows: 0)

    // MARK: For the backend

    /// Somebody is at the other end.
    public final func setCarrier(_ on: Bool) {
        guard carrier != on else { return }
        carrier = on
        if isRunning { client?.event(on ? .open : .closed) }
    }

    /// The client must write no more, or may go on.
    public final func setThrottle(_ on: Bool) {
        guard throttle != on else { return }
        throttle = on
        if isRunning { client?.throttle(on) }
    }

    /// The window at the other end has so many character cells; 0 and 0: that is not known.
    public final func setWindow(columns: Int, rows: Int) {
        window = (columns, rows)
        if isRunning { client?.window(columns: columns, rows: rows) }
    }

    /// Tells the client and the user what a change of an output queue asks for.
    public final func carryOut(_ effect: OutputQueue.Effect) {
        if let throttle = effect.throttle { setThrottle(throttle) }
        if effect.isFirstLoss {
            host.log(
                .warning,
                "the guest writes on although it was told to wait: "
                    + "what does not fit in \(OutputQueue.limit) bytes is lost")
        }
    }

    /// How many bytes `received` takes.
    public final var inputSpace: Int { input.space }

    /// Bytes for the guest; answers how many were taken.
    @discardableResult
    public final func received(_ bytes: UnsafeRawBufferPointer) -> Int {
        let taken = input.append(bytes)
        deliver()
        return taken
    }

    /// The line to the guest is held spacing for a moment, after the bytes that were received before.
    public final func receivedBreak() {
        input.appendBreak()
        deliver()
    }

    /// `inputSpace` has become larger.
    open func inputSpaceGrew() {}

    // MARK: Delivery

    private func deliver() {
        guard isRunning, !isDelivering, let client else { return }
        if input.takeBreak() {
            client.event(.breakBegin)
            client.event(.breakEnd)
            return scheduleDelivery()
        }
        guard input.canSend else { return }
        isDelivering = true
        input.next().withUnsafeBytes { client.receive($0) }
        // May bring more bytes: they wait for the next callback.
        inputSpaceGrew()
        isDelivering = false
        scheduleDelivery()
    }

    private func scheduleDelivery() {
        guard isRunning, !isDeliveryPosted, input.canSend || input.isAtBreak else { return }
        isDeliveryPosted = (try? host.events)?.post(StreamBackend.delivery) ?? false
    }

    // MARK: From the host

    override open func streamClient(_ index: UInt32, is client: StreamClient) { self.client = client }

    override open func streamReady(_ index: UInt32, room: UInt64) {
        input.ready(room)
        scheduleDelivery()
    }

    override open func posted(_ argument: UInt) {
        guard argument == StreamBackend.delivery else { return }
        isDeliveryPosted = false
        deliver()
    }

    override open func start() throws(PluginError) {
        isRunning = true
        // A restored client may remember another state of this end.
        client?.event(carrier ? .open : .closed)
        client?.throttle(throttle)
        client?.window(columns: window.columns, rows: window.rows)
        scheduleDelivery()
    }

    /// From here to the next start the client's state is being saved: nothing goes to it.
    override open func quiesce() throws(PluginError) -> Bool {
        isRunning = false
        return true
    }

    override open func disconnect() {
        isRunning = false
        client = nil
    }
}
