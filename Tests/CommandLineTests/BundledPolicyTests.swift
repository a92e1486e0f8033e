import Foundation
import Testing

extension Commands {
    /// guard, budget, watchpoint, fault-inject, cpuid and memory-watch, each on a small guest.
    @Suite(.enabled(if: Host.hasKVM)) struct BundledPolicyTests {
        /// mov al,0x12; out 0x80,al; in al,0x80; mov dx,0x501; out dx,al; hlt: its status tells what it read.
        private static let echo80: [UInt8] = [0xb0, 0x12, 0xe6, 0x80, 0xe4, 0x80, 0xba, 0x01, 0x05, 0xee, 0xf4]
        /// mov ecx,0x1a0; rdmsr; mov dx,0x501; out dx,al; hlt
        private static let msr: [UInt8] = [0x66, 0xb9, 0xa0, 0x01, 0, 0, 0x0f, 0x32, 0xba, 0x01, 0x05, 0xee, 0xf4]
        /// mov byte [0x2345],1; mov cx,20; l: out 0x80,al; loop l; cli; hlt
        private static let writer: [UInt8] = [
            0xc6, 0x06, 0x45, 0x23, 0x01, 0xb9, 20, 0, 0xe6, 0x80, 0xe2, 0xfc, 0xfa, 0xf4,
        ]

        private func run(
            _ guest: [UInt8], _ policies: String..., engine: String = "kvm", top: String = "", devices: [String] = []
        ) async throws -> Child.Ended {
            let folder = Folder()
            let file = try folder.machine(guest, top: top, devices: devices)
            let options = policies.flatMap { ["--policy", $0] } + ["--engine", engine, "--log", "debug"]
            return await (try Child(["run", file] + options)).end()
        }

        /// The low byte that the guest read, if it ended by its own status.
        private func value(_ end: Child.Ended) -> Int32? { end.status & 1 == 1 ? end.status >> 1 : nil }

        // MARK: guard

        @Test func guardDropsStopsAndLogsWithRIP() async throws {
            let dropped = try await run(Self.echo80, "guard,deny-ports=0x80")
            #expect(value(dropped) == 0x7f)
            #expect(
                dropped.error.contains(
                    "guard: warning: denied: guest wrote 0x12 (1 byte) to port 0x80"))
            #expect(dropped.error.contains("rip 0x7c04"))
            #expect(dropped.error.contains("guard: warning: denied: guest read 1 byte from port 0x80 at rip 0x7c04"))
            let stopped = try await run(Self.echo80, "guard,deny-ports=0x80,action=stop")
            #expect(stopped.status == 8 && stopped.error.contains("denied: guest wrote 0x12"))
            let allowed = try await run(Self.echo80, "guard,allow-ports=0x501,log-limit=1")
            #expect(value(allowed) == 0x7f)
            #expect(allowed.error.contains("2 accesses were denied, of which 1 are logged"))
        }

        @Test func guardTakesMSRsFromTheGuest() async throws {
            let zero = try await run(Self.msr, "guard,deny-msrs=0x1a0")
            #expect(value(zero) == 0 && zero.error.contains("denied: guest read MSR 0x1a0"))
            // #GP without a handler: the guest does not get to its end by itself.
            let fault = try await run(Self.msr, "guard,deny-msrs=0x1a0,action=inject", "budget,exits=200,time=2s")
            #expect(value(fault) == nil)
        }

        @Test func guardRefusesAtLoadWhatTheEngineCannot() async throws {
            let precise = try await run(Self.echo80, "guard,deny-ports=0x80,action=inject")
            #expect(precise.status == 2 || precise.status == 6)
            #expect(precise.error.contains("guard") && precise.error.contains("soft"))
            let leaves = try await run(Self.echo80, "guard,deny-cpuid=0x40000000-0x4fffffff")
            #expect((leaves.status == 2 || leaves.status == 6) && leaves.error.contains("guard"))
            let ports = try await run(Self.echo80, "guard,deny-ports=0x10000")
            #expect(ports.status == 2 && ports.error.contains("0xffff"))
        }

        // MARK: budget

        @Test func budgetEndsAfterItsExits() async throws {
            let enough = try await run(Self.writer, "budget,exits=21")
            #expect(enough.status == 0)
            let less = try await run(Self.writer, "budget,exits=19")
            #expect(less.status == 8 && less.error.contains("the 19 exits that were granted are spent"))
            #expect(try await run(Self.writer, "budget,exits=19,status=44").status == 44)
        }

        @Test func budgetEndsAfterItsTime() async throws {
            let end = try await run(Guest.spin, "budget,time=300ms", devices: ["{ id: com1, plugin: uart16550 }"])
            #expect(end.status == 8 && end.error.contains("time that was granted is over"))
        }

