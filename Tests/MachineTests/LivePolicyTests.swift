import Core
import Foundation
import MachineFile
import PluginKit
import Testing

/// Policies that change while the guest counts.
@Suite(.serialized, .timeLimit(.minutes(30)))
struct LivePolicyTests {
    /// xor eax,eax; l: inc eax; mov dx,0x330; out dx,eax; jmp l
    static let counting: [UInt8] = [0x66, 0x31, 0xc0, 0x66, 0x40, 0xba, 0x30, 0x03, 0x66, 0xef, 0xeb, 0xf7]
    /// l: mov ecx,0x1a0; rdmsr; mov dx,0x334; out dx,eax; jmp l
    static let reading: [UInt8] = [
        0x66, 0xb9, 0xa0, 0x01, 0x00, 0x00, 0x0f, 0x32, 0xba, 0x34, 0x03, 0x66, 0xef, 0xeb, 0xf1,
    ]
    /// sti; l: hlt; jmp l
    static let halting: [UInt8] = [0xfb, 0xf4, 0xeb, 0xfd]

    /// A machine that runs, and its end.
    private struct Running {
        let machine: Machine
        private let task: Task<MachineEnd, Never>

        init(
            _ guest: [UInt8], policies: String = "", backends: String = "", on engine: TestEngine = .soft
        ) throws {
            let image = FileManager.default.temporaryDirectory.appendingPathComponent("bp-\(UUID().uuidString).img")
            try Data(guest).write(to: image)
            defer { try? FileManager.default.removeItem(at: image) }
            let test = try TestMachine(
                """
                machine: live
                memory: 1MiB
                boot: { plugin: flat, image: \(image.path), mode: real }
                policies:
                \(policies)  - { id: rules, plugin: standard }
                devices:
                  - { id: tally, plugin: tally }
                \(backends.isEmpty ? "" : "backends:\n\(backends)")
                """, on: engine)
            machine = test.machine
            task = try test.run()
        }

        func end() async -> MachineEnd {
            machine.stop(0, "")
            return await task.value
        }

        func policy(_ text: String, replaces: Bool = false) throws -> InstanceDescription {
            let ids = Set(machine.instanceSummaries().map(\.description.id))
            return try PolicyRequest(text: text).description(taken: ids, catalog: TestPlugins(), replaces: replaces)
        }
        func insert(_ text: String, at place: ChainPlace = .first) throws {
            try machine.insertPolicy(try policy(text), at: place)
        }
        func replace(_ id: String, _ text: String) throws {
            try machine.replacePolicy(id, with: try policy(text, replaces: true))
        }
        func tally(_ method: String) throws -> UInt64 {
            guard case .unsigned(let number) = try machine.invoke(method, [], on: "tally") else { return .max }
            return number
        }
        var chain: [String] { machine.instanceSummaries().filter { $0.place != nil }.map(\.description.id) }
        func standsStill() -> Bool {
            machine.setStopped(true)
            return machine.atQuietPoint {}
        }
        /// Until the guest has counted so many more.
        func counts(_ more: UInt64) async throws {
            let begin = try tally("count")
            #expect(try await patiently { try tally("count") >= begin + more })
        }
    }

