import Foundation
import Testing

extension Commands {
    /// `--policy`: what exits mean, changed without touching the file.
    @Suite(.enabled(if: Host.hasKVM)) struct PolicyTests {
        @Test(arguments: [
            ("strict", Int32(8)), ("strict,allow=0x80", 0), ("strict,ports=off", 0),
            ("standard,unclaimed-port=stop", 8),
            ("standard,halt-forever=stop", 6), ("mine=strict", 8), ("null-policy=stats", 0),
        ])
        func onePolicyMoreDecidesOtherwise(_ policy: String, _ status: Int32) async throws {
            let folder = Folder()
            let file = try folder.machine(Guest.port80)
            #expect(try await backplane("run", file).status == 0)
            #expect(try await backplane("run", file, "--policy", policy).status == status)
        }

        @Test func theIdOnTheCommandLineIsTheOneThatSpeaks() async throws {
            let folder = Folder()
            let end = try await backplane("run", try folder.machine(Guest.port80), "--policy", "warden=strict")
            #expect(end.error.contains("warden: guest wrote"))
        }

        @Test func theFirstOfSeveralIsAskedFirst() async throws {
            let folder = Folder()
            let file = try folder.machine(Guest.port80)
            let end = try await backplane(
                "run", file, "--policy", "standard,unclaimed-port=stop", "--policy", "strict")
            #expect(end.status == 8)
            #expect(end.error.contains("standard: guest wrote"))
        }

        @Test func unclaimedPortsMayBeLogged() async throws {
            let folder = Folder()
            let end = try await backplane("run", try folder.machine(Guest.port80, rules: "unclaimed-port: log"))
            #expect(end.status == 0)
            #expect(end.error.contains("port 0x80"))
        }

        @Test func statsPrintsATableAtTheEnd() async throws {
            let folder = Folder()
            let end = try await backplane("run", try folder.machine(Guest.exit5), "--policy", "stats")
            #expect(end.status == 11)
            let lines = end.errors.filter { $0.hasPrefix("backplane: stats: ") }
            #expect(lines.contains { $0.contains("count") && $0.contains("mean") && $0.hasSuffix("exit") })
            #expect(lines.contains { $0.hasSuffix("I/O instruction") })
            #expect(lines.contains { $0.contains("port 0x501") && $0.hasSuffix("exit") })
        }

        @Test func statsMayGoToAFile() async throws {
            let folder = Folder()
            let report = folder.path + "/report"
            let end = try await backplane(
                "run", try folder.machine(Guest.exit5), "--policy", "stats,file=\(report)")
            #expect(end.error == "")
            #expect(try String(contentsOfFile: report, encoding: .utf8).contains("I/O instruction"))
        }

        @Test func aChromeTraceIsJSONWithWhatViewersNeed() async throws {
            let folder = Folder()
            let trace = folder.path + "/trace.json"
            let file = try folder.machine(Guest.trap)
            let end = try await backplane("run", file, "--policy", "trace,file=\(trace),format=chrome")
            #expect(end.status == 0xff)
            let events = try events(trace)
            #expect(events.contains { $0["ph"] as? String == "M" })
            let exits = events.filter { $0["ph"] as? String == "X" }
            for event in exits {
                for key in ["name", "cat", "ts", "dur", "pid", "tid", "args"] { #expect(event[key] != nil, "\(key)") }
            }
            let ports = exits.compactMap { ($0["args"] as? [String: Any])?["port"] as? String }
            #expect(ports == ["0x300", "0x300", "0x501"])
            let times = exits.compactMap { ($0["ts"] as? NSNumber)?.doubleValue }
            #expect(times.count == 3 && times == times.sorted())
        }

        @Test func aTraceIsWholeWhereAPolicyStopsTheMachine() async throws {
            let folder = Folder()
            let trace = folder.path + "/trace.json"
            let end = try await backplane(
                "run", try folder.machine(Guest.port80), "--policy", "trace,file=\(trace),format=chrome",
                "--policy", "strict")
            #expect(end.status == 8)
            #expect(try events(trace).contains { $0["ph"] as? String == "X" })
        }

        @Test func linesOfJSONAreATraceToo() async throws {
            let folder = Folder()
            let trace = folder.path + "/trace.jsonl"
            let end = try await backplane("run", try folder.machine(Guest.exit5), "--policy", "trace,file=\(trace)")
            #expect(end.status == 11)
            let lines = try String(contentsOfFile: trace, encoding: .utf8).split(separator: "\n")
            let last = try #require(lines.last)
            let event = try #require(try JSONSerialization.jsonObject(with: Data(last.utf8)) as? [String: Any])
            #expect(event["kind"] as? String == "io")
            #expect(event["port"] as? String == "0x501")
            #expect(event["value"] as? String == "0x5")
            #expect(event["owner"] as? String == "exit")
        }

        private func events(_ path: String) throws -> [[String: Any]] {
            let data = try #require(FileManager.default.contents(atPath: path))
            return try #require(try JSONSerialization.jsonObject(with: data) as? [[String: Any]])
        }
    }
}
