import Foundation
import Testing

extension Commands {
    /// `run --qmp`: QEMU's Machine Protocol, well and badly spoken.
    @Suite(.enabled(if: Host.hasKVM)) struct QMPTests {
        /// A guest that spins, with COM1 at a null backend, and its socket.
        private struct Machine {
            let folder = Folder()
            let child: Child
            let path: String

            init(_ guest: [UInt8] = Guest.spin) async throws {
                path = folder.path + "/qmp"
                let file = try folder.echo(guest)
                child = try Child(["run", file, "--qmp", "unix:\(path)"], input: .pipe)
                let path = path
                try #require(await eventually(20) { QMPConnection.isServed(path) })
            }

            func quit() async throws -> Child.Ended {
                _ = try QMPConnection.negotiated(path).ask(#"{"execute": "quit"}"#)
                return await child.end()
            }
        }

        @Test func theSocketIsItsOwnersAndGoesWithTheMachine() async throws {
            let machine = try await Machine()
            var status = stat()
            #expect(stat(machine.path, &status) == 0)
            #expect(status.st_mode & S_IFMT == S_IFSOCK && status.st_mode & 0o777 == 0o600)
            // Another process cannot take it over.
            let other = try await backplane(
                "run", machine.folder.path + "/machine.yaml", "--qmp", "unix:\(machine.path)")
            #expect(other.status == 2 && other.error.contains("belongs to another process"))
            #expect(try await machine.quit().status == 0)
            #expect(access(machine.path, F_OK) != 0)
        }

        @Test func aSocketLeftBehindIsReplacedAndAFileIsNot() async throws {
            let machine = try await Machine()
            machine.child.signal(SIGKILL)
            _ = await machine.child.end()
            #expect(access(machine.path, F_OK) == 0)
            let file = machine.folder.path + "/machine.yaml"
            let again = try Child(["run", file, "--qmp", "unix:\(machine.path),server=on,wait=off"], input: .pipe)
            for _ in 0..<100 where try await backplane("ctl", machine.path, "info").status != 0 {
                try await Task.sleep(for: .milliseconds(50))
            }
            _ = try QMPConnection.negotiated(machine.path).ask(#"{"execute": "quit"}"#)
            #expect(await again.end().status == 0)

            let plain = try machine.folder.write("plain", "precious")
            let refused = try await backplane("run", file, "--qmp", "unix:\(plain)")
            #expect(refused.status == 2 && refused.error.contains("is no socket"))
            #expect(try String(contentsOfFile: plain, encoding: .utf8) == "precious")
            #expect(try await backplane("run", file, "--qmp", "tcp:1234").status == 2)
            let long = try await backplane("run", file, "--qmp", "unix:/tmp/" + String(repeating: "x", count: 200))
            #expect(long.status == 2 && long.error.contains("107"))
        }

        @Test func badInputIsAnErrorAndTheMachineGoesOn() async throws {
            let machine = try await Machine()
            let client = try QMPConnection.negotiated(machine.path)
            #expect(try client.ask("nonsense").contains("JSON parse error"))
            #expect(try client.ask(#"{"execute": "query-status",}"#).contains("JSON parse error"))
            #expect(try client.ask(#"{"execute": "query-status" "id": 1}"#).contains("JSON parse error"))
            #expect(try client.ask(String(repeating: #"{"a":"#, count: 100_000)).contains("128 deep"))
            #expect(try client.ask(String(repeating: "[", count: 100_000)).contains("an object was expected"))
            client.send([0x7b, 0x22, 0xff, 0x22, 0x7d, 0x0a])
            #expect(client.line()?.contains("UTF-8") == true)
            #expect(
                try client.ask(#"{"execute": "query-status", "id": 5}"#)
                    == #"{"return": {"running": true, "status": "running"}, "id": 5}"#)
            // Too long: an error, and the end of this connection alone.
            let long = try QMPConnection.negotiated(machine.path)
            long.send(Array(#"{"execute": ""#.utf8) + [UInt8](repeating: 0x78, count: (1 << 20) + 100))
            #expect(long.line()?.contains("closed") == true)
            #expect(long.line() == nil)
            #expect(try client.ask(#"{"execute": "query-status"}"#).contains("running"))
            #expect(try await machine.quit().status == 0)
        }

        @Test func aHundredClientsAreServedAndOneTooManyIsTurnedAway() async throws {
            let machine = try await Machine()
            let clients = try (0..<100).map { _ in try QMPConnection.negotiated(machine.path) }
            for (number, client) in clients.enumerated() {
                let answer = try client.ask("{\"execute\": \"query-status\", \"id\": \(number)}")
                #expect(answer.hasSuffix("\"id\": \(number)}"))
            }
            _ = try clients[0].ask(#"{"execute": "stop"}"#)
            // All of them are told.
            for client in clients.dropFirst() { #expect(client.line()?.contains(#""event": "STOP""#) == true) }
            #expect(try await machine.quit().status == 0)
        }

        @Test func aClientThatStopsReadingIsDroppedAndTheMachineGoesOn() async throws {
            let machine = try await Machine()
            let sleeper = try QMPConnection.negotiated(machine.path)
            let request = Array(String(repeating: "{\"execute\": \"query-instances\"}\n", count: 50).utf8)
            var isOpen = true
            for _ in 0..<400 where isOpen { isOpen = sleeper.send(request) }
            let other = try QMPConnection.negotiated(machine.path)
            for _ in 0..<50 { #expect(try other.ask(#"{"execute": "query-status"}"#).contains("running")) }
            #expect(try await machine.quit().status == 0)
        }

        @Test func memoryIsSavedIntoFiles() async throws {
            let machine = try await Machine()
            let client = try QMPConnection.negotiated(machine.path)
            for command in ["memsave", "pmemsave"] {
                let file = machine.folder.path + "/" + command
                let arguments = "{\"val\": 31744, \"size\": \(Guest.spin.count), \"filename\": \"\(file)\"}"
                #expect(
                    try client.ask("{\"execute\": \"\(command)\", \"arguments\": \(arguments)}") == #"{"return": {}}"#)
                #expect(try [UInt8](Data(contentsOf: URL(fileURLWithPath: file))) == Guest.spin)
            }
            let beyond = #"{"execute": "pmemsave", "arguments": {"val": 1048575, "size": 2, "filename": "/dev/null"}}"#
            #expect(try client.ask(beyond).contains("is not memory"))
            #expect(try await machine.quit().status == 0)
        }

        @Test func ctlGivesCommandsAndTellsFailures() async throws {
            let machine = try await Machine()
            let status = try await backplane("ctl", machine.path, "info", "status")
            #expect(status.status == 0 && status.output.hasPrefix("VM status: running\n"))
            #expect(try await backplane("ctl", machine.path, "policy", "insert", "s=stats,top=5").status == 0)
            #expect(try await backplane("ctl", machine.path, "info", "policies").output.contains("0: s (stats)"))
            #expect(try await backplane("ctl", machine.path, "policy", "set", "s", "top", "9").status == 0)
            #expect(try await backplane("ctl", machine.path, "call", "s", "count", "io").output == "0\n")
            let dump = try await backplane("ctl", machine.path, "xp", "/4xb", "0x7c00")
            #expect(dump.output == "0000000000007c00: 0xb0 0x03 0xba 0xfb\n")
            let failed = try await backplane("ctl", machine.path, "policy", "remove", "nobody")
            #expect(failed.status == 2 && failed.error.contains("no policy 'nobody'") && failed.output == "")
            #expect(try await backplane("ctl", machine.path, "quit").status == 0)
            #expect(await machine.child.end().status == 0)
            #expect(try await backplane("ctl", machine.path, "help").status == 2)
        }

        @Test func topShowsRatesAndTakesItsPolicyOutAgain() async throws {
            let machine = try await Machine(Guest.key(to: 0x501))
            let top = try await backplane("top", machine.path, "--interval", "0.2", "--count", "2")
            #expect(top.status == 0)
            #expect(top.output.contains("exits: ") && top.output.contains("com1") && top.output.contains("port 0x3fd"))
            let left = try await backplane("ctl", machine.path, "info", "policies")
            #expect(!left.output.contains("stats"))
            #expect(try await machine.quit().status == 0)
        }

        // MARK: PyPI's own client

        private static let python = Program.root + "/.build-tests/qmp-venv/bin/"
        private static let hasClient: Bool = {
            let result = access(python + "qmp-shell", X_OK) == 0
            if !result {
                print("tests with PyPI's qemu.qmp are skipped: `make test` installs it where PyPI can be reached")
            }
            return result
        }()

        @Test(.enabled(if: hasClient)) func qemusOwnClientWorksUnchanged() async throws {
            let machine = try await Machine()
            let script = Program.root + "/Tests/CommandLineTests/qmp/client.py"
            let client = try Child([script, machine.path], program: Self.python + "python")
            let end = await client.end()
            #expect(end.status == 0 && end.output.hasSuffix("ok\n"), "\(end.output)\(end.error)")
            #expect(await machine.child.end().status == 0)
        }

        @Test(.enabled(if: hasClient)) func qemusOwnShellWorksUnchanged() async throws {
            let machine = try await Machine()
            func shell(_ flags: [String], _ input: String) async throws -> Child.Ended {
                let shell = try Child(
                    flags + [machine.path], program: Self.python + "qmp-shell", input: .pipe,
                    environment: ["HOME": machine.folder.path])
                shell.type(input)
                shell.closeInput()
                return await shell.end()
            }
            let qmp = try await shell([], "query-status\npolicy-insert plugin=stats id=s\nquery-policies\nnonsense\n")
            #expect(qmp.output.contains(#""status": "running""#), "\(qmp.output)\(qmp.error)")
            #expect(qmp.output.contains(#""id": "s""#) && qmp.output.contains("CommandNotFound"))
            let hmp = try await shell(["-H"], "info status\npolicy remove s\ninfo registers\n")
            #expect(
                hmp.output.contains("VM status: running") && hmp.output.contains("rip"), "\(hmp.output)\(hmp.error)")
            #expect(try await machine.quit().status == 0)
        }
    }
}
