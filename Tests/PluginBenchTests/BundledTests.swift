import Core
import Testing

import PluginBench

/// Every plugin of the house on the bench. A million operations each: two or three seconds. `BACKPLANE_BENCH_OPERATIONS` and
/// `BACKPLANE_BENCH_SEED` make it other; `BACKPLANE_REQUIRE_PLUGINS=1` makes a plugin that is not built an error.
@Suite(.serialized) struct BundledTests {
    /// None of the libraries that lie beside the tests is left out.
    @Test func everyBundledPluginIsTested() throws {
        let names = try #require(fileNames(in: BundledPlugin.directory)).filter {
            $0.hasPrefix("lib") && $0.hasSuffix(".so")
        }
        #expect(Set(names.map { String($0.dropFirst(3).dropLast(3)) }).subtracting(BundledPlugin.all.map(\.name)) == [])
    }

    private func sequences(of plugin: BundledPlugin) throws -> [[PluginBench.Operation]] {
        let folder = #filePath.split(separator: "/").dropLast().joined(separator: "/")
        guard let text = contents(of: "/\(folder)/sequences/\(plugin.name).txt") else { return [] }
        return [try parseSequence(text)]
    }

    @Test(arguments: BundledPlugin.all) func bundledPluginPassesEveryCheck(_ plugin: BundledPlugin) throws {
        guard plugin.isBuilt else {
            if BundledPlugin.setting("BACKPLANE_REQUIRE_PLUGINS") == "1" {
                Issue.record("\(plugin.path) is not built")
            } else {
                print("\(plugin.name): skipped, \(plugin.path) is not built")
            }
            return
        }
        guard plugin.isUsable else { return print("\(plugin.name): skipped, there is no \(plugin.needs ?? "")") }
        let files = TemporaryFiles()
        let library = try PluginLibrary(path: plugin.path)
        let type = try #require(library.description.classes.first)
        var options = TestOptions()
        options.operations = BundledPlugin.setting("BACKPLANE_BENCH_OPERATIONS").flatMap { Int($0) } ?? 1_000_000
        options.seed = BundledPlugin.setting("BACKPLANE_BENCH_SEED").flatMap { UInt64($0) } ?? 1
        options.sequences = try sequences(of: plugin)
        let plan = try BenchPlan(
            library: library, className: type.name, properties: plugin.properties.mapValues { files.resolve($0) })
        var report = try testPlugin(plan, options)
        // A child that another test is just starting holds the image's lock until its exec, as it holds all descriptors.
        for _ in 0..<3 where report.results.contains(where: isLockedByChild) { report = try testPlugin(plan, options) }
        #expect(report.passed, "\(report.text)")
        withExtendedLifetime(files) {}
    }

    private func isLockedByChild(_ result: CheckResult) -> Bool {
        result.verdict == .failed && result.sentence.contains("in use by another writer")
    }

    /// A driver's own sequence, unchanged, does what it is there for.
    @Test(arguments: ["pic8259", "pit8254", "uart16550", "ata", "rtc146818", "reset-control", "debug-console", "lfsr"])
    func sequenceOfADriverHasEffects(_ name: String) throws {
        let plugin = BundledPlugin(name: name)
        let sequence = try #require(try sequences(of: plugin).first)
        #expect(sequence.count >= 10)
        guard plugin.isBuilt else { return }
        let library = try PluginLibrary(path: plugin.path)
        let bench = try Bench(library: library, className: name)
        var seen: Set<Effect.Kind> = []
        var vectors: [UInt64] = []
        for operation in sequence {
            let outcome = bench.apply(operation)
            seen.formUnion(outcome.effects.map(\.kind))
            if operation == .acknowledge { vectors.append(outcome.value) }
        }
        #expect(bench.faults == [])
        let expected: [String: Set<Effect.Kind>] = [
            "pit8254": [.line], "uart16550": [.line, .output, .event], "ata": [.line, .request], "rtc146818": [.line],
            "reset-control": [.reset], "debug-console": [.output, .deferred],
        ]
        #expect(seen.isSuperset(of: expected[name] ?? []), "\(name): \(seen)")
        // Timer, disk 14 of the slave, then input 1, and input 0 that interrupts it.
        if name == "pic8259" { #expect(vectors.prefix(4) == [0x20, 0x2e, 0x21, 0x20]) }
    }
}
