import Foundation
import Testing

/// A client of a gdb port, as raw as bytes.
final class GDBConnection {
    private let descriptor: Int32
    private var buffer: [UInt8] = []

    /// "tcp:127.0.0.1:PORT" or "unix:PATH"
    init(_ place: String) throws {
        if place.hasPrefix("unix:") {
            descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: place.dropFirst(5).utf8) }
            try #require(GDBConnection.connect(descriptor, &address) == 0, "connecting to \(place)")
        } else {
            descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = (UInt16(place.split(separator: ":").last ?? "") ?? 0).bigEndian
            inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
            try #require(GDBConnection.connect(descriptor, &address) == 0, "connecting to \(place)")
        }
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    private static func connect<T>(_ descriptor: Int32, _ address: inout T) -> Int32 {
        withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.connect(descriptor, $0, socklen_t(MemoryLayout<T>.size))
            }
        }
    }

    /// False: the other end takes no more.
    @discardableResult func send(_ bytes: some Collection<UInt8>) -> Bool {
        let all = Array(bytes)
        var done = 0
        while done < all.count {
            let count = all[done...].withUnsafeBytes {
                Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            done += count
        }
        return true
    }

    @discardableResult func send(packet: String) -> Bool {
        let sum = packet.utf8.reduce(0 as UInt8, &+)
        return send("$\(packet)#\(sum < 16 ? "0" : "")\(String(sum, radix: 16))".utf8)
    }

    /// The next packet's text, acknowledgements left out; nil: the other end has closed, or sends nothing for 20 s.
    func packet() -> String? {
        while true {
            if let start = buffer.firstIndex(of: 0x24), let end = buffer.firstIndex(of: 0x23), buffer.count > end + 2 {
                defer { buffer.removeFirst(end + 3) }
                return String(decoding: buffer[(start + 1)..<end], as: UTF8.self)
            }
            var bytes = [UInt8](repeating: 0, count: 65536)
            let count = recv(descriptor, &bytes, bytes.count, 0)
            guard count > 0 else { return nil }
            buffer += bytes[..<count]
        }
    }

    func ask(_ packet: String) -> String? {
        send(packet: packet)
        return self.packet()
    }
}

extension Commands {
    /// `run --gdb`: Debian's gdb, and peers that mean no good.
    @Suite struct GDBTests {
        static let engines = Host.hasKVM ? ["soft", "kvm"] : ["soft"]
        static let hasGDB = access("/usr/bin/gdb", X_OK) == 0
        static let hasTour = hasGDB && access(Program.tour, R_OK) == 0

        /// A machine with a port for debuggers.
        private struct Machine {
            let folder = Folder()
            let child: Child
            let place: String

            /// `arguments` of `run`, from the machine file on.
            init(_ arguments: (Folder) throws -> [String], port: String = "tcp:0", waits: Bool = true) async throws {
                let port = port == "unix" ? "unix:\(folder.path)/gdb" : port
                child = try Child(
                    ["run"] + (try arguments(folder)) + ["--gdb", port] + (waits ? ["--gdb-wait"] : []), input: .pipe)
                try #require(await child.shows("gdb: target remote ", onError: true))
                let words = child.errorText.split(whereSeparator: { " \n".contains($0) }).map(String.init)
                place = try #require(words.first { $0.hasPrefix("tcp:127") || $0.hasPrefix("unix:") })
            }

            /// Runs gdb with these commands to its end.
            func gdb(_ commands: [String], symbols: Bool = true) async throws -> String {
                let target = place.hasPrefix("unix:") ? String(place.dropFirst(5)) : String(place.dropFirst(4))
                let all =
                    ["set pagination off", "set confirm off"] + (symbols ? ["file \(Program.tour)"] : [])
                    + ["target remote \(target)"] + commands
                let gdb = try Child(
                    ["-batch", "-nx"] + all.flatMap { ["-ex", $0] }, program: "/usr/bin/gdb",
                    environment: ["HOME": folder.path])
                let end = await gdb.end(seconds: 120)
                return end.output + end.error
            }
        }

        private func tour(_ engine: String, _ port: String = "tcp:0", waits: Bool = true) async throws -> Machine {
            try await Machine(
                { _ in Array(Tour.arguments(["--engine", engine]).dropFirst()) }, port: port, waits: waits)
        }

        // MARK: Debian's gdb on the tour guest

