import Foundation
import Testing

extension Commands {
    /// A machine can always be ended, and its terminal restored, whatever the host refuses.
    @Suite struct EndingTests {
        /// A guest that spins in software and does not power off, behind a QMP socket.
        private struct Machine {
            let folder = Folder()
            let child: Child
            var socket: String { folder.path + "/qmp" }

            init() async throws {
                let file = try folder.echo(Guest.spin, rules: "power-request: ignore")
                let socket = folder.path + "/qmp"
                child = try Child(["run", file, "--engine", "soft", "--qmp", "unix:\(socket)"])
                _ = await child.shows(">")
            }

            /// No more address space than it has now, but for a MiB: no thread can be started.
            func takeThreads() async throws {
                let status = try String(contentsOfFile: "/proc/\(child.pid)/status", encoding: .utf8)
                let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmSize:") })
                let kibibytes = try #require(UInt64(line.split(whereSeparator: \.isWhitespace)[1]))
                try await limit("as", (kibibytes + 1024) << 10)
            }

            /// No more descriptors than it has now.
            func takeDescriptors() async throws {
                let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(child.pid)/fd").compactMap(
                    UInt64.init)
                try await limit("nofile", (open.max() ?? 0) + 1)
            }

            /// By util-linux, which every Debian has: Glibc's module has no prlimit(2).
            private func limit(_ resource: String, _ value: UInt64) async throws {
                let end = await
                    (try Child(
                        ["--pid", "\(child.pid)", "--\(resource)=\(value)"], program: "/usr/bin/prlimit")).end()
                try #require(end.status == 0, "\(end.error)")
            }
        }

        private func signalTwice(_ child: Child, _ number: Int32) async throws -> Child.Ended {
            child.signal(number)
            // Within half a second the second one would be the same request.
            try await Task.sleep(for: .milliseconds(700))
            child.signal(number)
            return await child.end()
        }

        @Test(arguments: [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT")])
        func twoSignalsEndAMachineThatCanStartNoThread(_ number: Int32, _ name: String) async throws {
            let machine = try await Machine()
            try await machine.takeThreads()
            let end = try await signalTwice(machine.child, number)
            #expect(end.status == 128 + number, "\(end.error)")
            #expect(end.error.contains("ended by a second signal, \(name)"))
        }

        @Test func ctlQuitEndsAMachineThatCanStartNoThread() async throws {
            let machine = try await Machine()
            try await machine.takeThreads()
            #expect(try await backplane("ctl", machine.socket, "quit").status == 0)
            #expect(await machine.child.end().status == 0)
        }

        @Test func endsComeWithoutAnotherDescriptor() async throws {
            for isQuit in [true, false] {
                let machine = try await Machine()
                try await machine.takeDescriptors()
                if isQuit {
                    #expect(try await backplane("ctl", machine.socket, "quit").status == 0)
                    #expect(await machine.child.end().status == 0)
                } else {
                    #expect(try await signalTwice(machine.child, SIGTERM).status == 143)
                }
            }
        }

        /// From hardly enough to load the libraries to plenty. What the dynamic loader cannot map it says itself, with 127.
        @Test func shortMemoryIsALineAndAStatus() async throws {
            let folder = Folder()
            let file = try folder.echo(Guest.spin)
            var statuses: Set<Int32> = []
            for mebibytes in stride(from: 40, through: 180, by: 12) {
                let script = "ulimit -c 0; ulimit -v \(mebibytes << 10); exec \"$0\" run \"$1\" --engine soft"
                let child = try Child(["-c", script, Program.path, file], program: "/bin/sh")
                var signals = 0
                while await !eventually(1, { !child.isAlive }), signals < 40 {
                    child.signal(SIGTERM)
                    signals += 1
                }
                let end = await child.end(seconds: 30)
                statuses.insert(end.status)
                #expect([0, 2, 6, 127, 143].contains(end.status), "\(mebibytes) MiB: \(end.status) \(end.error)")
                #expect(end.status == 0 || !end.errors.isEmpty)
                #expect(
                    !end.error.contains("Fatal error") && !end.error.contains("crashed"),
                    "\(mebibytes) MiB: \(end.error)")
            }
            // Both sides of the border were seen.
            #expect(
                statuses.contains { $0 == 6 || $0 == 127 } && statuses.contains { $0 == 143 || $0 == 0 }, "\(statuses)")
        }

        private static let endings: [Int32] =
            [SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGPROF, SIGPOLL, SIGSTKFLT, SIGPWR, SIGXCPU] + [
                36, 40, 63, 64,
            ]

        @Test(arguments: endings) func aSignalThatEndsTheProcessRestoresTheTerminal(_ number: Int32) async throws {
            let (folder, terminal) = (Folder(), try Terminal())
            let before = terminal.settings
            let file = try folder.echo(Guest.spin)
            let child = try Child(
                ["run", file, "--engine", "soft"], input: .terminal(terminal), output: .terminal(terminal))
            #expect(await terminal.shows(">"))
            #expect(terminal.settings.isRaw)
            child.signal(number)
            #expect(await child.end().status == 128 + number)
            #expect(terminal.settings == before)
        }

        // MARK: Plugins that end the process

        private static let callback =
            "machine 'small': a plugin has ended the process: instance 'bad' (wild), in write of 0x300"

