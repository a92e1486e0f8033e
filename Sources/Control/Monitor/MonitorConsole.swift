import Core
import Synchronization

/// The monitor at the terminal: a client of the multiplexer like a guest's console. What is typed is edited and carried out on
/// the control plane's thread.
final class MonitorConsole: TerminalClient {
    let title = "monitor (Ctrl-A c or Ctrl-D goes back to the guest)"
    let controlledMachine: (any ControlledMachine)? = nil

    private let plane: ControlPlane
    private let choice = MachineChoice()
    private let terminal: TerminalMultiplexer
    /// SAFETY: the editor's closure is used on the control thread only, as the editor itself.
    private struct EditorBox: @unchecked Sendable { var editor: LineEditor }
    private let state: Mutex<EditorBox>
    private let hasBegun = Atomic<Bool>(false)

    private static let room: UInt64 = 4096

    init(plane: ControlPlane, terminal: TerminalMultiplexer) {
        self.plane = plane
        self.terminal = terminal
        let completion = Completion(plane: plane, choice: choice)
        state = Mutex(EditorBox(editor: LineEditor(prompt: "(backplane) ", complete: completion.words)))
    }

    /// To the foreground, or back to what was there. On the multiplexer's thread.
    func toggle() {
        if !hasBegun.exchange(true, ordering: .relaxed) {
            terminal.open(self)
            terminal.ready(self, room: MonitorConsole.room)
        }
        guard terminal.toggle(self) else { return }
        _ = plane.enqueue { [self] in show(state.withLock { $0.editor.shown }) }
    }

    // MARK: TerminalClient, with the multiplexer's lock held

    func receive(_ bytes: [UInt8]) {
        _ = plane.enqueue { [self] in
            for byte in bytes { obey(byte) }
            terminal.ready(self, room: MonitorConsole.room)
        }
    }

    func throttle(_ on: Bool) {}

    // MARK: On the control plane's thread

    private func obey(_ byte: UInt8) {
        for event in state.withLock({ $0.editor.feed(byte) }) {
            switch event {
            case .show(let text): show(text)
            case .end:
                show("\r\n")
                if terminal.isForeground(self) { _ = terminal.toggle(self) }
            case .line(let line):
                show(answer(line).split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n"))
                show(state.withLock { $0.editor.shown })
            }
        }
    }

    private func answer(_ line: String) -> String {
        do throws(CommandError) {
            return try Monitor(plane: plane, choice: choice).run(line)
        } catch {
            return "Error: \(error.text)\n"
        }
    }

    private func show(_ text: String) {
        var copy = text
        copy.withUTF8 { terminal.write(self, UnsafeRawBufferPointer($0)) }
    }
}