        @Test func budgetPausesAndContinuingGrantsAsMuchAgain() async throws {
            let folder = Folder()
            let file = try folder.machine(Self.writer)
            let socket = folder.path + "/qmp"
            let child = try Child(["run", file, "--policy", "budget,exits=15,action=pause", "--qmp", "unix:\(socket)"])
            #expect(try await isPaused(socket))
            #expect(try await backplane("ctl", socket, "call", "budget", "left").output == "15\n")
            #expect(try await backplane("ctl", socket, "cont").status == 0)
            // Of 20 writes none is lost or made twice: 16 and 4 and the HLT.
            #expect(await child.end().status == 0)
        }

        /// Whether the machine of a socket comes to stand still.
        private func isPaused(_ socket: String) async throws -> Bool {
            for _ in 0..<200 {
                let status = try await backplane("ctl", socket, "info", "status")
                if status.output.contains("VM status: paused") { return true }
                try await Task.sleep(for: .milliseconds(20))
            }
            return false
        }

        /// l: inc eax; jmp l
        private static let counting: [UInt8] = [0x66, 0x40, 0xeb, 0xfc]

        @Test func budgetEndsAtItsLastInstruction() async throws {
            let folder = Folder()
            let file = try folder.machine(Self.counting)
            let socket = folder.path + "/qmp"
            let budget = "b=budget,instructions=100001,action=pause"
            let child = try Child(["run", file, "--engine", "soft", "--policy", budget, "--qmp", "unix:\(socket)"])
            // Two instructions a round: 50,001 increments and 50,000 jumps, and as many again the other way round.
            for rax in ["000000000000c351", "00000000000186a1"] {
                #expect(try await isPaused(socket))
                #expect(try await backplane("ctl", socket, "info", "registers").output.contains("rax    \(rax)"))
                #expect(try await backplane("ctl", socket, "call", "b", "instructions-left").output == "100001\n")
                #expect(try await backplane("ctl", socket, "cont").status == 0)
            }
            #expect(try await backplane("ctl", socket, "set", "b", "action", "stop").status == 0)
            #expect(try await backplane("ctl", socket, "cont").status == 0)
            let end = await child.end()
            #expect(end.status == 8 && end.error.contains("the 100001 instructions that were granted are spent"))
        }

        @Test func aBudgetOfInstructionsNeedsAnEngineThatCounts() async throws {
            let end = try await run(Self.counting, "budget,instructions=10")
            #expect(end.status == 2 && end.error.contains("count of instructions") && end.error.contains("soft"))
        }

        // MARK: watchpoint

        @Test func watchpointStopsAtAValue() async throws {
            let written = try await run(Self.echo80, "watchpoint,ports=0x80,value=0x12,action=stop")
            #expect(written.status == 8 && written.error.contains("guest wrote 0x12 (1 byte) to port 0x80"))
            #expect(value(try await run(Self.echo80, "watchpoint,ports=0x80,value=0x13,action=stop")) == 0x7f)
            let read = try await run(Self.echo80, "watchpoint,ports=0x80,access=read,value=0xff,action=stop")
            #expect(read.status == 8)
            let msr = try await run(Self.msr, "watchpoint,msrs=0x1a0,action=stop")
            #expect(msr.status == 8 && msr.error.contains("MSR 0x1a0"))
            let later = try await run(Self.writer, "watchpoint,ports=0x80,ignore=19,action=stop")
            #expect(later.status == 8)
            #expect(try await run(Self.writer, "watchpoint,ports=0x80,ignore=20,action=stop").status == 0)
        }

        // MARK: fault-inject

        @Test func faultsAreTheSameForASeed() async throws {
            let zero = try await run(Self.echo80, "fault-inject,exits=io,addresses=0x80,access=read,effect=zero")
            #expect(value(zero) == 0 && zero.error.contains("fault 1: io 0x80"))
            let error = try await run(
                Self.echo80, "fault-inject,exits=io,addresses=0x80,access=read,effect=value,value=0x51")
            #expect(value(error) == 0x51)
            func faults(_ seed: Int) async throws -> [String] {
                try await run(Self.writer, "fault-inject,exits=io,addresses=0x80,probability=0.5,seed=\(seed)").errors
            }
            let first = try await faults(3)
            #expect(first.count > 2 && first.count < 19)
            #expect(try await faults(3) == first)
            #expect(try await run(Self.echo80, "fault-inject,exits=nonsense").status == 2)
        }

        @Test func aDelayIsTimeForTheGuestAndNothingElse() async throws {
            /// Instructions and nanoseconds of a run with a counted clock.
            func counts(_ policy: String) async throws -> [Int] {
                let end = try await run(Self.echo80, policy, engine: "soft", top: "clock: { mode: counted }")
                #expect(value(end) == 0x7f)
                let line = end.errors.first { $0.contains("counted: ") }?.split(separator: " ") ?? []
                return line.compactMap { Int($0) }
            }
            let inTime = try await counts("fault-inject,exits=io,addresses=0x81,effect=delay")
            let late = try await counts("fault-inject,exits=io,addresses=0x80,effect=delay,delay=70ms")
            // The write and the read of port 0x80.
            #expect(inTime.count == 2 && late == [inTime[0], inTime[1] + 140_000_000])
            let kvm = try await run(Self.echo80, "fault-inject,exits=io,addresses=0x80,effect=delay,delay=1ms")
            #expect(value(kvm) == 0x7f && kvm.error.contains("fault 2: io 0x80"))
            let tooLong = try await run(Self.echo80, "fault-inject,exits=io,effect=delay,delay=2s")
            #expect(tooLong.status == 2)
        }

