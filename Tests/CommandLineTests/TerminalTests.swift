import Foundation
import Testing

extension Commands {
    /// `run` at a terminal, which must be as it was afterwards, however the run ends.
    @Suite(.enabled(if: Host.hasKVM)) struct TerminalTests {
        private func start(_ arguments: [String], at terminal: Terminal) throws -> Child {
            try Child(arguments, input: .terminal(terminal), output: .terminal(terminal))
        }

        @Test(.enabled(if: Host.hasTour)) func theTourIsUsedByHandAndQuitWithCtrlAX() async throws {
            let terminal = try Terminal()
            let before = terminal.settings
            let child = try start(Tour.arguments(), at: terminal)
            #expect(await terminal.shows(Tour.prompt))
            #expect(terminal.settings.isRaw)
            terminal.type("ticks\r")
            #expect(await terminal.shows("tour> ticks\r\nticks: "))
            #expect(await terminal.shows(Tour.prompt, times: 2))
            terminal.type("\u{1}h")
            #expect(await terminal.shows("Ctrl-A x  end the virtual machine"))
            terminal.type("\u{1}x")
            let end = await child.end()
            #expect(end.status == 0)
            #expect(!before.isRaw)
            #expect(terminal.settings == before)
        }

        @Test func ctrlAXEndsWith0AndRestoresTheTerminal() async throws {
            let (folder, terminal) = (Folder(), try Terminal())
            let before = terminal.settings
            let child = try start(["run", try folder.echo()], at: terminal)
            #expect(await terminal.shows(">"))
            terminal.type("\u{1}x")
            #expect(await child.end().status == 0)
            #expect(terminal.settings == before)
        }

        @Test func ctrlACOpensTheMonitorAndGoesBack() async throws {
            let (folder, terminal) = (Folder(), try Terminal())
            let before = terminal.settings
            let child = try start(["run", try folder.echo()], at: terminal)
            #expect(await terminal.shows(">"))
            terminal.type("\u{1}c")
            #expect(await terminal.shows("(backplane) "))
            terminal.type("info sta\t\r")
            #expect(await terminal.shows("VM status: running\r\n"))
            terminal.type("policy insert watch=stats\rpolicy remove nobody\r")
            #expect(await terminal.shows("watch is in the chain\r\n"))
            #expect(await terminal.shows("Error: there is no policy 'nobody'"))
            // Back at the guest, keys are the guest's again.
            terminal.type("\u{1}c")
            #expect(await terminal.shows("backplane: small: term"))
            terminal.type("\u{1}a")
            #expect(await child.end().status == 1 << 1 | 1)
            #expect(terminal.settings == before)
        }

        @Test(arguments: ["\u{1}a", "\u{1}\u{1}"]) func theEscapeKeyCanBeSentToTheGuest(_ keys: String) async throws {
            let (folder, terminal) = (Folder(), try Terminal())
            let child = try start(["run", try folder.echo()], at: terminal)
            #expect(await terminal.shows(">"))
            terminal.type(keys)
            // The guest ends with twice the byte and one.
            #expect(await child.end().status == 1 << 1 | 1)
        }

        @Test func controlCIsTheGuests() async throws {
            let (folder, terminal) = (Folder(), try Terminal())
            let before = terminal.settings
            let child = try start(["run", try folder.echo()], at: terminal)
            #expect(await terminal.shows(">"))
            terminal.type("\u{3}")
            #expect(await child.end().status == 3 << 1 | 1)
            #expect(terminal.settings == before)
        }

        @Test func ctrlAPAsksToPowerOff() async throws {
            let (folder, terminal) = (Folder(), try Terminal())
            let before = terminal.settings
            let child = try start(["run", try folder.echo()], at: terminal)
            #expect(await terminal.shows(">"))
            terminal.type("\u{1}p")
            let end = await child.end()
            #expect(end.status == 0)
            #expect(end.error.contains("an operator asks the guest to power off"))
            #expect(terminal.settings == before)
        }

        @Test func ctrlARStartsTheGuestAgain() async throws {
            let (folder, terminal) = (Folder(), try Terminal())
            let child = try start(["run", try folder.echo()], at: terminal)
            #expect(await terminal.shows(">"))
            terminal.type("\u{1}r")
            #expect(await terminal.shows(">", times: 2))
            terminal.type("!")
            #expect(await child.end().status == 0x21 << 1 | 1)
        }

        @Test(
            .enabled(if: Host.hasCompiler),
            arguments: [("crash", 128 + SIGSEGV), ("abort", 128 + SIGABRT), ("hang", 4)])
        func aPluginThatCrashesOrHangsLeavesTheTerminalAsItWas(_ action: String, _ status: Int32) async throws {
            let (folder, terminal) = (Folder(), try Terminal())
            try await CPlugin.compile("wild", CPlugin.wild, into: folder.path)
            let before = terminal.settings
            let bad = "{ id: bad, plugin: wild, when: write, do: \(action) }"
            let file = try folder.echo(Guest.key(to: 0x300), top: "watchdog: 1s", devices: [bad])
            let child = try start(["run", file, "--plugin-path", folder.path], at: terminal)
            #expect(await terminal.shows(">"))
            #expect(terminal.settings.isRaw)
            terminal.type("x")
            let end = await child.end()
            #expect(end.status == status)
            #expect(end.error.contains("instance 'bad' (wild), in write of 0x300"))
            #expect(terminal.settings == before)
        }

        @Test func signalsThatEndItLeaveTheTerminalAsItWas() async throws {
            let (folder, terminal) = (Folder(), try Terminal())
            let before = terminal.settings
            let child = try start(["run", try folder.echo(rules: "power-request: ignore")], at: terminal)
            #expect(await terminal.shows(">"))
            #expect(terminal.settings.isRaw)
            child.signal(SIGTERM)
            #expect(await child.shows("a second SIGTERM ends it at once", onError: true))
            // Within half a second it would be the same request.
            try await Task.sleep(for: .milliseconds(700))
            child.signal(SIGTERM)
            #expect(await child.end().status == 128 + SIGTERM)
            #expect(terminal.settings == before)
        }

        @Test(arguments: [SIGHUP, SIGQUIT]) func otherSignalsDoToo(_ number: Int32) async throws {
            let (folder, terminal) = (Folder(), try Terminal())
            let before = terminal.settings
            let child = try start(["run", try folder.echo()], at: terminal)
            #expect(await terminal.shows(">"))
            child.signal(number)
            #expect(await child.end(seconds: 30).status == 128 + number)
            #expect(terminal.settings == before)
        }

        @Test func badInputLeavesTheTerminalAlone() async throws {
            let (folder, terminal) = (Folder(), try Terminal())
            let before = terminal.settings
            let file = try folder.echo()
            unlink(folder.path + "/guest.img")
            let child = try start(["run", file], at: terminal)
            #expect(await child.end().status == 2)
            #expect(terminal.settings == before)
        }
    }
}
