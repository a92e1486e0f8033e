import Foundation
import PluginKit
import Testing

@testable import TraceFormat

@Suite struct JSONLinesTests {
    private func line(_ exit: bp_exit, verdict: UInt32 = 0, ns: UInt64 = 0, owner: String = "") -> String {
        var encoder = TraceEncoder(.jsonLines, process: 1, capacity: 4096)
        encoder.append(exit, verdict: verdict, ns: ns, owner: owner)
        return encoder.buffer.text
    }

    @Test func portWriteSaysEverything() {
        let record = exit(
            30, flags: 1, vcpu: 2, width: 1, rip: 0x1000f3, address: 0x3f8, value: 0x41, time: 1_234_567)
        #expect(
            line(record, ns: 1200, owner: "com1") == "{\"time\":1234567,\"ns\":1200,\"vcpu\":2,\"kind\":\"io\","
                + "\"write\":true,\"port\":\"0x3f8\",\"width\":1,\"value\":\"0x41\","
                + "\"rip\":\"0x1000f3\",\"owner\":\"com1\"}\n")
    }

    @Test func flagsAndVerdictAreNamed() {
        let record = exit(48, flags: 2 | 4 | 8, width: 2, rip: 5, address: 0xfee0_0000, value: 0xdead_beef)
        #expect(
            line(record, verdict: 4).hasSuffix(
                "\"kind\":\"ept-violation\",\"write\":false,\"address\":\"0xfee00000\",\"width\":2,"
                    + "\"value\":\"0xbeef\",\"string\":true,\"unclaimed\":true,"
                    + "\"rip\":\"0x5\",\"rip-past\":true,\"verdict\":\"stop\"}\n"))
    }

    @Test func otherKindsHaveTheirOwnFields() {
        #expect(line(exit(12, rip: 1)).hasSuffix("\"kind\":\"hlt\",\"rip\":\"0x1\"}\n"))
        #expect(
            line(exit(32, address: 0xc000_0080, value: 0x500)).contains(
                "\"kind\":\"wrmsr\",\"msr\":\"0xc0000080\",\"value\":\"0x500\","))
        var cpuid = exit(10, address: 7)
        cpuid.extra.0 = 1
        #expect(line(cpuid).contains("\"kind\":\"cpuid\",\"leaf\":\"0x7\",\"subleaf\":\"0x1\","))
        #expect(
            line(exit(28, flags: 1, address: 3, value: 0x1000)).contains(
                "\"kind\":\"cr\",\"write\":true,\"register\":3,\"value\":\"0x1000\","))
        var pageFault = exit(0, flags: 32, address: 14, value: 2)
        pageFault.extra.0 = 0xdead_0000
        #expect(
            line(pageFault).contains(
                "\"kind\":\"exception\",\"vector\":14,\"error-code\":\"0x2\",\"cr2\":\"0xdead0000\","))
    }

    @Test func unknownReasonsHaveNames() {
        #expect(line(exit(5)).contains("\"kind\":\"reason-5\""))
        #expect(line(exit(64)).contains("\"kind\":\"unknown\""))
        #expect(line(exit(0xffff)).contains("\"kind\":\"unknown\""))
    }

    /// Every reason, flag and extreme value gives a line that a JSON reader takes, within the promised size.
    @Test func everyLineIsJSON() throws {
        for reason in 0...70 as ClosedRange<UInt16> {
            for flags in [0, 0xffff] as [UInt16] {
                var record = exit(
                    reason, flags: flags, vcpu: .max, width: .max, rip: .max, address: .max, value: .max, time: .max)
                record.extra = (.max, .max, .max, .max)
                let owner = String(repeating: "\u{1}", count: 1000)
                let text = line(record, verdict: 2, ns: .max, owner: owner)
                #expect(text.utf8.count <= TraceEncoder.maximumEvent)
                let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
                #expect(object?["rip"] as? String == "0xffffffffffffffff")
                #expect((object?["owner"] as? String)?.utf8.count == 255)
            }
        }
    }

    @Test func fullBufferRefusesAndKeepsWholeLines() {
        var encoder = TraceEncoder(.jsonLines, process: 1, capacity: 4096)
        var count = 0
        while encoder.append(exit(12)) { count += 1 }
        #expect(count > 0)
        #expect(encoder.buffer.text.split(separator: "\n").count == count)
        #expect(encoder.buffer.text.hasSuffix("}\n"))
        encoder.buffer.consume(encoder.buffer.count)
        #expect(encoder.append(exit(12)) == true)
    }
}

