import Foundation
import Testing

extension Commands {
    /// `run` with several machines, by hand and by program.
    @Suite struct GuestTests {
        /// A machine in software, with COM1 at the terminal.
        private func file(
            _ name: String, _ image: [UInt8], in folder: Folder, policies: String = ""
        ) throws -> String {
            try folder.write("\(name).img", image)
            return try folder.write(
                "\(name).yaml",
                """
                machine: \(name)
                cpu: { engine: soft }
                memory: 1MiB
                boot: { plugin: flat, image: \(name).img }
                policies:
                \(policies)  - { id: rules, plugin: standard }
                devices:
                  - { id: exit, plugin: debug-exit }
                  - { id: com1, plugin: uart16550, stream: term }
                backends:
                  - { id: term, plugin: terminal }
                """)
        }
        private static let foreground = "  - { id: hotkey, plugin: hotkey, schedule: foreground }\n"

        @Test func keysSwitchBetweenGuestsAndTheFirstStatusThatIsNot0Counts() async throws {
            let (folder, terminal) = (Folder(), try Terminal())
            let guest = Guest.key(to: 0x501)
            let files = try ["left", "right", "third"].map { try file($0, guest, in: folder) }
            let child = try Child(["run"] + files, input: .terminal(terminal), output: .terminal(terminal))
            #expect(await terminal.shows(">"))
            terminal.type("\u{1}9")
            #expect(await terminal.shows("backplane: there is no guest 9: there are 1 left, 2 right, 3 third"))
            terminal.type("\u{1}h")
            #expect(await terminal.shows("Ctrl-A 1 to Ctrl-A 3  the guest with this number"))
            terminal.type("\u{1}2")
            // What it wrote in the background is shown.
            #expect(await terminal.shows("backplane: right: term\r\n>"))
            terminal.type("\u{2}")
            #expect(await terminal.shows("backplane: third: term\r\n>"))
            terminal.type("\u{1}n")
            #expect(await terminal.shows("backplane: left: term\r\n"))
            terminal.type("\u{3}")
            #expect(await terminal.shows("backplane: third: term\r\n", times: 2))
            terminal.type("\u{0}")
            let end = await child.end()
            // left's, and not right's 2 << 1 | 1, which came first.
            #expect(end.status == 3 << 1 | 1)
            #expect(end.error.contains("backplane: right: has ended with status 5\n"))
            #expect(end.error.contains("backplane: left: has ended with status 7\n"))
        }

        @Test func aHostFileRunsAndItsErrorsHavePlaces() async throws {
            let folder = Folder()
            _ = try file("small", Guest.exit5, in: folder)
            let host = try folder.write(
                "desk.yaml", "host: desk\nguests:\n  - { file: small.yaml }\n  - { file: small.yaml, name: other }\n")
            let end = try await backplane("run", host)
            #expect(end.status == 11)
            #expect(
                end.error.contains("small: has ended with status 11") && end.error.contains("other: has ended with"))
            let check = try await backplane("check", host)
            #expect(check.status == 0)
            #expect(check.output.contains("machine 'small'") && check.output.contains("machine 'other'"))
            let show = try await backplane("show", host)
            #expect(show.status == 0 && show.output.components(separatedBy: "Instances\n").count == 3)
            let drawing = try await backplane("show", host, "--svg")
            #expect(drawing.status == 0 && drawing.output.components(separatedBy: "<svg ").count == 2)
            #expect(drawing.output.contains(">machine small<") && drawing.output.contains(">machine other<"))
            let bad = try folder.write(
                "bad.yaml", "host: desk\nguests:\n  - { file: smal.yaml }\n  - { file: small.yaml, sett: x }\n")
            for command in ["check", "show", "run"] {
                let end = try await backplane(command, bad)
                #expect(end.status == 2)
                #expect(end.error.contains("bad.yaml:3:13: error:") && end.error.contains("bad.yaml:4:25: error:"))
            }
        }

