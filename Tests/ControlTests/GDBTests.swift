import Core
import Testing

@testable import Control

/// A machine that is memory from 0x1000 on, one set of registers, and a list of what was asked.
private final class FakeTarget: GDBTarget {
    var cpuCount = 1
    var state = DebugRegisters(machine: .init(), floating: FloatingState())
    var memory = [UInt8](repeating: 0, count: 0x2000)
    var asked: [String] = []
    var points: [DebugPoint] = []
    var current = DebugPhase.stopped(DebugStop(vcpu: 0, reason: .interrupted))

    func registers(_ cpu: Int) throws(MachineError) -> DebugRegisters { state }
    func setRegisters(_ registers: DebugRegisters, _ cpu: Int) throws(MachineError) {
        if registers.machine.cr0 & 0x8000_0001 == 0x8000_0000 { throw MachineError("PG without PE") }
        state = registers
    }
    func readMemory(_ address: UInt64, _ count: Int, _ cpu: Int) throws(MachineError) -> [UInt8] {
        guard (0x1000..<0x3000).contains(address) else { throw MachineError("not mapped") }
        return Array(memory[Int(address - 0x1000)...].prefix(count))
    }
    func writeMemory(_ address: UInt64, _ bytes: [UInt8], _ cpu: Int) throws(MachineError) {
        guard (0x1000..<0x3000).contains(address), UInt64(bytes.count) <= 0x3000 - address else {
            throw MachineError("not mapped")
        }
        memory.replaceSubrange(Int(address - 0x1000)..<Int(address - 0x1000) + bytes.count, with: bytes)
    }
    func insert(_ point: DebugPoint) throws(MachineError) {
        if points.count == 4 { throw MachineError("full") }
        points.append(point)
    }
    func remove(_ point: DebugPoint) throws(MachineError) -> Bool {
        points.removeAll { $0 == point }
        return true
    }
    func resume(step: Int?) throws(MachineError) {
        asked.append(step.map { "step \($0)" } ?? "continue")
        current = .running
    }
    func interrupt() { asked.append("interrupt") }
    func phase() -> DebugPhase { current }
}

/// The remote protocol without a socket.
struct GDBTests {
    private static func framed(_ text: String) -> [UInt8] {
        let sum = text.utf8.reduce(0 as UInt8, &+)
        let digits = String(sum, radix: 16)
        return Array("$\(text)#\(digits.count == 1 ? "0" : "")\(digits)".utf8)
    }

    /// A session that needs no '+'.
    private final class Conversation {
        let target = FakeTarget()
        var session: GDBSession

        init(_ architecture: GDBArchitecture = .x86_64) {
            session = GDBSession(architecture, target: target)
            _ = session.take(.packet(Array("QStartNoAckMode".utf8)))
        }

        /// Texts of packets, and what else is to be done.
        func ask(_ text: String) -> [String] { ask(Array(text.utf8)) }
        func ask(_ data: [UInt8]) -> [String] { session.take(.packet(data)).map(Conversation.text) }

        static func text(_ reaction: GDBSession.Reaction) -> String {
            guard case .write(let bytes) = reaction else { return "\(reaction)" }
            var framer = GDBFramer()
            guard case .packet(let data)? = framer.feed(bytes).first else { return "broken" }
            return String(decoding: data, as: UTF8.self)
        }
    }

    // MARK: Framing

    @Test func packetsAreCutOutAndChecked() {
        var framer = GDBFramer()
        #expect(framer.feed("+$qC#b4-".utf8) == [.acknowledged, .packet(Array("qC".utf8)), .again])
        #expect(framer.feed("$qC#b5".utf8) == [.damaged])
        #expect(framer.feed("$qC#zz".utf8) == [.damaged])
        #expect(framer.feed([3]) == [.interrupt])
        // In pieces; a 3 inside of a packet is data.
        #expect(framer.feed("$m1".utf8) == [])
        #expect(framer.feed([3, 0x23]) == [])
        // 'm' + '1' + 3 = 0xa1
        #expect(framer.feed("a1".utf8) == [.packet([0x6d, 0x31, 3])])
    }