        @Test(.enabled(if: hasTour), arguments: engines, ["tcp:0", "unix"])
        func breakpointsStepsRegistersAndMemoryOfTheTour(engine: String, port: String) async throws {
            let machine = try await tour(engine, port)
            let text = try await machine.gdb([
                "info symbol $pc", "hbreak tour_main", "continue", "info symbol $pc", "bt 2", "x/8xw $ebp",
                "break tour_interrupt", "continue", "info symbol $pc", "stepi", "stepi", "info symbol $pc", "next",
                "info registers eip cr0 mxcsr", "delete", "monitor info status", "set var $eax = 0x12345678",
                "p/x $eax",
                "set var *(int *) 0x9000 = 0x11223344", "x/xw 0x9000", "x/xb 0xf0000000", "detach",
            ])
            // The entry, with what the loader has left.
            #expect(text.contains("_start in section"), "\(text)")
            #expect(text.contains("Breakpoint 1, ") && text.contains("in tour_main"))
            // tour_main(magic, information)
            #expect(text.contains("0x2badb002"))
            #expect(text.contains("Breakpoint 2, ") && text.contains("tour_interrupt + "))
            #expect(text.contains("[ PE ET ]") && text.contains("[ IM DM ZM OM UM PM ]"))
            #expect(text.contains("VM status: paused"))
            #expect(text.contains("= 0x12345678") && text.contains("0x9000:\t0x11223344"))
            #expect(text.contains("Cannot access memory at address 0xf0000000"))
            #expect(text.contains("detached"))
            machine.child.signal(SIGKILL)
            _ = await machine.child.end()
        }

        /// The guest does what it would have done without.
        @Test(.enabled(if: hasTour), arguments: engines) func theTourGoesOnToItsPrompt(engine: String) async throws {
            let machine = try await tour(engine)
            let text = try await machine.gdb(["break tour_interrupt", "continue", "continue", "delete", "detach"])
            #expect(text.components(separatedBy: "Breakpoint 1, ").count == 3, "\(text)")
            #expect(await machine.child.shows(Tour.prompt))
            machine.child.type("off\r")
            let end = await machine.child.end()
            #expect(end.status == 0 && end.output.contains("ticks: counted 10"))
        }

        /// SDM volume 3, 17.2: data breakpoints; not on a KVM that emulates ring 0.
        @Test(.enabled(if: hasTour)) func watchpointsSayWhatChanged() async throws {
            let machine = try await tour("soft")
            let text = try await machine.gdb([
                "break tour_main", "continue", "delete", "eval \"watch *(int *) %#x\", $esp - 4", "continue",
                "delete",
                "awatch -l *(char *) ($esp + 1)", "rwatch -l *(char *) ($esp + 2)", "info watchpoints", "kill",
            ])
            #expect(text.contains("Hardware watchpoint 2: *(int *) 0x10"), "\(text)")
            #expect(text.contains("Old value = ") && text.contains("New value = "))
            #expect(text.contains("acc watchpoint") && text.contains("read watchpoint"))
            // `kill` ends the machine.
            #expect(await machine.child.end().status == 0)
        }

        /// Ctrl-C at gdb, while the guest sits at its prompt.
        @Test(.enabled(if: hasTour), arguments: engines) func ctrlCStopsTheGuest(engine: String) async throws {
            let machine = try await tour(engine, waits: false)
            #expect(await machine.child.shows(Tour.prompt))
            let text = try await machine.gdb([
                "shell (sleep 1; kill -INT $PPID) &", "continue", "info registers eip", "monitor info status",
                "monitor nonsense",
                "monitor help", "detach",
            ])
            #expect(text.contains("Program received signal SIGINT"), "\(text)")
            #expect(text.contains("VM status: paused") && text.contains("error: unknown command: 'nonsense'"))
            #expect(text.contains("policy VERB"))
            machine.child.type("off\r")
            #expect(await machine.child.end().status == 0)
        }

        @Test(.enabled(if: hasTour), arguments: engines) func theEndOfTheMachineIsTheProgramsExit(engine: String)
            async throws
        {
            let machine = try await tour(engine, waits: false)
            #expect(await machine.child.shows(Tour.prompt))
            let child = machine.child
            Task {
                try? await Task.sleep(for: .seconds(2))
                child.type("exit 3\r")
            }
            let text = try await machine.gdb(["continue", "info program"])
            // (3 << 1) | 1; gdb writes octal.
            #expect(text.contains("exited with code 07"), "\(text)")
            #expect(await child.end().status == 7)
        }