        @Test func oneGuestsFaultAndAnothersHaltLeaveTheThird() async throws {
            let folder = Folder()
            let stops = "  - { id: first, plugin: standard, triple-fault: stop }\n"
            // cli; lidt of nothing (0xff bytes at 0x7d00 are beyond the image: zeros); ud2
            let crash: [UInt8] = [0x0f, 0x01, 0x1e, 0x00, 0x7d, 0x0f, 0x0b]
            let files = [
                try file("crash", crash, in: folder, policies: stops), try file("off", Guest.powerOff, in: folder),
                try file("key", Guest.key(to: 0x501), in: folder),
            ]
            let child = try Child(["run"] + files, input: .pipe)
            #expect(await child.shows(">"))
            child.type("\u{4}")
            let end = await child.end()
            #expect(end.error.contains("backplane: off: has ended with status"))
            #expect(end.error.contains("backplane: crash: has ended with status 6: first: triple fault"))
            #expect(end.error.contains("backplane: key: has ended with status 9"))
            #expect(end.status == 6)
        }

        @Test(arguments: [SIGTERM, SIGHUP]) func signalsEndAllGuestsEvenThoseThatStandStill(_ number: Int32)
            async throws
        {
            let folder = Folder()
            let files = try ["a", "b", "c"].map { try file($0, Guest.spin, in: folder, policies: Self.foreground) }
            let child = try Child(["run"] + files, input: .pipe)
            #expect(await child.shows(">"))
            child.signal(number)
            if number == SIGTERM {
                // These guests know no power button: the policies decide that it ends them.
                #expect(await child.end().status == 0)
            } else {
                #expect(await child.end().status == 128 + number)
            }
        }

        /// Real mode, at 0x7c00: a handler for timer interrupts, PIC and PIT programmed, STI; mov eax,cr0; mov cr0,eax; CPUID leaf 0; ">" on COM1;
        /// reads keys until 'q', and ends with BL of CPUID by port 0x501.
        private static let system: [UInt8] = [
            0x31, 0xc0, 0x8e, 0xd8, 0xc7, 0x06, 0x20, 0x00, 0x5c, 0x7c, 0xa3, 0x22, 0x00, 0xb0, 0x11, 0xe6,
            0x20, 0xb0, 0x08, 0xe6, 0x21, 0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x01, 0xe6, 0x21, 0xb0, 0xfe, 0xe6,
            0x21, 0xb0, 0x34, 0xe6, 0x43, 0x30, 0xc0, 0xe6, 0x40, 0xb0, 0x10, 0xe6, 0x40, 0xfb, 0x0f, 0x20,
            0xc0, 0x0f, 0x22, 0xc0, 0x66, 0x31, 0xc0, 0x0f, 0xa2, 0xb0, 0x03, 0xba, 0xfb, 0x03, 0xee, 0xb0,
            0x3e, 0xba, 0xf8, 0x03, 0xee, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf8, 0xba, 0xf8, 0x03,
            0xec, 0x3c, 0x71, 0x75, 0xf0, 0x88, 0xd8, 0xba, 0x01, 0x05, 0xee, 0xf4, 0x50, 0xb0, 0x20, 0xe6,
            0x20, 0x58, 0xcf,
        ]

        /// The policies of machines/under-watch.yaml.
        @Test func policiesSeeASystemAnswerItsCPUIDAndHandTheCPUOver() async throws {
            let (folder, terminal) = (Folder(), try Terminal())
            try folder.write("system.img", Self.system)
            let watched = try folder.write(
                "watched.yaml",
                """
                machine: watched
                cpu: { engine: soft, interrupts: pic }
                memory: 1MiB
                boot: { plugin: flat, image: system.img }
                policies:
                  - { id: eye, plugin: trace, kinds: [cpuid, cr, external-interrupt], file: exits.jsonl }
                  - { id: cpu, plugin: cpuid, vendor: BackplaneVMM }
                  - { id: hotkey, plugin: hotkey, schedule: foreground, key: 0x14 }
                  - { id: rules, plugin: standard }
                devices:
                  - { id: pic, plugin: pic8259 }
                  - { id: pit, plugin: pit8254, irq: pic.0 }
                  - { id: exit, plugin: debug-exit }
                  - { id: com1, plugin: uart16550, stream: term }
                backends:
                  - { id: term, plugin: terminal }
                """)
            let other = try file("other", Guest.key(to: 0x501), in: folder, policies: Self.foreground)
            let child = try Child(["run", watched, other], input: .terminal(terminal), output: .terminal(terminal))
            #expect(await terminal.shows(">"))
            terminal.type("\u{14}")
            // It has stood still: only now it says what it has to say.
            #expect(await terminal.shows("backplane: other: term\r\n>"))
            terminal.type("\u{1}1")
            #expect(await terminal.shows("backplane: watched: term\r\n"))
            terminal.type("\u{14}")
            #expect(await terminal.shows("backplane: other: term\r\n", times: 2))
            terminal.type("\u{0}")
            #expect(await terminal.shows("backplane: watched: term\r\n", times: 2))
            terminal.type("q")
            // "B", as the guest read it.
            #expect(await child.end().status == 0x42 << 1 | 1)
            let seen = try String(contentsOfFile: folder.path + "/exits.jsonl", encoding: .utf8)
            for kind in ["cpuid", "cr", "external-interrupt"] {
                #expect(seen.contains("\"kind\":\"\(kind)\""), "\(kind)")
            }
        }

