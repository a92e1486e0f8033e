import Core

/// Joins the guests' foreground with the terminal: whoever brings a guest - the escape key, the monitor, QMP, a policy, another guest's end -
/// tells the board, and the terminal follows.
final class GuestSwitch: Sendable {
    let guests: GuestBoard
    private let terminal: TerminalMultiplexer

    init(_ guests: GuestBoard, _ terminal: TerminalMultiplexer) {
        self.guests = guests
        self.terminal = terminal
    }

    /// The first guest with a console begins in the foreground.
    func begin() {
        let first = terminal.board.withLock { $0.consoles().first?.guest }
        if let first { guests.bring(first) }
        terminal.guide { [guests] in guests.foreground }
        guests.onForeground { [weak guests, weak terminal] in
            terminal?.show(uncovers: false) { guests?.foreground }
        }
    }

    // MARK: Keys, on the multiplexer's thread

    /// Again for the guest that is there already: its next console.
    func bring(_ number: Int) -> [String] {
        let all = guests.summaries
        guard all.indices.contains(number - 1) else {
            let names = all.map { "\($0.number) \($0.name)" }.joined(separator: ", ")
            return ["there is no guest \(number): " + (all.count == 1 ? "this one is alone" : "there are \(names)")]
        }
        let guest = all[number - 1]
        if guest.hasEnded { return ["guest \(number), \(guest.name), has ended"] }
        let current = terminal.board.withLock { $0.foregroundClient }
        if current?.guest == number - 1 {
            let next = terminal.board.withLock { $0.nextConsole(after: current, of: number - 1) }
            if let next { terminal.bring(next) }
            return []
        }
        guests.bring(number - 1)
        terminal.show(uncovers: true) { [guests] in guests.foreground }
        let hasConsole = terminal.board.withLock { !$0.consoles(of: number - 1).isEmpty }
        return hasConsole ? [] : ["guest \(number), \(guest.name), has no console"]
    }

    func bringNextConsole() -> [String] {
        let next: (any TerminalClient)? = terminal.board.withLock { board in
            let next = board.nextConsole(after: board.currentConsole)
            if let next { board.remember(next) }
            return next
        }
        guard let next, let guest = next.guest else { return ["there is no other console"] }
        guests.bring(guest)
        terminal.bring(next)
        return []
    }
}