        // MARK: Without gdb

        /// jmp $ in real mode, on whatever engine there is.
        private func spinning(waits: Bool = false) async throws -> Machine {
            try await Machine(
                { folder in
                    try folder.write("guest.img", [0xeb, 0xfe] as [UInt8])
                    let file = try folder.write(
                        "machine.yaml",
                        """
                        machine: small
                        memory: 1MiB
                        boot: { plugin: flat, image: guest.img }
                        policies:
                          - { id: rules, plugin: standard }
                        """)
                    return [file, "--engine", "soft", "--qmp", "unix:\(folder.path)/qmp"]
                }, waits: waits)
        }

        private func status(_ machine: Machine) async throws -> String {
            try await backplane("ctl", machine.folder.path + "/qmp", "info", "status").output
        }

        @Test func aPortScannerDoesNotStopTheGuest() async throws {
            let machine = try await spinning()
            let browser = try GDBConnection(machine.place)
            browser.send("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n$vKill;1#6e".utf8)
            #expect(browser.packet() == nil, "closed without an answer")
            let silent = try GDBConnection(machine.place)
            #expect(try await status(machine).contains("running"))
            withExtendedLifetime(silent) {}
            machine.child.signal(SIGKILL)
        }

        @Test func aSecondDebuggerIsTurnedAwayAndTheFirstGoesOn() async throws {
            let machine = try await spinning()
            let first = try GDBConnection(machine.place)
            #expect(first.ask("qSupported:swbreak+")?.contains("PacketSize") == true)
            #expect(first.ask("?") == "T02thread:1;")
            let second = try GDBConnection(machine.place)
            second.send(packet: "qSupported")
            #expect(second.packet() == "E.another debugger is connected to this machine")
            #expect(second.packet() == nil)
            #expect(first.ask("qC") == "QC1")
            #expect(try await status(machine).contains("paused"))
            machine.child.signal(SIGKILL)
        }

        /// Two guests of one process: what one debugger does the other one's guest does not notice.
        @Test func eachGuestHasADebuggerOfItsOwn() async throws {
            let folder = Folder()
            var arguments = ["run"]
            // jmp $; nop, jmp 7c00
            for (name, code) in [("one", [0xeb, 0xfe, 0x00]), ("two", [0x90, 0xeb, 0xfd])] as [(String, [UInt8])] {
                try folder.write("\(name).img", code)
                arguments.append(
                    try folder.write(
                        "\(name).yaml",
                        "machine: \(name)\nmemory: 1MiB\nboot: { plugin: flat, image: \(name).img }\n"))
                arguments += ["--gdb", "\(name)=unix:\(folder.path)/\(name)"]
            }
            let child = try Child(arguments + ["--engine", "soft", "--gdb-wait"], input: .pipe)
            try #require(await child.shows("unix:\(folder.path)/two", onError: true))
            let one = try GDBConnection("unix:\(folder.path)/one")
            let two = try GDBConnection("unix:\(folder.path)/two")
            #expect(one.ask("m7c00,3") == "ebfe00" && two.ask("m7c00,3") == "90ebfd")
            #expect(two.ask("Z0,7c01,1") == "OK")
            two.send(packet: "vCont;c")
            #expect(two.packet() == "T05thread:1;")
            #expect(one.ask("M7c00,2:9090") == "OK")
            #expect(two.ask("m7c00,3") == "90ebfd")
            one.send(packet: "vCont;s:1")
            #expect(one.packet() == "T05thread:1;")
            #expect(one.ask("M7c00,3:90ebfd") == "OK")
            one.send(packet: "vCont;c")
            two.send(packet: "vCont;c")
            #expect(two.packet() == "T05thread:1;", "it has come round, and the first has no breakpoint there")
            one.send([3])
            #expect(one.packet() == "T02thread:1;")
            // The end of one is told to its own debugger alone.
            #expect(one.send(packet: "k"))
            #expect(one.packet() == nil)
            #expect(two.ask("qC") == "QC1")
            child.signal(SIGKILL)
        }

