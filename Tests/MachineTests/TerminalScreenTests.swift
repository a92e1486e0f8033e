import Core
import Synchronization
import Testing

/// The bundled `screen`, in a window of 80 by 25.
@Suite(.timeLimit(.minutes(30))) struct TerminalScreenTests {
    private final class Window: ConsoleProvider {
        private let state = Mutex<(client: ConsoleClient?, text: [UInt8])>((nil, []))
        var hasWindow: Bool { true }
        var text: String { state.withLock { String(decoding: $0.text, as: UTF8.self) } }

        func open(_ client: ConsoleClient) { state.withLock { $0.client = client } }
        func write(_ client: ConsoleClient, _ bytes: UnsafeRawBufferPointer) {
            let copy = [UInt8](bytes)
            state.withLock { $0.text += copy }
        }
        func ready(_ client: ConsoleClient, room: UInt64) {}
        func close(_ client: ConsoleClient) {}

        func show() { state.withLock { $0.client }?.shown(columns: 80, rows: 25) }

        /// The host's time goes on by itself.
        func waits(for text: String) async {
            while !self.text.contains(text) { try? await Task.sleep(for: .milliseconds(5)) }
        }
    }

    private func machine(_ window: Window) throws -> Machine {
        let machine = try TestMachine(
            """
            machine: window
            memory: 1MiB
            devices:
              - { id: card, plugin: screen-card, display: [screen] }
            backends:
              - { id: screen, plugin: screen, keyboard: card.0 }
            """, engine: false, console: window
        ).machine
        try machine.start()
        window.show()
        return machine
    }

    /// Whoever types sees what comes of it also without that.
    @Test func aDisplayThatWasOffLineIsShownAgainWithoutAKey() async throws {
        let window = Window()
        let machine = try machine(window)
        defer { machine.tearDown() }
        await window.waits(for: "@ABC")
        try machine.takeOffline("card")
        // Longer than between two looks: one of them gets no answer.
        try await Task.sleep(for: .milliseconds(500))
        try machine.bringOnline("card")
        try machine.press(keys: [0x58], hold: 3_600_000_000_000, on: "card.0")
        await window.waits(for: "X")
    }

    /// With a counted clock a guest that halts rests until the next timer: there is none of the screen's.
    @Test func aScreenThatIsShownTakesNoneOfTheGuestsTime() async throws {
        let window = Window()
        let machine = try machine(window)
        defer { machine.tearDown() }
        await window.waits(for: "@ABC")
        #expect(machine.advance(to: 3_600_000_000_000, limit: 1000).fired == 0)
        // And it looks on.
        try machine.press(keys: [0x58], hold: 3_600_000_000_000, on: "card.0")
        await window.waits(for: "X")
    }
}
