// The software CPU against the one that runs the test.

import FoundationEssentials
import Glibc
import NativeCPU
import Testing

@testable import EngineSoft

@Suite(.serialized) struct NativeTests {
    /// Of the software CPU, as far as this host has them too.
    static let features = CPUModel().features.withoutThose(missingFrom: HostFeatures.names)

    @Test(arguments: [64, 32])
    func everyUserModeInstructionDoesAsTheHosts(bits: Int) throws {
        let comparison = try Comparison(bits: bits, seed: Soak.seed, features: Self.features)
        guard nc_begin(Places.gsBase) == 0 else {
            Issue.record("this host gives no signals to the test")
            return
        }
        defer { nc_end() }
        for number in 0..<(200_000 * Soak.factor) {
            comparison.run(number % 4 == 0 ? .sequence : number % 4 == 1 ? .stepped : .single)
        }
        let failures = comparison.failures
        #expect(failures.isEmpty, "\(comparison.failureCounts)\n\(failures.joined(separator: "\n"))")
        // Most cases come to their end, and each kind of fault is among the others.
        #expect(comparison.ends[256] > comparison.cases / 2)
        for vector in [0, 6, 13, 14] { #expect(comparison.ends[vector] > 0, "no case raised vector \(vector)") }
        #expect(comparison.timeouts < comparison.cases / 1000)
    }

    /// PUSH to far returns in code and on stacks of 16 and 32 bits, with both prefixes: as the host's CPU does them in segments of an LDT.
    ///
    /// In a process of its own: where another thread of the process runs KVM, this host's kernel comes back without the process's LDT, and a
    /// load of its segments faults.
    @Test(
        .enabled(if: getenv("BACKPLANE_ALONE") != nil, "it needs a process without KVM: `make test` runs it by itself"))
    func instructionsWhoseSizesDifferDoAsTheHosts() throws {
        guard let comparison = try WidthComparison(seed: Soak.seed), nc_begin(Places.gsBase) == 0 else {
            Issue.record("this host gives no LDT or no signals to the test")
            return
        }
        defer { nc_end() }
        for _ in 0..<(60_000 * Soak.factor) { comparison.run() }
        let failures = comparison.failures
        #expect(failures.isEmpty, "\(comparison.failureCounts)\n\(failures.joined(separator: "\n"))")
        #expect(comparison.ends > comparison.cases / 3)
    }
}

/// Flags of /proc/cpuinfo.
enum HostFeatures {
    /// Leaf 0 of CPUID: GenuineIntel.
    static let isIntel =
        (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8))?.contains("GenuineIntel") ?? false

    static let names: Set<Substring> = {
        guard let file = fopen("/proc/cpuinfo", "r") else { return [] }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 16384)
        while fgets(&line, 16384, file) != nil {
            let text = line.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
            if text.hasPrefix("flags") { return Set(text.split { $0 == " " || $0 == "\n" || $0 == "\t" }) }
        }
        return []
    }()
}

extension FeatureSet {
    func withoutThose(missingFrom host: Set<Substring>) -> FeatureSet {
        var set = self
        let names: [(Feature, Substring)] = [
            (.sse3, "pni"), (.ssse3, "ssse3"), (.sse41, "sse4_1"), (.sse42, "sse4_2"), (.popcnt, "popcnt"),
            (.cmpxchg16b, "cx16"),
            (.movbe, "movbe"), (.lahf64, "lahf_lm"), (.abm, "abm"), (.prefetchw, "3dnowprefetch"), (.adx, "adx"),
            (.aes, "aes"),
            (.pclmul, "pclmulqdq"), (.sha, "sha_ni"), (.bmi1, "bmi1"), (.bmi2, "bmi2"), (.clflushopt, "clflushopt"),
        ]
        for (feature, name) in names where !host.contains(name) { set.remove(feature) }
        return set
    }
}
