import Foundation
import Testing

extension Commands {
    /// The tour without a terminal.
    @Suite(.enabled(if: Host.hasTour)) struct PipeTests {
        @Test func whatIsPipedInIsTypedAndOffEndsWith0() async throws {
            let end = await (try piped("ticks\roff\r")).end()
            #expect(end.status == 0)
            #expect(end.output.hasPrefix("\r\nBackplane tour\r\n"))
            #expect(end.output.contains(Tour.prompt))
            #expect(end.output.contains("halted"))
        }

        /// Bytes that wait from the start on are not lost while the guest sets its UART up.
        @Test func noByteOfAPipeIsLost() async throws {
            let end = await (try piped("ticks\roff\r")).end()
            #expect(end.output.contains("tour> ticks\r\n"))
            #expect(!end.output.contains("unknown command"))
        }

        private func piped(_ text: String) throws -> Child {
            let child = try Tour.start()
            child.type(text)
            child.closeInput()
            return child
        }

        @Test func commandsTypedAtThePromptAreAnswered() async throws {
            let end = try await Tour.session(["ticks", "in 0x501"])
            #expect(end.status == 0)
            #expect(end.output.contains("tour> ticks\r\n"))
            #expect(end.output.contains("port 0x0501: 0x00"))
        }

        @Test func theGuestsStatusIsTheCommands() async throws {
            let child = try Tour.start()
            #expect(await child.shows(Tour.prompt))
            child.type("exit 5\r")
            #expect(await child.end().status == 11)
        }

        @Test func rebootStartsTheGuestAgain() async throws {
            let end = try await Tour.session(["reboot"])
            #expect(end.status == 0)
            #expect(end.output.components(separatedBy: "Backplane tour").count == 3)
        }

        @Test func outputToAFileIsWhole() async throws {
            let folder = Folder()
            let path = folder.path + "/output"
            let child = try Child(Tour.arguments(), input: .pipe, output: .file(path))
            func text() -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
            #expect(await eventually(60) { text().contains(Tour.prompt) })
            child.type("off\r")
            #expect(await child.end().status == 0)
            #expect(text().hasSuffix("tour> off\r\nhalted\r\n"))
        }

        @Test func sigtermAsksToPowerOffWhereThereIsNoInput() async throws {
            let child = try Child(Tour.arguments())
            #expect(await child.shows(Tour.prompt))
            child.signal(SIGTERM)
            let end = await child.end()
            #expect(end.status == 0)
            #expect(end.error.contains("the guest is asked to power off"))
            #expect(end.error.contains("no instance has a power button"))
        }

        @Test func sigintAsksToo() async throws {
            let child = try Child(Tour.arguments())
            #expect(await child.shows(Tour.prompt))
            child.signal(SIGINT)
            #expect(await child.end().status == 0)
        }

        @Test func theEscapeKeyIsTheGuestsInAPipe() async throws {
            let folder = Folder()
            let child = try Child(["run", try folder.echo()], input: .pipe)
            #expect(await child.shows(">"))
            child.type("\u{1}x")
            #expect(await child.end().status == 1 << 1 | 1)
        }

        @Test func thePIDFileIsThereWhileItRuns() async throws {
            let folder = Folder()
            let path = folder.path + "/pid"
            let child = try Tour.start(["--pid-file", path])
            #expect(await child.shows(Tour.prompt))
            #expect(try String(contentsOfFile: path, encoding: .utf8) == "\(child.pid)\n")
            child.type("off\r")
            #expect(await child.end().status == 0)
            #expect(access(path, F_OK) != 0)
        }

        @Test func thePIDFileIsRemovedAfterAnErrorToo() async throws {
            let folder = Folder()
            let path = folder.path + "/pid"
            let file = try folder.machine(Guest.port80)
            #expect(try await backplane("run", file, "--pid-file", path, "--policy", "strict").status == 8)
            #expect(access(path, F_OK) != 0)
            unlink(folder.path + "/guest.img")
            #expect(try await backplane("run", file, "--pid-file", path).status == 2)
            #expect(access(path, F_OK) != 0)
        }

        @Test func aPIDFileThatCannotBeWrittenIsStatus2() async throws {
            let folder = Folder()
            let end = try await backplane("run", try folder.machine(Guest.powerOff), "--pid-file", "/absent/pid")
            #expect(end.status == 2)
            #expect(end.error.contains("--pid-file: /absent/pid cannot be written"))
        }

        @Test func debugLinesComeOnlyWhereAskedFor() async throws {
            let folder = Folder()
            let file = try folder.machine(Guest.powerOff)
            let debug = try await backplane("run", file, "--log", "debug")
            #expect(debug.error.contains("backplane: debug: engine kvm"))
            let plain = try await backplane("run", file)
            #expect(!plain.error.contains("debug"))
            let errors = try await backplane("run", file, "--log", "error")
            #expect(errors.error == "")
        }

        @Test func aReaderThatLeavesDoesNotStopTheGuest() async throws {
            let script = "\"$0\" \"$@\" | head -c 20 >/dev/null"
            let child = try Child(["-c", script, Program.path] + Tour.arguments(), program: "/bin/sh", input: .pipe)
            #expect(await child.shows("Broken pipe", onError: true))
            // Nothing tells when the guest listens: it is asked until it has heard.
            for _ in 0..<200 where child.isAlive {
                child.type("\roff\r")
                try await Task.sleep(for: .milliseconds(100))
            }
            #expect(await child.end().status == 0)
        }
    }
}