    /// Not inlined: Swift 6.3.1 crashes where it splits an async test that holds it.
    @inline(never)
    private func failure(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "it did not fail"
        } catch {
            return "\(error)"
        }
    }

    @Test func anInsertedPolicySeesExitsUntilItIsRemoved() async throws {
        let running = try Running(Self.counting)
        try await running.counts(100)
        #expect(running.standsStill())
        let first = try running.tally("count")
        try running.insert("w=watcher,tag=inserted")
        #expect(running.chain == ["w", "rules"])
        running.machine.setStopped(false)
        try await running.counts(1000)
        try running.machine.removePolicy("w")
        #expect(running.chain == ["rules"])
        #expect(running.standsStill())
        let seen = WatcherPolicy.count("inserted")
        let counted = try running.tally("count") - first
        #expect(seen >= 1000 && seen <= counted)
        running.machine.setStopped(false)
        try await running.counts(1000)
        #expect(WatcherPolicy.count("inserted") == seen)
        #expect(try running.tally("gaps") == 0)
        #expect(await running.end().status == 0)
    }

    @Test func replacingAPolicyManyTimesLosesNoExit() async throws {
        let before = WatcherPolicy.alive
        let running = try Running(Self.counting)
        #expect(running.standsStill())
        let first = try running.tally("count")
        try running.insert("w=watcher,tag=replaced")
        running.machine.setStopped(false)
        try await running.counts(10)
        for _ in 0..<500 { try running.replace("w", "w=watcher,tag=replaced") }
        #expect(WatcherPolicy.alive == before + 1)
        #expect(running.standsStill())
        let counted = try running.tally("count") - first
        try running.machine.removePolicy("w")
        #expect(counted > 500)
        #expect(WatcherPolicy.count("replaced") == counted)
        #expect(WatcherPolicy.count("replaced observed") == counted)
        #expect(try running.tally("gaps") == 0)
        #expect(WatcherPolicy.alive == before)
        #expect(running.machine.pauseTimes.count >= 500)
        _ = await running.end()
    }

    @Test func aFailedChangeLeavesTheChainAsItWas() async throws {
        let running = try Running(Self.counting, policies: "  - { id: w, plugin: watcher, tag: kept }\n")
        try await running.counts(100)
        let alive = WatcherPolicy.alive
        #expect(failure { try running.insert("x=watcher,fail-create=on") }.contains("told not to be created"))
        #expect(failure { try running.insert("x=watcher,fail-connect=on") }.contains("told not to connect"))
        #expect(failure { try running.insert("x=watcher,fail-start=on") }.contains("told not to start"))
        #expect(failure { try running.replace("w", "w=watcher,fail-connect=on") }.contains("told not to connect"))
        #expect(failure { try running.replace("nobody", "y=watcher") }.contains("no policy 'nobody'"))
        #expect(failure { try running.insert("w=watcher") }.contains("'w' already"))
        #expect(failure { try running.insert("tally=watcher") }.contains("'tally' already"))
        #expect(failure { try running.insert("x=watcher", at: .after("nobody")) }.contains("no policy 'nobody'"))
        #expect(failure { try running.insert("x=watcher", at: .at(9)) }.contains("from 0 to 2"))
        #expect(failure { try running.machine.removePolicy("tally") }.contains("no policy 'tally'"))
        #expect(failure { try running.insert("x=no-such-plugin") }.contains("no-such-plugin"))
        #expect(failure { try running.insert("x=watcher,colour=red") }.contains("colour"))
        #expect(running.chain == ["w", "rules"])
        #expect(WatcherPolicy.alive == alive)
        #expect(running.machine.instanceSummaries()[0].wants.count == 1)
        #expect(running.standsStill())
        let counted = try running.tally("count")
        try running.machine.removePolicy("w")
        #expect(WatcherPolicy.count("kept") == counted)
        _ = await running.end()
    }

    /// A policy 't' that says 'a' of each OUT, along its wire.
    private func talking(_ name: String) async throws -> (running: Running, recorder: Recorder) {
        let recorder = Recorder(name)
        let running = try Running(
            Self.counting, policies: "  - { id: t, plugin: talker, word: a, line: cable }\n",
            backends: "  - { id: cable, plugin: recorder, name: \(name) }\n")
        #expect(await recorder.waits(for: "aaaa"))
        return (running, recorder)
    }

    @Test func aPolicyHandsItsWiresToTheOneThatReplacesIt() async throws {
        let (running, recorder) = try await talking("handed over")
        // One that is refused gives them back.
        #expect(failure { try running.replace("t", "t=talker,word=x,fail-connect=on") }.contains("told not to connect"))
        recorder.type("1")
        #expect(await recorder.waits(for: "[a hears 1]"))
        for word in ["b", "c", "d", "e"] { try running.replace("t", "t=talker,word=\(word)") }
        recorder.type("2")
        #expect(await recorder.waits(for: "[e hears 2]"))
        let wires = { running.machine.instanceSummaries().filter { !$0.description.wires.isEmpty }.map(\.description) }
        #expect(wires().map(\.id) == ["t"] && wires().first?.wires.first?.target.instance == "cable")
        #expect(running.standsStill())
        let counted = try running.tally("count")
        #expect(failure { try running.insert("n=talker,word=n") }.contains("needs the slot \"line\""))
        // Who has no such slot does without the wire.
        try running.replace("t", "t=watcher")
        #expect(wires().isEmpty)
        recorder.type("3")
        #expect(failure { try running.replace("t", "t=talker,word=f") }.contains("no such wire"))
        running.machine.setStopped(false)
        try await running.counts(100)
        #expect(await running.end().status == 0)
        // Each OUT was told once, by the one that was there, and the last words of each came through.
        let words = recorder.text.split(separator: /[\[(][^\])]*[\])]/).joined()
        #expect(words.utf8.count == Int(counted))
        let order = words.reduce(into: "") { if $0.last != $1 { $0.append($1) } }
        #expect(order.hasPrefix("a") && order.allSatisfy { "abcde".contains($0) } && order == String(order.sorted()))
        #expect(recorder.text.contains("(x is refused)") && recorder.text.hasSuffix("(e goes)"))
        for word in ["x", "a", "b", "c", "d", "e"] { #expect(recorder.text.contains("(\(word) goes)")) }
    }

    @Test func aPolicyWithAWireCanBeRemoved() async throws {
        let (running, recorder) = try await talking("removed")
        try running.machine.removePolicy("t")
        #expect(running.chain == ["rules"])
        #expect(recorder.text.hasSuffix("(a goes)"))
        // It calls into nobody.
        recorder.type("1")
        try await running.counts(100)
        #expect(recorder.text.hasSuffix("(a goes)"))
        #expect(await running.end().status == 0)
    }

    @Test(.enabled(if: hasKVM)) func whatTheEngineCannotDeliverIsRefusedByName() async throws {
        let running = try Running(Self.counting, on: .kvm)
        let noCPUID = failure { try running.insert("x=watcher,reason=10,required=on") }
        #expect(noCPUID.contains("'x' (watcher)") && noCPUID.contains("'kvm' cannot deliver the exit CPUID"))
        let notPrecise = failure { try running.insert("x=watcher,precise=on") }
        #expect(notPrecise.contains("'kvm' cannot deliver the ability precise-inject"))
        #expect(running.chain == ["rules"])
        _ = await running.end()
    }

    @Test func theOrderDecidesWhoIsAsked() async throws {
        let running = try Running(Self.counting)
        try running.insert("late=watcher,tag=late", at: .last)
        try running.insert("eater=watcher,tag=eater,handles=on", at: .before("late"))
        #expect(running.chain == ["rules", "eater", "late"])
        #expect(running.standsStill())
        let count = try running.tally("count")
        running.machine.setStopped(false)
        try await Task.sleep(for: .milliseconds(50))
        // The eater answers: neither the device nor who comes later sees the write.
        #expect(try running.tally("count") == count)
        try running.machine.movePolicy("late", to: .first)
        #expect(running.chain == ["late", "rules", "eater"])
        let exits = running.machine.policyExits[0]
        #expect(await patiently { running.machine.policyExits[0] > exits + 1 })
        try running.machine.removePolicy("late")
        #expect(WatcherPolicy.count("late") > 0)
        try running.machine.removePolicy("eater")
        try await running.counts(100)
        _ = await running.end()
    }

    @Test func aLivePropertyIsSetAndARefusalChangesNothing() async throws {
        let running = try Running(Self.counting, policies: "  - { id: w, plugin: watcher, tag: property }\n")
        let machine = running.machine
        func wanted() -> [UInt64] { machine.instanceSummaries()[0].wants.map(\.first) }
        #expect(wanted() == [0x330])
        try machine.setProperty("first", of: "w", to: .unsigned(0x340))
        #expect(wanted() == [0x340])
        let refused = failure { try machine.setProperty("first", of: "w", to: .unsigned(0x666)) }
        #expect(refused.contains("'w' (watcher)") && refused.contains("not this one"))
        #expect(wanted() == [0x340])
        #expect(machine.instanceSummaries()[0].values[1] == .unsigned(0x340))
        #expect(failure { try machine.setProperty("tag", of: "w", to: .text("x")) }.contains("cannot be set"))
        #expect(failure { try machine.setProperty("hue", of: "w", to: .text("x")) }.contains("no property 'hue'"))
        #expect(failure { try machine.setProperty("first", of: "nobody", to: .unsigned(1)) }.contains("'nobody'"))
        try machine.setProperty("step", of: "tally", to: .unsigned(2))
        #expect(failure { try machine.setProperty("step", of: "tally", to: .unsigned(0)) }.contains("no step"))
        #expect(failure { try machine.setProperty("fixed", of: "tally", to: .unsigned(0)) }.contains("cannot be set"))
        _ = await running.end()
    }

    @Test func interceptsFollowTheChain() async throws {
        let running = try Running(Self.reading)
        try await Task.sleep(for: .milliseconds(100))
        #expect(try running.tally("kept") != 0xabcd)
        try running.insert("msr=watcher,reason=31,first=0x1a0,handles=on")
        #expect(try await patiently { try running.tally("kept") == 0xabcd })
        try running.machine.removePolicy("msr")
        #expect(try await patiently { try running.tally("kept") != 0xabcd })
        _ = await running.end()
    }

    @Test func aHaltedAndAStoppedGuestCanBeChangedToo() async throws {
        let running = try Running(Self.halting)
        try running.insert("w=watcher")
        #expect(running.standsStill())
        #expect(running.machine.runStatus == .paused)
        try running.replace("w", "w2=watcher")
        try running.machine.removePolicy("w2")
        #expect(running.machine.runStatus == .paused)
        running.machine.setStopped(false)
        #expect(running.machine.runStatus == .running)
        _ = await running.end()
        #expect(failure { try running.insert("w=watcher") }.contains("ended"))
        #expect(running.machine.runStatus == .shutdown)
    }

    @Test func eventsTellWhatHappened() async throws {
        let running = try Running(Self.counting)
        let events = Mutexed<[MachineEvent]>([])
        running.machine.onEvent { event in events.update { $0.append(event) } }
        #expect(running.standsStill())
        running.machine.setStopped(false)
        try await running.counts(1)
        try running.insert("w=watcher")
        running.machine.reset()
        #expect(running.machine.atQuietPoint {})
        let end = await running.end()
        #expect(events.current == [.stopped, .resumed, .policiesChanged, .reset, .ended(end)])
    }

    @Test func registersAndMemoryAreReadWhileTheGuestRuns() async throws {
        let running = try Running(Self.counting)
        try await running.counts(10)
        let registers = try running.machine.registers()
        #expect(registers.cs.base + registers.rip >= 0x7c00 && registers.cs.base + registers.rip < 0x7c10)
        #expect(registers.general.0 > 0)
        #expect(try running.machine.readMemory(physical: 0x7c00, count: 12) == Self.counting)
        #expect(try running.machine.readMemory(linear: 0x7c00, count: 12) == Self.counting)
        #expect(failure { _ = try running.machine.readMemory(physical: 0xfffff, count: 2) }.contains("not memory"))
        #expect(failure { _ = try running.machine.readMemory(physical: 0, count: 1 << 30) }.contains("64 MiB"))
        _ = await running.end()
    }
}

@Suite struct LibraryCacheTests {
    @Test func aNewBuildOfTheSameFileIsLoadedFromACopy() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("bp-\(UUID().uuidString).so").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        func put(_ name: String) throws {
            try? FileManager.default.removeItem(atPath: path)
            try FileManager.default.copyItem(atPath: "\(TestPlugins.directory)/lib\(name).so", toPath: path)
        }
        var cache = LibraryCache()
        try put("lfsr")
        let first = try cache.library(path)
        #expect(try cache.library(path) === first)
        try put("stats")
        let second = try cache.library(path)
        #expect(second.description.name == "stats" && second.path == path)
        try put("lfsr")
        let third = try cache.library(path)
        #expect(third !== first && third.description == first.description)
        try FileManager.default.removeItem(atPath: path)
        #expect(throws: LibraryError.self) { try cache.library(path) }
        let left = try FileManager.default.contentsOfDirectory(atPath: "/tmp").filter {
            $0.hasPrefix("backplane-")
                && FileManager.default.fileExists(atPath: "/tmp/\($0)/\(path.split(separator: "/").last!)")
        }
        #expect(left == [])
    }
}
