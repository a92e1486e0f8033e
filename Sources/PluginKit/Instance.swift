/// Base of every plugin instance. Override what the class needs; each function's contract is that of `plugin.h`. All run
/// with the machine's lock held, one at a time.
open class Instance {
    public let host: Host

    /// Set once, right after the instance was made.
    final var definition: ClassDefinition?

    public init(_ host: Host) { self.host = host }

    // MARK: Lifecycle

    /// Claim ports and memory, fetch lines and peers.
    open func connect() throws(PluginError) {}
    /// To the state after power-on, or after RESET (`warm`).
    open func reset(warm: Bool) {}
    open func start() throws(PluginError) {}
    /// True: done. False: `host.quiesced()` will say when.
    open func quiesce() throws(PluginError) -> Bool { true }
    open func save(to state: StateWriter) throws(PluginError) {}
    /// Hostile input: leaves the instance unchanged where it throws.
    open func load(version: UInt32, from state: StateReader) throws(PluginError) {}
    open func disconnect() {}
    /// A live property has a new value.
    open func setProperty(_ name: String, to values: Values) throws(PluginError) {
        throw PluginError("this property cannot be set while the machine runs", status: .unsupported)
    }

    // MARK: Events

    open func timerFired(cookie: UInt64, at now: UInt64) {}
    open func descriptorReady(cookie: UInt64, descriptor: Int32, events: Events.Interest) {}
    /// What `Events.post` was given, from any thread.
    open func posted(_ argument: UInt) {}
    open func powerButton() {}
    open func consoleReceived(_ bytes: UnsafeRawBufferPointer) {}
    open func consoleThrottled(_ on: Bool) {}
    /// The window of `Console.openWindow` is this instance's, clear, and of this size in character cells; 0 and 0: it is not any more.
    open func consoleShown(columns: Int, rows: Int) {}
    /// The terminal of `Console.open` has this size in character cells.
    open func consoleSized(columns: Int, rows: Int) {}
    /// The operator sends a break.
    open func consoleBreak() {}

    // MARK: Accesses to claims

    open func read(_ access: Access) -> ReadResult { .noRegister }
    open func write(_ access: Access, _ value: UInt64) -> Status { .noRegister }
    /// A string instruction; `bytes` holds whole elements of `access.width`. Answers the number of elements done.
    open func readBulk(_ access: Access, into bytes: UnsafeMutableRawBufferPointer) -> Int { 0 }
    open func writeBulk(_ access: Access, from bytes: UnsafeRawBufferPointer) -> Int { 0 }

    // MARK: The client's side of wires; `slot` is the position in the class's slots

