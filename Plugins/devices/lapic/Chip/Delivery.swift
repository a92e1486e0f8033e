// How interrupts come in, get to the CPU, end, and go out: SDM, "Local Interrupts", "Handling Interrupts", "Issuing
// Interprocessor Interrupts".

extension LocalAPIC {
    static let commandWritable: UInt32 = 0xC_CFFF

    // MARK: From the bus

    /// Whether a message is for this chip. One that is disabled hears no messages.
    public func accepts(_ destination: InterruptMessage.Destination, isSender: Bool) -> Bool {
        guard isEnabled else { return false }
        switch destination {
        case .allIncludingSelf: return true
        case .allExcludingSelf: return !isSender
        case .physical(let id): return id == 0xFF || id == state.id
        case .logical(let address): return matchesLogical(address)
        }
    }

    private func matchesLogical(_ address: UInt8) -> Bool {
        if address == 0xFF { return true }
        switch state.destinationFormat {
        case 15: return address & state.logicalID != 0
        case 0: return address &>> 4 == state.logicalID &>> 4 && address & state.logicalID & 15 != 0
        default: return false
        }
    }

    /// A message that is for this chip. `InterruptBus` chooses where it is for one of several.
    public mutating func receive(_ message: InterruptMessage, at now: UInt64) {
        guard isEnabled else { return }
        advance(to: now)
        accept(message.delivery, message.vector, isLevelTriggered: message.isLevelTriggered)
    }

    private mutating func accept(_ delivery: InterruptMessage.Delivery, _ vector: UInt8, isLevelTriggered: Bool) {
        switch delivery {
        case .fixed, .lowestPriority: request(vector, isLevelTriggered: isLevelTriggered)
        case .systemManagement: outputs.systemManagement = true
        case .nonMaskable: outputs.nonMaskable = true
        case .initialize:
            softReset()
            outputs.initialize = true
        case .startUp: outputs.startUp = vector
        case .external: state.externalLatched = true
        }
    }

    private mutating func request(_ vector: UInt8, isLevelTriggered: Bool) {
        guard isSoftwareEnabled else { return }
        guard vector >= 16 else { return note(.receivedIllegalVector) }
        state.requests.insert(vector)
        if isLevelTriggered { state.levelTriggered.insert(vector) } else { state.levelTriggered.remove(vector) }
    }

    // MARK: Local sources

    /// LINT0 (0) or LINT1 (1) is asserted or not; other lines are ignored. Without the chip LINT1 is NMI.
    public mutating func setLine(_ line: UInt8, _ asserted: Bool, at now: UInt64) {
        guard line < 2 else { return }
        advance(to: now)
        let bit: UInt8 = 1 &<< line
        let rises = asserted && state.lines & bit == 0
        state.lines = asserted ? state.lines | bit : state.lines & ~bit
        guard rises else { return }
        switch (isEnabled, line) {
        case (true, 0): isLint0Level ? sampleLint0() : raise(.lint0)
        case (true, _): raise(.lint1)
        case (false, 0): break
        case (false, _): outputs.nonMaskable = true
        }
    }

    private var isLint0Level: Bool { state.lint0.delivery == .fixed && state.lint0.isLevelTriggered }

    /// A level asks again until it is released: after an EOI, and after a mask.
    mutating func sampleLint0() {
        guard isEnabled, isLint0Level, state.lines & 1 != 0, !state.lint0.remoteRequest, !state.lint0.isMasked,
            isSoftwareEnabled, state.lint0.vector >= 16
        else { return }
        state.lint0.remoteRequest = true
        request(state.lint0.vector, isLevelTriggered: true)
    }

    /// The thermal sensor or a performance counter; the latter's entry masks itself.
    public mutating func raise(_ source: Source) {
        guard isEnabled else { return }
        let entry = entry(source)
        guard !entry.isMasked else { return }
        switch source {
        case .timer, .error: request(entry.vector, isLevelTriggered: false)
        case .thermal: deliver(entry)
        case .performance:
            state.performance.isMasked = true
            deliver(entry)
        case .lint0, .lint1:
            // ExtINT is a level: `request` looks at the pin.
            if entry.delivery != .external { deliver(entry) }
        }
    }

    private mutating func deliver(_ entry: LocalVector) {
        switch entry.delivery {
        case .lowestPriority, .startUp, nil: break  // "not supported" in the local vector table
        case .some(let delivery): accept(delivery, entry.vector, isLevelTriggered: false)
        }
    }

    func entry(_ source: Source) -> LocalVector {
        switch source {
        case .timer: state.timer
        case .thermal: state.thermal
        case .performance: state.performance
        case .lint0: state.lint0
        case .lint1: state.lint1
        case .error: state.error
        }
    }

    /// An error that is new asks for its interrupt, unless it is one of that interrupt.
    mutating func note(_ error: Errors) {
        guard isEnabled, !state.newErrors.contains(error) else { return }
        state.newErrors.insert(error)
        raise(.error)
    }

    // MARK: The CPU's side

    /// The INTA cycle. Nothing is requested any more (a TPR that rose, a request that was withdrawn): the spurious vector,
    /// which is not in service.
    public mutating func acknowledge() -> Request {
        switch request {
        case .external:
            state.externalLatched = false
            return .external
        case .vector(let vector):
            state.requests.remove(vector)
            state.inService.insert(vector)
            return .vector(vector)
        case nil: return .vector(state.spurious.vector)
        }
    }

    mutating func endOfInterrupt() {
        guard let vector = state.inService.highest else { return }
        state.inService.remove(vector)
        guard state.levelTriggered.contains(vector) else { return }
        outputs.endedVector = vector
        if state.lint0.remoteRequest && state.lint0.vector == vector {
            state.lint0.remoteRequest = false
            sampleLint0()
        }
    }

    // MARK: To the bus

    private enum Shorthand: UInt32 { case none, toSelf, all, others }

    /// The write to ICR's lower half sends. Level-triggered IPIs do not exist since the Pentium 4: the trigger mode says
    /// only whether an INIT is a de-assert, which is no message any more.
    mutating func sendCommand(_ value: UInt32) {
        state.commandLow = value & Self.commandWritable
        let vector = UInt8(truncatingIfNeeded: value)
        guard let delivery = InterruptMessage.Delivery(rawValue: UInt8(value &>> 8 & 7)), delivery != .external else {
            return
        }
        if delivery == .initialize && value & 1 << 15 != 0 && value & 1 << 14 == 0 { return }
        let isVectored = delivery == .fixed || delivery == .lowestPriority
        if isVectored && vector < 16 { return note(.sendIllegalVector) }
        let id = UInt8(state.commandHigh &>> 24)
        switch Shorthand(rawValue: value &>> 18 & 3) ?? .none {
        case .toSelf:
            if delivery == .fixed { accept(.fixed, vector, isLevelTriggered: false) }
        case .all:
            if delivery == .fixed { send(.allIncludingSelf, delivery, vector) }
        case .others: send(.allExcludingSelf, delivery, vector)
        case .none: send(value & 1 << 11 != 0 ? .logical(id) : .physical(id), delivery, vector)
        }
    }

    private mutating func send(
        _ destination: InterruptMessage.Destination, _ delivery: InterruptMessage.Delivery, _ vector: UInt8
    ) {
        outputs.sent = InterruptMessage(destination: destination, delivery: delivery, vector: vector)
    }
}