        /// An end without a word: the breakpoints are gone, the guest goes on, and the next debugger is welcome.
        @Test func aDebuggerThatVanishesLeavesNothingBehind() async throws {
            let machine = try await spinning()
            for _ in 0..<3 {
                let debugger = try GDBConnection(machine.place)
                #expect(debugger.ask("?") == "T02thread:1;")
                #expect(debugger.ask("Z0,7c00,1") == "OK")
                #expect(try await status(machine).contains("paused"))
            }
            #expect(await eventually(20) { self.isRunning(machine) })
            let last = try GDBConnection(machine.place)
            #expect(last.ask("D") == "OK")
            #expect(await eventually(20) { self.isRunning(machine) })
            machine.child.signal(SIGKILL)
        }

        private func isRunning(_ machine: Machine) -> Bool {
            guard let client = try? QMPConnection.negotiated(machine.folder.path + "/qmp") else { return false }
            return (try? client.ask(#"{"execute": "query-status"}"#))?.contains(#""running": true"#) == true
        }

        @Test func interruptsBreakpointsAndTheEnd() async throws {
            let machine = try await spinning(waits: true)
            let debugger = try GDBConnection(machine.place)
            #expect(debugger.ask("QStartNoAckMode") == "OK")
            debugger.send(packet: "vCont;c")
            debugger.send([3])
            #expect(debugger.packet() == "T02thread:1;")
            #expect(debugger.ask("Z0,7c00,1") == "OK")
            debugger.send(packet: "vCont;c")
            #expect(debugger.packet() == "T05thread:1;")
            debugger.send(packet: "vCont;s:1")
            #expect(debugger.packet() == "T05thread:1;")
            #expect(debugger.ask("z0,7c00,1") == "OK")
            debugger.send(packet: "c")
            #expect(try await backplane("ctl", machine.folder.path + "/qmp", "quit").status == 0)
            #expect(debugger.packet() == "W00")
            #expect(debugger.packet() == nil)
            #expect(await machine.child.end().status == 0)
        }

        /// Of a machine that ends while its debugger holds it, nothing is said: it would be taken for an answer.
        @Test func anEndInAStopClosesTheConnection() async throws {
            let machine = try await spinning()
            let debugger = try GDBConnection(machine.place)
            #expect(debugger.ask("?") == "T02thread:1;")
            #expect(try await backplane("ctl", machine.folder.path + "/qmp", "quit").status == 0)
            #expect(debugger.packet() == nil)
            #expect(await machine.child.end().status == 0)
        }

        @Test func hostilePeersAreCutOffAndTheMachineGoesOn() async throws {
            let machine = try await spinning()
            // A packet without an end.
            let endless = try GDBConnection(machine.place)
            endless.send([0x24] + [UInt8](repeating: 0x61, count: 100_000))
            #expect(endless.packet() == nil)
            // Nothing but wrong checksums.
            let wrong = try GDBConnection(machine.place)
            for _ in 0..<100 { wrong.send("$?#00".utf8) }
            #expect(wrong.ask("?") == "T02thread:1;")
            wrong.send(packet: "D")
            _ = wrong.packet()
            // Asks and never reads: it is cut off, and the next one is served.
            let sleeper = try GDBConnection(machine.place)
            var isOpen = true
            for _ in 0..<4000 where isOpen { isOpen = sleeper.send(packet: "m0,1ff0") }
            let place = machine.place
            #expect(await eventually(20) { (try? GDBConnection(place))?.ask("?") == "T02thread:1;" })
            withExtendedLifetime(sleeper) {}
            machine.child.signal(SIGKILL)
        }

        @Test func theOptionIsChecked() async throws {
            let folder = Folder()
            let file = try folder.machine(Guest.powerOff)
            for bad in ["1234", "tcp:", "tcp:99999", "unix:", "tcp:1,arch=arm", "pipe:x"] {
                let end = try await backplane("run", file, "--gdb", bad)
                #expect(end.status != 0 && end.error.contains("--gdb takes"), "\(bad): \(end.error)")
            }
            #expect(try await backplane("run", file, "--gdb-wait").error.contains("--gdb-wait needs --gdb"))
            let other = try await backplane("run", file, "--gdb", "nobody=tcp:0", "--engine", "soft")
            #expect(other.status == 2 && other.error.contains("there is no machine 'nobody'"))
            let name = try await backplane("run", file, "--gdb", "tcp:example.org:1", "--engine", "soft")
            #expect(name.status == 2 && name.error.contains("no numeric address"))
        }
    }
}