        @Test func whatAGuestSaidInTheBackgroundIsNotLostToAPipe() async throws {
            let folder = Folder()
            // It says ">" and ends; the first waits for a key.
            let last: [UInt8] = Array(Guest.spin.dropLast(2)) + [0xfa, 0xf4]
            let files = [
                try file("first", Guest.key(to: 0x501), in: folder), try file("second", last, in: folder),
            ]
            let child = try Child(["run"] + files, input: .pipe)
            #expect(await child.shows(">", times: 2))
            child.type("\u{0}")
            let end = await child.end()
            #expect(end.status == 1 && end.output.contains("backplane: second: term\r\n>"))
        }

        @Test func theControlPlaneChoosesAMachine() async throws {
            let folder = Folder()
            let socket = folder.path + "/qmp"
            let files = try ["left", "right"].map { try file($0, Guest.spin, in: folder, policies: Self.foreground) }
            let child = try Child(["run"] + files + ["--qmp", "unix:\(socket)"], input: .pipe)
            #expect(await child.shows(">"))
            let client = try QMPConnection.negotiated(socket)
            let listener = try QMPConnection.negotiated(socket)
            func ask(_ command: String, _ arguments: String = "") throws -> String {
                let full = arguments.isEmpty ? "" : #", "arguments": {\#(arguments)}"#
                return try client.ask(#"{"execute": "\#(command)"\#(full)}"#)
            }
            func ctl(_ words: String...) async throws -> Child.Ended {
                let child = try Child(["ctl", socket] + words)
                return await child.end()
            }
            let machines = try ask("query-machines")
            #expect(machines.contains(#""name": "left", "number": 1, "status": "running", "foreground": true"#))
            #expect(machines.contains(#""name": "right", "number": 2, "status": "running", "foreground": false"#))
            #expect(machines.contains(#""schedule": "foreground", "quantum": null, "may-run": false"#))
            #expect(try ask("query-name", #""machine": "right""#).contains("right"))
            #expect(try ask("query-name", #""machine": "2""#).contains("right"))
            #expect(try ask("query-name", #""machine": "wrong""#).contains("there is 'left', 'right'"))
            #expect(try await ctl("info", "status").output.contains("machine: left"))
            #expect(
                try await ctl("machine", "right", "info", "status").output.contains("until it comes to the foreground"))
            #expect(try await ctl("machine", "2", "info", "nothing").status == 2)
            // Stopped while it stands still: it is brought to the foreground, and still stopped.
            #expect(try ask("stop", #""machine": "right""#) == #"{"return": {}}"#)
            #expect(try ask("foreground", #""machine": "right""#) == #"{"return": {}}"#)
            #expect(listener.line()?.contains(#""event": "STOP", "data": {"machine": "right"}"#) == true)
            let moved = listener.line() ?? ""
            #expect(
                moved.contains(#""event": "BACKPLANE_FOREGROUND_CHANGED", "data": {"machine": "right", "number": 2}"#))
            #expect(try ask("query-status", #""machine": "right""#).contains("paused"))
            #expect(try ask("cont", #""machine": "right""#) == #"{"return": {}}"#)
            #expect(listener.line()?.contains(#""event": "RESUME", "data": {"machine": "right"}"#) == true)
            #expect(try await ctl("info", "status").output.contains("machine: right"))
            #expect(try await ctl("foreground").status == 0)
            #expect(try await ctl("info", "machines").output.contains("*  1       left "))
            #expect(try await ctl("foreground", "3").status == 2)
            _ = try? ask("quit")
            #expect(await child.end().status == 0)
        }
    }
}