        @Test func aDelayEndsWithTheMachine() async throws {
            let end = try await run(
                Self.echo80, "budget,time=50ms", "fault-inject,exits=io,addresses=0x80,effect=delay,delay=1s")
            #expect(end.status == 8)
        }

        // MARK: paravirt

        /// mov bx,msg; mov cx,3; mov eax,1; mov dx,0x4250; out dx,eax; in al,dx; mov bl,al; mov eax,4; out dx,eax; hlt; msg
        private static let hypercall: [UInt8] =
            [
                0x66, 0xbb, 0x24, 0x7c, 0, 0,  // 00: mov ebx,0x7c24
                0x66, 0xb9, 3, 0, 0, 0,  // 06: mov ecx,3
                0x66, 0xb8, 1, 0, 0, 0,  // 0c: mov eax,1
                0xba, 0x50, 0x42,  // 12: mov dx,0x4250
                0x66, 0xef,  // 15: out dx,eax
                0xec,  // 17: in al,dx
                0x66, 0x0f, 0xb6, 0xd8,  // 18: movzx ebx,al
                0x66, 0xb8, 4, 0, 0, 0,  // 1c: mov eax,4
                0x66, 0xef,  // 22: out dx,eax
            ] + Array("hi\n".utf8)

        @Test func hypercallsWriteAndPowerOff() async throws {
            let end = try await run(Self.hypercall, "paravirt")
            // Three bytes were written: the guest powers off with that as its status.
            #expect(end.status == 3 << 1 | 1)
            #expect(end.error.contains("paravirt: hi"))
            let clock = try await run(Self.hypercall, "paravirt,kvm-clock=on")
            #expect((clock.status == 2 || clock.status == 6) && clock.error.contains("paravirt"))
        }

        // MARK: cpuid and memory-watch

        @Test func cpuidNamesWhatItNeeds() async throws {
            let end = try await run(Self.echo80, "cpuid,template=pentium")
            #expect(end.status == 2 || end.status == 6)
            #expect(end.error.contains("cpuid") && end.error.contains("soft"))
            #expect(try await run(Self.echo80, "cpuid,hide=nonsense").error.contains("no feature nonsense"))
            #expect(try await run(Self.echo80, "cpuid,vendor=short").error.contains("12 characters"))
        }

        @Test func memoryWatchNamesTheChangedPages() async throws {
            // The guest's first exit is its first write to port 0x80, and by then it has written to 0x2345.
            let before = try await run(Self.writer, "memory-watch,ranges=0x1000-0x3fff")
            #expect(before.error.contains("pages have changed") || before.error.contains("no page has changed"))
            // out 0x80,al; mov byte [0x2345],1; cli; hlt
            let after = try await run(
                [0xe6, 0x80, 0xc6, 0x06, 0x45, 0x23, 0x01, 0xfa, 0xf4], "memory-watch,ranges=0x1000-0x3fff")
            #expect(after.error.contains("changed: 0x2000-0x2fff"))
            #expect(try await run(Self.writer, "memory-watch,ranges=0-0xffffffff").status == 2)
        }

        /// mov byte [0x2345],1; mov byte [0x2346],2; mov al,[0x2345]; add al,[0x2346]; mov dx,0x501; out dx,al; hlt
        private static let adder: [UInt8] = [
            0xc6, 0x06, 0x45, 0x23, 1, 0xc6, 0x06, 0x46, 0x23, 2, 0xa0, 0x45, 0x23, 0x02, 0x06, 0x46, 0x23,
            0xba, 0x01, 0x05, 0xee, 0xf4,
        ]

        @Test(arguments: ["kvm", "soft"]) func writesToRAMAreReportedOrDenied(on engine: String) async throws {
            let watched = "memory-watch,ranges=0x2345-0x2345,writes="
            let denied = try await run(Self.adder, watched + "deny", engine: engine)
            #expect(value(denied) == 2)
            #expect(denied.error.contains("denied: guest wrote 0x1 (1 byte) to memory 0x2345"))
            #expect(!denied.error.contains("0x2346"))
            let reported = try await run(Self.adder, watched + "report", engine: engine)
            #expect(value(reported) == 3 && reported.error.contains("guest wrote 0x1 (1 byte) to memory 0x2345"))
            let allowed = try await run(Self.adder, watched + "allow", engine: engine)
            #expect(value(allowed) == 3 && !allowed.error.contains("guest wrote"))
            // Another policy's wish for memory exits is not one for writes to RAM.
            let other = try await run(
                Self.adder, "guard,deny-memory=0-0xfffff", watched + "report", engine: engine)
            #expect(value(other) == 3 && !other.error.contains("guard: warning"))
        }
    }
}