@Suite struct ChromeTests {
    /// Takes the bytes as they come, as a file would.
    private func trace(finished: Bool = true, _ fill: (inout TraceEncoder) -> Void) -> String {
        var encoder = TraceEncoder(.chrome, process: 3, capacity: 1 << 20)
        fill(&encoder)
        if finished { #expect(encoder.finish() == true) }
        return encoder.buffer.text
    }

    private func events(_ text: String) throws -> [[String: Any]] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]])
    }

    @Test func traceWithoutEventsIsAnEmptyArray() throws {
        #expect(try events(trace { _ in }).isEmpty)
    }

    @Test func eventIsCompleteInMicroseconds() throws {
        let text = trace {
            $0.append(
                exit(30, flags: 1, vcpu: 0, width: 1, rip: 0x10, address: 0x3f8, value: 0x41, time: 12_345), ns: 1_207,
                owner: "com1")
        }
        #expect(text.contains("\"ts\":12.345,\"dur\":1.207,\"pid\":3,\"tid\":0,"))
        let event = try #require(try events(text).last)
        #expect(event["ph"] as? String == "X")
        #expect(event["name"] as? String == "io")
        #expect(event["pid"] as? Int == 3)
        let arguments = try #require(event["args"] as? [String: Any])
        #expect(arguments["port"] as? String == "0x3f8")
        #expect(arguments["value"] as? String == "0x41")
        #expect(arguments["width"] as? Int == 1)
        #expect(arguments["rip"] as? String == "0x10")
        #expect(arguments["owner"] as? String == "com1")
        #expect(arguments["time"] as? Int == 12_345)
        #expect(arguments["ns"] as? Int == 1_207)
    }

    @Test func machineAndCPUsAreNamedOnce() throws {
        let text = trace {
            for _ in 0..<3 {
                $0.append(exit(12, vcpu: 1))
                $0.append(exit(12, vcpu: 0))
                $0.append(exit(12, vcpu: 63))
                $0.append(exit(12, vcpu: 64))
            }
        }
        let names = try events(text).filter { $0["ph"] as? String == "M" }
        #expect(names.map { $0["name"] as? String } == ["process_name", "thread_name", "thread_name", "thread_name"])
        #expect(names.dropFirst().map { $0["tid"] as? Int } == [1, 0, 63])
        #expect(try events(text).count == 4 + 12)
    }

    /// Cut after any event, the text lacks nothing but its bracket.
    @Test func traceThatIsCutShortLacksOnlyItsBracket() throws {
        var encoder = TraceEncoder(.chrome, process: 1, capacity: 1 << 16)
        for count in 1...20 {
            encoder.append(exit(12, time: UInt64(count) * 1000))
            #expect(try events(encoder.buffer.text + "]").count == count + 2)
        }
    }

    /// Perfetto drops slices of a track that overlap without nesting.
    @Test func eventsOfACPUDoNotOverlap() throws {
        let text = trace {
            for step in 0..<50 as Range<UInt64> {
                $0.append(exit(30, vcpu: UInt32(step % 2), width: 1, time: step * 100), ns: 1000 + step)
            }
        }
        for cpu in 0...1 {
            var end = 0.0
            for event in try events(text) where event["ph"] as? String == "X" && event["tid"] as? Int == cpu {
                let begin = try #require((event["ts"] as? NSNumber)?.doubleValue)
                #expect(begin >= end - 1e-6)
                end = begin + (try #require((event["dur"] as? NSNumber)?.doubleValue))
            }
        }
    }

    @Test func eventsApartKeepTheirTimes() {
        let text = trace {
            $0.append(exit(12, time: 1000), ns: 500)
            $0.append(exit(12, time: 2000), ns: 500)
        }
        #expect(text.contains("\"ts\":1.000,\"dur\":0.500"))
        #expect(text.contains("\"ts\":2.000,\"dur\":0.500"))
    }

    @Test func extremeTimesDoNotTrap() throws {
        let text = trace {
            $0.append(exit(12, time: .max), ns: .max)
            $0.append(exit(12, time: 0), ns: .max)
        }
        #expect(try events(text).count == 4)
    }

    @Test func longestEventWithItsNamesFits() {
        var encoder = TraceEncoder(.chrome, process: .max, capacity: TraceEncoder.maximumEvent + 1)
        var record = exit(48, flags: 0xffff, vcpu: 63, width: .max, rip: .max, address: .max, value: .max, time: .max)
        record.extra = (.max, .max, .max, .max)
        #expect(encoder.append(record, verdict: 2, ns: .max, owner: String(repeating: "\u{1}", count: 1000)) == true)
        #expect(!encoder.buffer.hasOverflowed)
        #expect(encoder.buffer.count <= TraceEncoder.maximumEvent + 1)
    }

    @Test func bracketWaitsForRoom() {
        var encoder = TraceEncoder(.chrome, process: 1, capacity: 4096)
        while encoder.append(exit(12)) {}
        while encoder.buffer.makeRoom(3) { encoder.buffer.put(32) }
        #expect(encoder.finish() == false)
        encoder.buffer.consume(encoder.buffer.count)
        #expect(encoder.finish() == true)
        #expect(encoder.buffer.text == "\n]\n")
    }
}