    @Test func escapesAreTakenOutAndPutIn() {
        var framer = GDBFramer()
        // '}' 0x03 is '#', '}' 0x5d is '}'; the sum is of what is on the wire: 0x7d + 3 + 0x7d + 0x5d = 0x15a.
        #expect(framer.feed([0x24, 0x7d, 3, 0x7d, 0x5d, 0x23, 0x35, 0x61]) == [.packet([0x23, 0x7d])])
        let all = (0...255).map { UInt8($0) }
        #expect(framer.feed(GDBFramer.frame(all)) == [.packet(all)])
        #expect(!GDBFramer.frame(all).dropFirst().dropLast(3).contains { [0x23, 0x24].contains($0) })
    }

    @Test func whatIsNoPacketEndsTheConnection() {
        var framer = GDBFramer()
        #expect(framer.feed("GET / HTTP/1.1\r\n$k#6b".utf8) == [.garbage])
        framer = GDBFramer()
        #expect(framer.feed([0x24] + [UInt8](repeating: 0x61, count: 0x4002)).last == .garbage)
        let talk = Conversation()
        #expect(talk.session.take(.garbage) == [.close])
    }

    @Test func acknowledgementsEndWithTheAgreement() {
        var session = GDBSession(.i386, target: FakeTarget())
        #expect(session.take(.packet(Array("qC".utf8))) == [.write([0x2b]), .write(Self.framed("QC1"))])
        #expect(session.take(.again) == [.write(Self.framed("QC1"))])
        #expect(session.take(.damaged) == [.write([0x2d])])
        #expect(
            session.take(.packet(Array("QStartNoAckMode".utf8))) == [.write([0x2b]), .write(Self.framed("OK"))])
        #expect(session.take(.packet(Array("qC".utf8))) == [.write(Self.framed("QC1"))])
    }

    // MARK: Registers

    /// Offsets of gdb's own i386 and amd64 layouts ("Debugging with GDB", G.5.6): integer registers, eflags, segments, x87, SSE.
    @Test func registersHaveTheirPlaces() {
        let long = GDBRegisterSet(.x86_64)
        #expect(long.registers.prefix(4).map(\.name) == ["rax", "rbx", "rcx", "rdx"])
        #expect(long.registers[4...7].map(\.name) == ["rsi", "rdi", "rbp", "rsp"])
        #expect(long.registers[16...18].map(\.name) == ["rip", "eflags", "cs"])
        #expect(long.registers[24].name == "st0" && long.registers[32].name == "fctrl")
        #expect(long.registers[40].name == "xmm0" && long.registers[56].name == "mxcsr")
        #expect(long.registers[57...58].map(\.name) == ["fs_base", "gs_base"])
        // 16 * 8 + 8 + 4 + 6 * 4 + 8 * 10 + 8 * 4 + 16 * 16 + 4 + 2 * 8 + 5 * 8 + 8 + 4 * 8
        #expect(long.length == 632)
        let legacy = GDBRegisterSet(.i386)
        #expect(
            legacy.registers.prefix(10).map(\.name) == [
                "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags",
            ])
        #expect(legacy.registers[16].name == "st0" && legacy.registers[32].name == "xmm0")
        // 8 * 4 + 4 + 4 + 6 * 4 + 8 * 10 + 8 * 4 + 8 * 16 + 4 + 5 * 4 + 8
        #expect(legacy.length == 336)
    }

    @Test func valuesAreLittleEndianAndGoBothWays() {
        let talk = Conversation()
        talk.target.state.machine.general.3 = 0x1122_3344_5566_7788  // RBX in the order of the encoding
        talk.target.state.machine.rip = 0xffff_ffff_8100_0000
        talk.target.state.machine.rflags = 0x246
        let all = talk.ask("g")[0]
        #expect(all.count == 1264)
        #expect(all.dropFirst(16).hasPrefix("8877665544332211"))
        #expect(all.dropFirst(256).hasPrefix("00000081ffffffff46020000"))
        #expect(talk.ask("p1") == ["8877665544332211"])
        #expect(talk.ask("P1=0100000000000000") == ["OK"])
        #expect(talk.target.state.machine.general.3 == 1)
        #expect(talk.ask("G" + all) == ["OK"])
        #expect(talk.target.state.machine.general.3 == 0x1122_3344_5566_7788)
    }

    @Test func aLegacyDebuggerKeepsTheUpperHalvesThatItDoesNotSee() {
        let talk = Conversation(.i386)
        talk.target.state.machine.general.0 = 0xaaaa_bbbb_0000_0001
        #expect(talk.ask("p0") == ["01000000"])
        #expect(talk.ask("P0=01000000") == ["OK"])
        #expect(talk.target.state.machine.general.0 == 0xaaaa_bbbb_0000_0001)
        #expect(talk.ask("P0=02000000") == ["OK"])
        #expect(talk.target.state.machine.general.0 == 2)
    }

    @Test func whatNoCPUCouldHoldIsRefused() {
        let talk = Conversation()
        let cr0 = GDBRegisterSet(.x86_64).registers.firstIndex { $0.name == "cr0" }!
        let number = String(cr0, radix: 16)
        #expect(talk.ask("P\(number)=0000008000000000") == ["E16"])
        #expect(talk.ask("P12=08000000") == ["E16"], "a selector without its hidden part")
        #expect(talk.ask("P12=00000000") == ["OK"], "as it is")
        for bad in ["P", "P0", "P0=", "P0=00", "Pff=00", "Pzz=00", "p", "pffffffffffffffffff", "G", "G00", "p99999999"]
        {
            #expect(talk.ask(bad) == ["E16"], "\(bad)")
        }
    }

    /// SDM volume 1, 8.1.7: 00 valid, 01 zero, 10 special, 11 empty, by physical register.
    @Test func tagWordIsThatOfFSTENV() {
        var state = FloatingState()
        #expect(GDBRegisterSet.fullTags(state) == 0xffff)
        // TOP 6: ST0 is R6 and holds 1.0, ST1 is R7 and holds 0.0, ST2 is R0 and holds infinity.
        state.status = 6 << 11
        state.notEmpty = 0b1100_0001
        state.registers.replaceSubrange(0..<10, with: [0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f])
        state.registers.replaceSubrange(32..<42, with: [0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x7f])
        #expect(GDBRegisterSet.fullTags(state) == 0b01_00_11_11_11_11_11_10)
    }

    @Test func descriptionComesInPieces() {
        let talk = Conversation()
        var text = ""
        while true {
            let piece = talk.ask("qXfer:features:read:target.xml:\(String(text.utf8.count, radix: 16)),100")[0]
            text += piece.dropFirst()
            if piece.hasPrefix("l") { break }
            #expect(piece.hasPrefix("m") && piece.utf8.count == 257)
        }
        #expect(text.contains("<architecture>i386:x86-64</architecture>") && text.hasSuffix("</target>\n"))
        for feature in ["core", "sse", "segments"] { #expect(text.contains("org.gnu.gdb.i386.\(feature)\"")) }
        #expect(talk.ask("qXfer:features:read:target.xml:ffffffffffffffff,ffffffffffffffff") == ["l"])
        #expect(talk.ask("qXfer:features:read:other.xml:0,10") == ["E00"])
        #expect(talk.ask("qXfer:memory-map:read::0,10") == [""])
    }

    // MARK: Memory

    @Test func memoryIsReadInPartAndWrittenWhole() {
        let talk = Conversation()
        talk.target.memory[0...3] = [1, 2, 3, 4]
        #expect(talk.ask("m1000,4") == ["01020304"])
        #expect(talk.ask("m2ffe,10") == ["0000"])
        #expect(talk.ask("m3000,1") == ["E0e"])
        #expect(talk.ask("M1000,2:aabb") == ["OK"])
        #expect(talk.ask(Array("X1002,3:".utf8) + [0, 0x23, 0x7d]) == ["OK"])
        #expect(talk.ask("X1000,0:") == ["OK"])
        #expect(talk.target.memory[0...4] == [0xaa, 0xbb, 0, 0x23, 0x7d])
        for bad in ["m", "m1000", "m,", "mzz,1", "M1000,2:aa", "M1000,1:a", "M1000,1", "X1000,4:a", "X", "M:"] {
            #expect(talk.ask(bad) == ["E16"], "\(bad)")
        }
        #expect(talk.ask("M2fff,2:aabb") == ["E0e"])
        // Never more than a packet holds.
        #expect(talk.ask("m1000,ffffffffffffffff")[0].utf8.count <= 0x4000)
    }

    // MARK: Running

    @Test func goingOnOwesAStop() {
        let talk = Conversation()
        #expect(talk.ask("?") == ["T02thread:1;"])
        #expect(talk.ask("vCont?") == ["vCont;c;C;s;S"])
        #expect(talk.ask("vCont;c") == [])
        #expect(talk.ask("g") == ["E10"], "the guest runs")
        #expect(talk.session.take(.interrupt) == [])
        #expect(talk.session.notice(.running) == [])
        let stop = DebugPhase.stopped(DebugStop(vcpu: 0, reason: .interrupted))
        #expect(talk.session.notice(stop).map(Conversation.text) == ["T02thread:1;"])
        #expect(talk.session.notice(stop) == [], "said once")
        #expect(talk.session.take(.interrupt) == [], "it stands still")
        _ = talk.ask("vCont;s:1;c")
        _ = talk.session.notice(stop)
        _ = talk.ask("s")
        _ = talk.session.notice(stop)
        _ = talk.ask("C05;1234")
        #expect(talk.target.state.machine.rip == 0x1234)
        #expect(talk.target.asked == ["continue", "interrupt", "step 0", "step 0", "continue"])
    }

    @Test func stopsSayWhatWasReached() {
        let talk = Conversation()
        func reply(_ kind: DebugPoint.Kind) -> [String] {
            _ = talk.ask("c")
            let stop = DebugStop(vcpu: 0, reason: .reached(DebugPoint(kind: kind, address: 0xabc0, length: 4)))
            return talk.session.notice(.stopped(stop)).map(Conversation.text)
        }
        #expect(reply(.software) == ["T05thread:1;"], "gdb was not asked whether it knows the word")
        #expect(talk.ask("qSupported:swbreak+;hwbreak+")[0].contains("PacketSize=4000"))
        #expect(reply(.software) == ["T05thread:1;swbreak:;"])
        #expect(reply(.hardware) == ["T05thread:1;hwbreak:;"])
        #expect(reply(.write) == ["T05thread:1;watch:abc0;"])
        #expect(reply(.read) == ["T05thread:1;rwatch:abc0;"])
        #expect(reply(.access) == ["T05thread:1;awatch:abc0;"])
    }

    @Test func theEndIsToldToWhoWaitsForIt() {
        let talk = Conversation()
        let end = DebugPhase.ended(MachineEnd(status: 8, reason: "x"))
        var idle = talk.session
        #expect(idle.notice(end) == [.close])
        _ = talk.ask("c")
        #expect(talk.session.notice(end).map(Conversation.text) == ["W08", "close"])
    }

    @Test func leavingAndKilling() {
        #expect(Conversation().ask("D") == ["OK", "detach", "close"])
        #expect(Conversation().ask("D;1") == ["OK", "detach", "close"])
        #expect(Conversation().ask("k") == ["kill", "close"])
        #expect(Conversation().ask("vKill;1") == ["OK", "kill", "close"])
    }

    @Test func pointsOfAllKinds() {
        let talk = Conversation()
        for packet in ["Z0,1000,1", "Z1,1001,1", "Z2,2000,8"] { #expect(talk.ask(packet) == ["OK"]) }
        #expect(
            talk.target.points == [
                DebugPoint(kind: .software, address: 0x1000), DebugPoint(kind: .hardware, address: 0x1001),
                DebugPoint(kind: .write, address: 0x2000, length: 8),
            ])
        #expect(talk.ask("Z4,2010,1") == ["OK"])
        #expect(talk.ask("Z3,2020,1") == ["E.full"])
        #expect(talk.ask("z2,2000,8") == ["OK"])
        #expect(talk.ask("Z3,2020,1") == ["OK"])
        #expect(talk.ask("Z5,0,1") == [""])
        for bad in ["Z0", "Z0,", "Z0,1", "Z0,x,1", "z1;1,1"] { #expect(talk.ask(bad) == ["E16"], "\(bad)") }
    }

    @Test func threadsAreCPUs() {
        let talk = Conversation()
        talk.target.cpuCount = 3
        #expect(talk.ask("qfThreadInfo") == ["m1,2,3"])
        #expect(talk.ask("qsThreadInfo") == ["l"])
        #expect(talk.ask("Hg3") == ["OK"])
        #expect(talk.ask("qC") == ["QC3"])
        #expect(talk.ask("Hc-1") == ["OK"])
        #expect(talk.ask("Hg4") == ["E16"])
        #expect(talk.ask("T2") == ["OK"])
        #expect(talk.ask("T9") == ["E16"])
        _ = talk.ask("vCont;s:2;c")
        #expect(talk.target.asked == ["step 1"])
    }

    @Test func monitorCommandsAreHandedOver() {
        let talk = Conversation()
        #expect(talk.session.take(.packet(Array("qRcmd,696e666f".utf8))) == [.monitor("info")])
        #expect(talk.ask("qRcmd,6") == ["E16"])
        #expect(talk.session.answerMonitor("hi\n").map(Conversation.text) == ["O68690a", "OK"])
        #expect(talk.session.answerMonitor("").map(Conversation.text) == ["OK"])
        let long = talk.session.answerMonitor(String(repeating: "x", count: 20000))
        #expect(long.count == 4)
        for case .write(let bytes) in long { #expect(bytes.count <= 0x4000 + 4) }
    }

    @Test func unknownPacketsAreAnsweredWithNothing() {
        let talk = Conversation()
        for unknown in ["", "!", "vMustReplyEmpty", "qTStatus", "qSymbol::", "vCtrlC", "R00", "A", "\u{0}"] {
            #expect(talk.ask(unknown) == [""], "\(unknown)")
        }
        for bad in ["vCont;", "vCont;x", "vCont;t", "vCont;s:99", "vCont;r1,2", "vCont;C", "H", "Hx1", "Cxx", "T"] {
            #expect(talk.ask(bad) == ["E16"], "\(bad)")
        }
    }

    // MARK: Anything at all

    @Test func noBytesTrapOrGrowWithoutEnd() {
        var random = SystemSeeded(seed: 0x6db)
        let starts = [
            "m", "M", "X", "g", "G", "p", "P", "Z0", "z1", "vCont", "qXfer:", "qRcmd,", "H", "c", "S", "T", "q", "D",
            "k",
        ]
        let letters = Array("0123456789abcdef,:;=-+$#}*~ \u{3}zZ".utf8)
        for round in 0..<5_000 {
            let talk = Conversation(round % 2 == 0 ? .x86_64 : .i386)
            var framer = GDBFramer()
            for _ in 0..<3 {
                var data = Array(starts[Int(random.next() % UInt64(starts.count))].utf8)
                for _ in 0..<random.next() % 40 {
                    data.append(
                        random.next() % 8 == 0
                            ? UInt8(truncatingIfNeeded: random.next())
                            : letters[Int(random.next() % UInt64(letters.count))])
                }
                let wire = random.next() % 4 == 0 ? data : GDBFramer.frame(data)
                for item in framer.feed(wire) {
                    for reaction in talk.session.take(item) {
                        if case .write(let bytes) = reaction { #expect(bytes.count <= 2 * 0x4000 + 4) }
                    }
                }
                _ = talk.session.notice(.stopped(DebugStop(vcpu: 0, reason: .step)))
            }
        }
    }
}

/// Steele, Lea, Flood 2014.
private struct SystemSeeded {
    var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state = state &+ 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