    open func streamReceived(slot: Int, _ bytes: UnsafeRawBufferPointer) {}
    open func streamThrottled(slot: Int, _ on: Bool) {}
    open func streamEvent(slot: Int, _ event: StreamEvent) {}
    /// These three are for a slot for many; the others, for one, are what they do unless overridden.
    open func streamReceived(slot: Int, position: Int, _ bytes: UnsafeRawBufferPointer) {
        streamReceived(slot: slot, bytes)
    }
    open func streamThrottled(slot: Int, position: Int, _ on: Bool) { streamThrottled(slot: slot, on) }
    open func streamEvent(slot: Int, position: Int, _ event: StreamEvent) { streamEvent(slot: slot, event) }
    /// The window at the other end has so many character cells; 0 and 0: it does not know.
    open func streamWindow(slot: Int, position: Int, columns: Int, rows: Int) {}
    open func blockCompleted(slot: Int, tag: UInt64, _ status: Status) {}
    /// The medium has this many sectors from now on.
    open func blockResized(slot: Int, sectors: UInt64) {}
    /// Configuration space of the function that the slot wires to a bus: `width` 1, 2 or 4, aligned; nil reads as ones.
    open func pciConfigRead(slot: Int, _ offset: UInt16, width: UInt8, isPeek: Bool) -> UInt32? { nil }
    open func pciConfigWrite(slot: Int, _ offset: UInt16, width: UInt8, _ value: UInt32) {}
    /// The same for a bus behind the function, which is a bridge.
    open func pciConfigRead(slot: Int, behind place: PCIPlace, _ offset: UInt16, width: UInt8, isPeek: Bool) -> UInt32?
    {
        nil
    }
    open func pciConfigWrite(slot: Int, behind place: PCIPlace, _ offset: UInt16, width: UInt8, _ value: UInt32) {}
    open func pciBusReset(slot: Int) {}
    /// The output of the controller that the slot is wired to.
    open func controllerOutput(slot: Int, vcpu: UInt32, to level: Bool) {}
    /// A level-triggered interrupt of this vector has ended there.
    open func interruptEnded(slot: Int, vcpu: UInt32, vector: UInt8) {}
    /// Borrowed for the call.
    open func netReceived(slot: Int, _ frame: UnsafeRawBufferPointer) {}
    open func netLink(slot: Int, isUp: Bool) {}
    /// Who looks at the wire's other end wants a picture: answer by its `DisplayPeer`. `all`: as if it were its first.
    open func displayRefresh(slot: Int, position: Int, all: Bool) {}
    open func inputLamps(slot: Int, position: Int, _ lamps: InputLamps) {}
    /// The channel runs in the direction that was asked for, or does not any more.
    open func dmaReady(slot: Int, _ isReady: Bool) {}
    /// The answer to `DMAChannelPeer.write`: bytes that are in memory; fewer than were given where the channel came to its end.
    open func dmaMoved(slot: Int, _ count: Int) {}
    /// The answer to `DMAChannelPeer.read`, borrowed for the call; fewer bytes than asked for where the channel came to its end.
    open func dmaRead(slot: Int, _ bytes: UnsafeRawBufferPointer) {}
    /// What the device is behind the transport of the slot: from reset on, always the same.
    open func virtioDescription(slot: Int) -> VirtioDescription { VirtioDescription() }
    /// The status as it counts now, and the features accepted so far. Empty: a reset; no memory and no queue is used any more. False, with
    /// `featuresOK`: not these features.
    open func virtioStatus(slot: Int, _ status: VirtioStatus, features: UInt64) -> Bool { true }
    /// Where a queue is; nil: it is not enabled any more, and none of its memory is used.
    open func virtioQueue(slot: Int, _ queue: UInt32, is layout: VirtioQueueLayout?) {}
    /// Buffers are available.
    open func virtioKicked(slot: Int, queue: UInt32) {}
    /// Configuration space: `width` 1, 2 or 4, aligned; what lies beyond it is the transport's to keep away, and the device's to check.
    open func virtioConfigRead(slot: Int, _ offset: UInt32, width: UInt8, isPeek: Bool) -> UInt32 { 0 }
    open func virtioConfigWrite(slot: Int, _ offset: UInt32, width: UInt8, _ value: UInt32) {}

    // MARK: The provider's side of wires; `index` is the N of `instance.N`

