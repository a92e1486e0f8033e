import Foundation
import Testing

extension Commands {
    /// What `run` answers, and says.
    @Suite(.enabled(if: Host.hasKVM)) struct RunStatusTests {
        @Test func poweringOffIsStatus0() async throws {
            let folder = Folder()
            let end = try await backplane("run", try folder.machine(Guest.powerOff))
            #expect(end.status == 0)
            #expect(end.output == "")
            #expect(end.error.contains("guest halted with interrupts disabled"))
        }

        @Test func debugExitGivesTheGuestsOwnOddStatus() async throws {
            let folder = Folder()
            let end = try await backplane("run", try folder.machine(Guest.exit5))
            #expect(end.status == 11)
        }

        @Test func haltingForEverMayBeStatus6() async throws {
            let folder = Folder()
            let end = try await backplane("run", try folder.machine(Guest.powerOff, rules: "halt-forever: stop"))
            #expect(end.status == 6)
            #expect(end.error.contains("halted with interrupts disabled"))
        }

        @Test func tripleFaultMayBeStatus6() async throws {
            let folder = Folder()
            let file = try folder.machine(Guest.tripleFault, mode: "protected", rules: "triple-fault: stop")
            let end = try await backplane("run", file)
            #expect(end.status == 6)
            #expect(end.error.contains("triple fault at rip 0x7c07"))
        }

        @Test func aResetLoopEndsWhereALimitIsSet() async throws {
            let folder = Folder()
            let rules = "triple-fault: reset, reset-limit: 3, reset-window: 10min"
            let end = try await backplane(
                "run", try folder.machine(Guest.tripleFault, mode: "protected", rules: rules))
            #expect(end.status == 6)
            #expect(end.error.contains("reset loop"))
        }

        @Test func anUnknownMSRReadsAsZeroAndIsLoggedWhereTheFileSaysSo() async throws {
            let folder = Folder()
            let end = try await backplane("run", try folder.machine(Guest.unknownMSR, rules: "unhandled-msr: log"))
            #expect(end.status == 1, "al is 0")
            #expect(end.error.contains("guest read MSR 0x1234"))
            #expect(end.error.contains("reads as zero"))
            let quiet = try await backplane("run", try folder.machine(Guest.unknownMSR, rules: "unhandled-msr: ignore"))
            #expect(quiet.status == 1 && quiet.error == "")
        }

        @Test func anUnclaimedPortFloatsByDefault() async throws {
            let folder = Folder()
            let end = try await backplane("run", try folder.machine(Guest.port80))
            #expect(end.status == 0)
        }

        @Test func strictEndsWith8AndSaysWhatTheGuestDid() async throws {
            let folder = Folder()
            let end = try await backplane("run", try folder.machine(Guest.port80), "--policy", "strict")
            #expect(end.status == 8)
            #expect(end.error.contains("strict: guest wrote"))
            #expect(end.error.contains("to port 0x80"))
            #expect(end.error.contains("nothing claims it; the nearest claim is exit 0x501-0x502"))
        }

        @Test func aMissingGuestImageIsNamedWithItsPlace() async throws {
            let folder = Folder()
            let file = try folder.machine(Guest.powerOff)
            unlink(folder.path + "/guest.img")
            let end = try await backplane("run", file)
            #expect(end.status == 2)
            #expect(end.error.contains("\(file):4:"))
            #expect(end.error.contains("\(folder.path)/guest.img"))
            #expect(end.error.contains("No such file or directory"))
        }

        @Test func aMissingKernelIsNamedWithItsPlace() async throws {
            let end = try await backplane("run", Program.tourMachine, "--set", "guest=/absent/kernel.elf")
            #expect(end.status == 2)
            #expect(end.error.contains("tour.yaml:"))
            #expect(end.error.contains("/absent/kernel.elf"))
        }

        @Test func anUnknownSettingIsStatus2() async throws {
            let folder = Folder()
            let end = try await backplane("run", try folder.machine(Guest.powerOff), "--set", "a=b")
            #expect(end.status == 2)
            #expect(end.error.contains("--set a: error: this machine has no parameter \"a\""))
        }

        @Test(arguments: ["soft", "auto"]) func theSoftwareEngineNeedsNoKVM(engine: String) async throws {
            let folder = Folder()
            let end = try await backplane(
                "run", try folder.machine(Guest.powerOff), "--engine", engine, "--log", "debug")
            #expect(end.status == 0)
            #expect(end.error.contains(engine == "soft" ? "debug: engine soft" : "engine "))
        }

        @Test func overlappingPortsNameBothOwnersAndTheirPlaces() async throws {
            let folder = Folder()
            let file = try folder.machine(
                Guest.powerOff,
                devices: ["{ id: first, plugin: uart16550 }", "{ id: second, plugin: lfsr, at: 0x3ff }"])
            let end = try await backplane("run", file)
            #expect(end.status == 2)
            #expect(end.error.contains("\(file):11:"))
            #expect(end.error.contains("\(file):10:"))
            #expect(end.error.contains("'second' (lfsr)"))
            #expect(end.error.contains("'first'"))
            #expect(end.error.contains("0x3f8-0x3ff"))
            #expect(try await backplane("show", file).status == 2)
        }

        @Test func imageThatDoesNotFitIntoMemoryIsStatus2() async throws {
            let folder = Folder()
            let end = try await backplane("run", try folder.machine([UInt8](repeating: 0x90, count: 2 << 20)))
            #expect(end.status == 2)
            #expect(end.error.contains("guest.img"))
        }

        // MARK: Signals of a guest that goes on

        @Test func sigtermAsksABusyGuestToPowerOff() async throws {
            let folder = Folder()
            let child = try Child(["run", try folder.echo(Guest.spin)])
            #expect(await child.shows(">"))
            child.signal(SIGTERM)
            let end = await child.end()
            #expect(end.status == 0)
            #expect(end.error.contains("an operator asks the guest to power off"))
        }

        @Test func aSecondSigtermEndsAMachineThatIgnoresTheFirst() async throws {
            let folder = Folder()
            let file = try folder.echo(rules: "power-request: ignore")
            let child = try Child(["run", file])
            #expect(await child.shows(">"))
            child.signal(SIGTERM)
            #expect(await child.shows("a second SIGTERM ends it at once", onError: true))
            // Within half a second it would be the same request.
            try await Task.sleep(for: .milliseconds(700))
            #expect(child.isAlive)
            child.signal(SIGTERM)
            let end = await child.end()
            #expect(end.status == 128 + SIGTERM)
            #expect(end.error.contains("ended by a second signal, SIGTERM"))
        }

        @Test func theHangUpSignalEndsTheMachineAtOnce() async throws {
            let folder = Folder()
            let file = try folder.echo(rules: "power-request: ignore")
            let child = try Child(["run", file])
            #expect(await child.shows(">"))
            child.signal(SIGHUP)
            let end = await child.end()
            #expect(end.status == 128 + SIGHUP)
            #expect(end.error.contains("ended by SIGHUP"))
        }
    }
}
