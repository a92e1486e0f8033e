import Core

/// What the multiplexer needs of a client: a console of a plugin instance, or a test's own.
///
/// All of it is called with the multiplexer's lock held, so that flow control is never reordered: it must not block
/// and must not call the multiplexer back.
package protocol TerminalClient: AnyObject, Sendable {
    /// For the person at the terminal: "tour: com1".
    var title: String { get }
    var controlledMachine: (any ControlledMachine)? { get }
    /// The number, from 0, of the guest that it belongs to; nil: it is no guest's.
    var guest: Int? { get }
    /// Bytes given to `receive` that have not reached the instance: the room that it announces does not know of them.
    /// Read within `ready`, when none can arrive meanwhile.
    var undelivered: UInt64 { get }
    func receive(_ bytes: [UInt8])
    func throttle(_ on: Bool)
    /// False: this client knows no break.
    func sendBreak() -> Bool
    /// No more bytes will come.
    func inputEnded()
    /// It paints the whole window, and needs to know when it has it; what it writes meanwhile is lost.
    var isPainter: Bool { get }
    /// To a painter: the window is its own, clear, and of this size; nil: it is not any more.
    func shown(_ window: WindowSize?)
    /// The terminal has this size, whoever is in the foreground.
    func sized(_ window: WindowSize)
}

/// What an operator can ask of a machine. May block for as long as a callback of the machine runs.
package protocol ControlledMachine: AnyObject, Sendable {
    func powerButton()
    func reset()
    func stop(_ status: Int32, _ reason: String)
}

extension TerminalClient {
    // For clients that buffer nothing and know no break.
    package var undelivered: UInt64 { 0 }
    package var guest: Int? { nil }
    package func sendBreak() -> Bool { false }
    package func inputEnded() {}
    package var isPainter: Bool { false }
    package func shown(_ window: WindowSize?) {}
    package func sized(_ window: WindowSize) {}
}

extension ConsoleClient: TerminalClient {
    package var title: String { "\(machineName): \(instanceID)" }
    package var controlledMachine: (any ControlledMachine)? { machine }
    package var guest: Int? { machine.seat.index }
    package func shown(_ window: WindowSize?) { shown(columns: window?.columns ?? 0, rows: window?.rows ?? 0) }
    package func sized(_ window: WindowSize) { sized(columns: window.columns, rows: window.rows) }
}

extension Machine: ControlledMachine {}