    open func lineChanged(_ index: UInt32, to level: Bool) {}
    open func acknowledge(vcpu: UInt32) -> UInt8 { 0 }
    /// A message signalled interrupt: a write of `data` to `address`.
    open func interruptMessage(address: UInt64, data: UInt64, requester: UInt64) {}
    /// One more instance is wired to the controller of index `index`.
    open func controllerClient(_ index: UInt32, is client: ControllerClient) {}
    /// The client of index `index` is wired.
    open func streamClient(_ index: UInt32, is client: StreamClient) {}
    open func streamWritten(_ index: UInt32, _ bytes: UnsafeRawBufferPointer) {}
    open func streamReady(_ index: UInt32, room: UInt64) {}
    open func streamEventFromClient(_ index: UInt32, _ event: StreamEvent) {}
    open func blockClient(_ index: UInt32, is client: BlockClient) {}
    /// Sectors, sector size...; nil: no medium.
    open func blockInfo(_ index: UInt32) -> bp_block_info? { nil }
    open func blockSubmitted(_ index: UInt32, _ request: BlockRequest) {}
    open func blockCancelAll(_ index: UInt32) {}
    /// A drive with removable media wants that of another file. On failure the medium stays.
    open func blockInsert(_ index: UInt32, path: String, isReadOnly: Bool) throws(PluginError) {
        throw PluginError("the medium is fixed", status: .unsupported)
    }
    /// The function at `index` (device << 3 | function) of the bus is wired.
    open func pciFunction(_ index: UInt32, is function: PCIFunctionClient) {}
    /// A function asserts INTA# to INTD# (pin 1 to 4), or takes it back.
    open func pciINTx(_ index: UInt32, pin: UInt8, to level: Bool) {}
    /// bus << 8 | index.
    open func pciLocation(_ index: UInt32) -> UInt16 { UInt16(truncatingIfNeeded: index) }
    /// The files of index `index` ("tables/1") with their bytes of this moment: always the same ones, of the same lengths.
    open func tableFiles(_ index: UInt32) -> [MadeFile] { [] }
    /// The device behind DMA channel `index` is wired.
    open func dmaClient(_ index: UInt32, is client: DMAChannelClient) {}
    /// The device wants to move bytes; nil: not any more.
    open func dmaRequested(_ index: UInt32, _ direction: DMADirection?) {}
    /// The device's bytes for memory, borrowed for the call, at most 65536; one `DMAChannelClient.moved` answers.
    open func dmaWritten(_ index: UInt32, _ bytes: UnsafeRawBufferPointer) {}
    /// The device asks for bytes from memory, at most 65536; one `DMAChannelClient.data` answers.
    open func dmaReadAsked(_ index: UInt32, _ count: Int) {}
    /// The device's interrupt line.
    open func dmaInterrupt(_ index: UInt32, to level: Bool) {}
    /// The device behind transport `index` is wired.
    open func virtioClient(_ index: UInt32, is client: VirtioClient) {}
    /// The guest is to be told of used buffers.
    open func virtioUsed(_ index: UInt32, queue: UInt32) {}
    open func virtioConfigChanged(_ index: UInt32) {}
    open func virtioNeedsReset(_ index: UInt32) {}
    open func netClient(_ index: UInt32, is client: NetClient) {}
    /// The client sends a frame, borrowed for the call.
    open func netSent(_ index: UInt32, _ frame: UnsafeRawBufferPointer) {}
    /// The client has room for `frames` in all.
    open func netReady(_ index: UInt32, frames: UInt64) {}
    open func displayClient(_ index: UInt32, is client: DisplayClient) {}
    /// Pixels are shown from now on, so; width 0: nothing is.
    open func displaySurface(_ index: UInt32, _ surface: bp_display_surface) {}
    /// Cells of text are shown from now on, so.
    open func displayCells(_ index: UInt32, _ cells: bp_display_cells) {}
    open func displayDamage(_ index: UInt32, _ damage: DisplayDamage) {}
    /// The picture that was asked for is whole.
    open func displayFrame(_ index: UInt32, at time: UInt64) {}
    /// One more client is wired to the input of index `index`.
    open func inputClient(_ index: UInt32, is client: InputClient) {}
    open func inputEvent(_ index: UInt32, _ event: InputEvent) {}
    /// What the input of index `index` takes.
    open func inputKinds(_ index: UInt32) -> InputKinds { [] }
    /// An interface of the plugin's own: its function table; nil: not provided.
    open func customInterface(_ name: String, index: UInt32, client: bp_peer?) -> UnsafeRawPointer? { nil }

    // MARK: Policies

    /// What `CPUAccess.setAlarm` asked for, on the vCPU's thread.
    open func instructionsRetired(vcpu: UInt32) {}
    open func decide(_ exit: inout bp_exit) -> Verdict { .continue }
    open func observe(_ exit: bp_exit, _ outcome: bp_outcome) {}
}

/// What a policy answers.
public enum Verdict: Equatable, Sendable {
    case `continue`
    /// Done; a read's result is in `exit.value`.
    case handled
    case inject(vector: UInt8, errorCode: UInt32?)
    case pause
    /// `host.fail` gives the reason.
    case stop(status: UInt32)
    case reset
    /// The vCPU stands still for so much virtual time, at most a second, while its clock goes on; then the rest of the chain
    /// decides. Nothing with hosts older than ABI 1.3.
    case delay(nanoseconds: UInt64)
    case switchTo(guest: UInt32)
}

/// The instance behind a C `self`, in a method: `instance(self, as: LFSR.self)`.
public func instance<T: Instance>(_ raw: UnsafeMutableRawPointer?, as type: T.Type) -> T {
    // SAFETY: the host passes what create gave it; create of this class makes only T.
    unsafeDowncast(Unmanaged<Instance>.fromOpaque(raw!).takeUnretainedValue(), to: T.self)
}