        @Test(
            .enabled(if: Host.hasCompiler),
            arguments: [
                ("exit", callback + ": exit(3)"), ("_exit", callback + ": _exit(3)"),
                ("thread", "a plugin has ended the process, on a thread of its own: _exit(3)"),
            ])
        func aPluginThatEndsTheProcessIsNamedAndTheTerminalRestored(_ action: String, _ says: String) async throws {
            let (folder, terminal) = (Folder(), try Terminal())
            try await CPlugin.compile("wild", CPlugin.wild, into: folder.path)
            let before = terminal.settings
            let bad = "{ id: bad, plugin: ./libwild.so, when: write, do: \(action) }"
            let file = try folder.echo(Guest.key(to: 0x300), devices: [bad])
            let child = try Child(
                ["run", file, "--engine", "soft"], input: .terminal(terminal), output: .terminal(terminal))
            #expect(await terminal.shows(">"))
            #expect(terminal.settings.isRaw)
            terminal.type("x")
            let end = await child.end()
            #expect(end.status == 4)
            #expect(end.error.contains(says), "\(end.error)")
            #expect(terminal.settings == before)
        }

        /// What a plugin forks ends by itself: the machine's terminal stays raw, and the machine goes on.
        @Test(.enabled(if: Host.hasCompiler)) func aProcessThatAPluginForksMayEnd() async throws {
            let (folder, terminal) = (Folder(), try Terminal())
            try await CPlugin.compile("wild", CPlugin.wild, into: folder.path)
            let bad = "{ id: bad, plugin: ./libwild.so, when: start, do: fork }"
            let file = try folder.echo(Guest.spin, devices: [bad])
            let child = try Child(
                ["run", file, "--engine", "soft"], input: .terminal(terminal), output: .terminal(terminal))
            #expect(await terminal.shows(">"))
            #expect(terminal.settings.isRaw)
            child.signal(SIGKILL)
            _ = await child.end()
        }

        /// Writes a sector of an ATA disk at 2 MiB, and ends with its status register.
        private static let writeSector: [UInt8] = [
            0xba, 0xf6, 0x01, 0xb0, 0xe0, 0xee,  // mov dx,0x1f6; mov al,0xe0; out dx,al: LBA
            0xba, 0xf2, 0x01, 0xb0, 0x01, 0xee,  // one sector
            0x42, 0xb0, 0x00, 0xee, 0x42, 0xb0, 0x10, 0xee, 0x42, 0xb0, 0x00, 0xee,  // 0x1000
            0xba, 0xf7, 0x01, 0xb0, 0x30, 0xee,  // WRITE SECTORS
            0xec, 0xa8, 0x08, 0x74, 0xfb,  // in al,dx; test al,8 (DRQ); jz back
            // mov cx,256; mov dx,0x1f0; xor si,si; rep outsw
            0xb9, 0x00, 0x01, 0xba, 0xf0, 0x01, 0x31, 0xf6, 0xf3, 0x6f,
            0xba, 0xf7, 0x01, 0xec, 0xa8, 0x80, 0x75, 0xfb,  // in al,dx; test al,0x80 (BSY); jnz back
            0xba, 0x01, 0x05, 0xee, 0xf4,  // mov dx,0x501; out dx,al; hlt
        ]

        /// SIGXFSZ would end the process. The limit, in blocks of 512 bytes, leaves room for the guest's RAM, a file too.
        @Test func theLimitOfAFilesSizeIsAWriteErrorOfTheDisk() async throws {
            let folder = Folder()
            try folder.write("disk.img", "")
            truncate(folder.path + "/disk.img", 4 << 20)
            let file = try folder.machine(
                Self.writeSector, devices: ["{ id: hd0, plugin: ata, at: 0x1f0, control: 0x3f6, block: disk }"],
                backends: ["{ id: disk, plugin: raw-file, path: disk.img }"])
            for (limit, isError) in [("3072", true), ("unlimited", false)] {
                let script = "ulimit -f \(limit); exec \"$0\" run \"$1\" --engine soft"
                let end = await (try Child(["-c", script, Program.path, file], program: "/bin/sh")).end()
                // ATA's status register: bit 0 is ERR.
                #expect(end.status & 1 == 1 && end.status < 256, "\(end.status) \(end.error)")
                #expect((end.status >> 1 & 1 == 1) == isError, "\(limit): \(end.status) \(end.error)")
            }
        }

        // MARK: More clients than there is room for

        @Test func theOwnersCtlGetsInWhereTheSocketIsFull() async throws {
            let machine = try await Machine()
            var clients: [QMPConnection] = []
            for _ in 0..<300 { clients.append(try QMPConnection(machine.socket)) }
            let status = try await backplane("ctl", machine.socket, "info", "status")
            #expect(status.status == 0 && status.output.contains("running"), "\(status.error)")
            // Those that were there first have stayed.
            #expect(clients[0].line()?.hasPrefix(#"{"QMP""#) == true)
            #expect(try await backplane("ctl", machine.socket, "quit").status == 0)
            let end = await machine.child.end()
            #expect(end.status == 0)
            // One a second at most, and the flood takes less than a few.
            let lines = end.errors.filter { $0.contains("more than 256 clients") }
            #expect(!lines.isEmpty && lines.count < 30)
        }
    }
}
