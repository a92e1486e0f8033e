import Foundation
import Testing

extension Commands {
    /// Plugins that fail, crash or hang while a machine runs.
    @Suite(.enabled(if: Host.canRunPlugins)) struct FaultTests {
        /// Runs a guest that writes and then reads the misbehaving port; status 133 where it read 0x42.
        private func run(
            _ when: String, _ action: String, more: String = "", top: String = "watchdog: 1s"
        ) async throws -> (end: Child.Ended, file: String) {
            let folder = Folder()
            try await CPlugin.compile("wild", CPlugin.wild, into: folder.path)
            let bad = "{ id: bad, plugin: wild, when: \(when), do: \(action)\(more) }"
            let file = try folder.machine(Guest.trap, top: top, devices: [bad])
            return (try await backplane("run", file, "--plugin-path", folder.path), file)
        }

        @Test func aPluginThatBehavesAnswersTheGuest() async throws {
            let (end, _) = try await run("never", "fail")
            #expect(end.status == 0x42 << 1 & 0xff | 1)
            #expect(end.error == "")
        }

        // MARK: Faults

        @Test(arguments: ["read", "write"])
        func aFaultStopsWithStatus4AndThePluginsSentence(_ handler: String) async throws {
            let (end, _) = try await run(handler, "fail")
            #expect(end.status == 4)
            #expect(end.errors == ["backplane: plugin fault: 'bad' (wild): the \(handler) went wrong"])
        }

        @Test func offlineThePortFloatsAndTheGuestGoesOn() async throws {
            let (end, _) = try await run("write", "fail", more: ", on-fault: offline")
            #expect(end.status == 0xff)
            #expect(end.errors.count == 1)
            #expect(end.error.contains("plugin fault: 'bad' (wild): the write went wrong; it is taken off line"))
        }

        @Test func theMachinesFaultPolicyHoldsWhereTheInstanceSaysNothing() async throws {
            let (end, _) = try await run("write", "fail", top: "on-fault: offline")
            #expect(end.status == 0xff)
            let (stops, _) = try await run("write", "fail", more: ", on-fault: stop", top: "on-fault: offline")
            #expect(stops.status == 4)
        }

        @Test(arguments: [("create", "created", Int32(2)), ("connect", "connected", 2), ("start", "started", 4)])
        func aPluginThatDoesNotComeUpIsNamedWithItsPlace(_ when: String, _ what: String, _ status: Int32) async throws {
            let (end, file) = try await run(when, "fail")
            #expect(end.status == status)
            #expect(
                end.errors == ["backplane: \(file):10:5: error: 'bad' (wild) cannot be \(what): the \(when) went wrong"]
            )
        }

        // MARK: Crashes

        @Test(arguments: [
            ("read", "read of 0x300"), ("write", "write of 0x300"), ("create", "create"), ("connect", "connect"),
            ("reset", "reset"), ("start", "start"), ("quiesce", "quiesce"), ("disconnect", "disconnect"),
            ("destroy", "destroy"),
        ])
        func aCrashNamesInstancePluginHandlerAndAddress(_ when: String, _ handler: String) async throws {
            let (end, _) = try await run(when, "crash")
            #expect(end.status == 128 + SIGSEGV)
            let sentence = "plugin crashed: instance 'bad' (wild), in \(handler): SIGSEGV at address 0x10"
            #expect(end.errors.first == "backplane: machine 'small': \(sentence)")
            // And where it was.
            #expect(end.errors.contains { $0.contains("libwild.so") })
        }

        @Test func abortIsNamedToo() async throws {
            let (end, _) = try await run("write", "abort")
            #expect(end.status == 128 + SIGABRT)
            #expect(end.error.contains("plugin crashed: instance 'bad' (wild), in write of 0x300: SIGABRT"))
        }

        // MARK: Hangs

        @Test(arguments: [
            ("write", "write of 0x300"), ("create", "create"), ("reset", "reset"), ("destroy", "destroy"),
        ])
        func theWatchdogNamesAPluginThatDoesNotReturn(_ when: String, _ handler: String) async throws {
            let (end, _) = try await run(when, "hang")
            #expect(end.status == 4)
            let sentence = "plugin does not return: instance 'bad' (wild), in \(handler), for 1 s"
            #expect(end.errors.first == "backplane: machine 'small': \(sentence)")
        }

        @Test func signalsEndAMachineWhosePluginHangs() async throws {
            let folder = Folder()
            try await CPlugin.compile("wild", CPlugin.wild, into: folder.path)
            let file = try folder.echo(
                Guest.key(to: 0x300), top: "watchdog: off",
                devices: ["{ id: bad, plugin: wild, when: write, do: hang }"])
            let child = try Child(["run", file, "--plugin-path", folder.path], input: .pipe)
            #expect(await child.shows(">"))
            child.type("x")
            // Each is a new request where half a second has passed; the third one needs no lock of the machine.
            for _ in 0..<3 {
                try await Task.sleep(for: .milliseconds(700))
                #expect(child.isAlive)
                child.signal(SIGTERM)
            }
            let end = await child.end()
            #expect(end.status == 128 + SIGTERM)
            #expect(end.error.contains("the machine does not end: left by SIGTERM"))
        }
    }
}
