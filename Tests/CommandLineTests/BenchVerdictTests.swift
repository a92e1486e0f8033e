import Foundation
import Testing

/// What a plugin does that must never pass, and what the verdict says.
private struct Unruly: CustomTestStringConvertible {
    var mode: String
    var check: String
    /// Parts of the sentence.
    var says: [String]
    /// Of the shortest list; nil: there is no list to be short.
    var operations: Int?

    var testDescription: String { mode }

    init(_ mode: String, _ check: String, _ says: String..., operations: Int? = nil) {
        (self.mode, self.check, self.says, self.operations) = (mode, check, says, operations)
    }

    private static let write = "write of 0x2e0"

    static let all = [
        Unruly("segv", "fuzz", "'device' (unruly) crashes in \(write): Segmentation fault", operations: 2),
        Unruly("abort", "fuzz", "crashes in \(write): Aborted", operations: 2),
        Unruly("exit", "fuzz", "ends the process in \(write), with status 0", operations: 2),
        Unruly("_exit", "fuzz", "'device' (unruly) ends the process in \(write), with status 0", operations: 2),
        Unruly("loop", "fuzz", "'device' (unruly) does not return from \(write)", operations: 2),
        Unruly("sleep", "fuzz", "does not return from \(write)", operations: 2),
        Unruly("timer-segv", "fuzz", "crashes in a timer", operations: 3),
        Unruly("thread-crash", "fuzz", "crashes", "Segmentation fault", operations: 2),
        Unruly("thread-exit", "fuzz", "ends the process", "with status 0", operations: 2),
        Unruly("no-complete", "fuzz", "was BP_DEFERRED, and no completion has come", operations: 1),
        Unruly("chdir", "fuzz", "changed the process's working directory", operations: 2),
        Unruly("signal", "fuzz", "changed the process's handler of SIGSEGV", operations: 2),
        Unruly("close", "fuzz", "closed descriptor 0", operations: 2),
        Unruly("create-segv", "hosting", "'device' (unruly) crashes in create: Segmentation fault"),
        Unruly("create-exit", "hosting", "ends the process in create, with status 0"),
        Unruly("create-hang", "hosting", "does not return from create"),
        Unruly("destroy-segv", "hosting", "crashes in destroy: Segmentation fault"),
        Unruly("destroy-leak", "leaks", "each instance that is destroyed leaves", "bytes of memory allocated"),
        Unruly("destroy-fd", "leaks", "each instance that is destroyed leaves 1 descriptor open"),
        Unruly("destroy-thread", "leaks", "each instance that is destroyed leaves 1 thread running"),
        Unruly("leak", "leaks", "bytes of memory allocated", operations: 2),
        Unruly("leak-fd", "leaks", "descriptor", operations: 2),
    ]
}

extension Commands {
    /// `plugin test` on plugins that end the process, crash, hang, owe answers or leak.
    @Suite(.serialized, .enabled(if: Host.hasCompiler)) struct BenchVerdictTests {
        /// The limit is short, for what does hang; what does not hang makes progress within it on any host.
        private func test(_ mode: String, _ more: [String] = []) async throws -> Child.Ended {
            let folder = Folder()
            try await CPlugin.compile("unruly", CPlugin.unruly, into: folder.path)
            let arguments =
                ["plugin", "test", folder.path + "/libunruly.so", "--set", "mode=\(mode)", "--operations", "20000"]
                + more
            return await (try Child(arguments)).end(seconds: 300)
        }

        @Test func aPluginThatBehavesPasses() async throws {
            let end = try await test("none")
            #expect(end.status == 0, "\(end.output) \(end.error)")
            #expect(end.output.contains("pass  leaks"))
            #expect(!end.output.contains("FAIL"))
        }

        @Test(arguments: Unruly.all)
        private func itNeverPassesAndIsNamed(_ unruly: Unruly) async throws {
            let end = try await test(unruly.mode, ["--limit", "4"])
            #expect(end.status == 4, "\(end.output) \(end.error)")
            let failed = end.output.split(separator: "\n").filter { $0.contains("FAIL") }
            #expect(failed.first?.contains("FAIL  \(unruly.check) ") == true, "\(end.output)")
            for part in unruly.says { #expect(failed.first?.contains(part) == true, "\(end.output)") }
            guard let count = unruly.operations else { return }
            let list = "the shortest list found that fails, \(count) operation"
            #expect(end.output.contains(list), "\(end.output)")
        }

        @Test(arguments: ["defer-timer", "defer-thread"])
        func answersThatComeLaterAreExercised(_ mode: String) async throws {
            let end = try await test(mode, ["--time", "20"])
            #expect(end.status == 0, "\(end.output) \(end.error)")
            #expect(end.output.contains("pass  fuzz"))
        }

        @Test func checksAfterTheOneThatEndsTheProcessAreSaidNotToBeMade() async throws {
            let end = try await test("_exit")
            #expect(end.output.contains("pass  hosting"), "\(end.output)")
            #expect(end.output.contains("skip  peek           not made: the process did not survive 'fuzz'"))
        }

        // MARK: The address sanitizer

        @Test func oneByteTooManyIsFoundWithTheSanitizerOnly() async throws {
            let plain = try await test("overflow")
            #expect(plain.status == 0, "\(plain.output)")
            let end = try await test("overflow", ["--sanitize"])
            if end.status == 2, end.error.contains("--sanitize needs a runtime") {
                print("plugin test --sanitize is not tested: \(end.error)")
                return
            }
            #expect(end.status == 4, "\(end.output) \(end.error)")
            #expect(end.error.contains("heap-buffer-overflow"))
            #expect(end.output.contains("crashes in write of 0x2e0: Aborted"))
            #expect(end.output.contains("the shortest list found that fails, 2 operations"), "\(end.output)")
        }

        @Test func aRuntimeThatIsNotThereIsNamed() async throws {
            let end = try await test("none", ["--sanitizer-runtime", "/nonexistent/libasan.so"])
            #expect(end.status == 2)
            #expect(end.error.contains("there is no '/nonexistent/libasan.so'"))
        }
    }

    /// The plugins of the house leave nothing behind; what else the bench checks, BundledTests checks in its own process.
    @Suite(.serialized) struct BundledLeakTests {
        @Test(arguments: [
            "ata", "budget", "cpuid", "debug-console", "debug-exit", "guard", "hotkey", "lfsr",

            "null", "paravirt", "pic8259", "pit8254", "pty", "ram-disk", "reset-control", "rtc146818", "socket",
            "standard",
            "strict", "terminal", "uart16550",
        ])
        func bundledPluginGivesBackWhatItTakes(_ name: String) async throws {
            let settings = ["socket": ["--set", "port=0"], "ram-disk": ["--set", "size=1MiB"]][name] ?? []
            let end = await (try Child(["plugin", "test", name, "--operations", "20000"] + settings)).end(seconds: 300)
            #expect(end.status == 0, "\(end.output) \(end.error)")
            #expect(end.output.contains("pass  leaks"), "\(end.output)")
        }
    }
}
