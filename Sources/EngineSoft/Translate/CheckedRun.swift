// `translate: check`: each block runs by itself, and the first times, and now and then, twice. The interpreter runs it, and a few blocks behind it on its page; what
// these have done is undone, and they run again as host code, for as many instructions. What both have made - registers, flags, memory, the fault - has to be
// the same to the last bit, or the machine fails. Blocks that call operations are left out: what they call is the interpreter's, and may reach devices.
// SAFETY: as Translator. Between the two runs nobody else knows of them: no exit is made, and DMA that comes meanwhile is taken back with the page.

import CHost
import Core

/// What a checking CPU keeps.
final class CheckedRuns {
    /// The CPU's memory before both runs, and what the interpreter has made of it.
    /// SAFETY: `Layout.size` bytes each.
    let before: S = .allocate(byteCount: Layout.size, alignment: 4096)
    let interpreted: S = .allocate(byteCount: Layout.size, alignment: 4096)
    /// How many comparisons there were.
    var count: UInt64 = 0

    deinit {
        before.deallocate()
        interpreted.deallocate()
    }

    /// Of a block's runs, that are counted in `heat`: the first ones, and one of so many.
    static let first: UInt32 = 16, every: UInt32 = 512
    /// Blocks of one comparison, at most: of a loop, some rounds.
    static let maximumBlocks: UInt64 = 12
}

extension SoftCPU {
    /// Runs the block whose first operation is `first`. Not nil: host code has done something else than the interpreter.
    func runChecked(from first: P) -> RunEnd? {
        if first == toRunLoop { return nil }
        defer { s.run.pointee.deadline = eventDeadline }
        let block = Self.block(of: first)
        block.pointee.heat &+= 1
        let runs = block.pointee.heat
        guard block.pointee.isWhole, runs <= CheckedRuns.first || runs % CheckedRuns.every == 0,
            let result = interpretOnTrial(block)
        else {
            s.run.pointee.deadline = min(
                eventDeadline, s.run.pointee.executed &+ UInt64(block.pointee.instructionCount))
            run(from: first)
            return nil
        }
        let trial = Trial()
        memory.begin(trial)
        s.run.pointee.deadline = result.deadline
        run(from: first)
        // It comes back where a jump is not linked yet.
        while s.run.pointee.stop == .none, s.run.pointee.executed < checks.interpreted.run.pointee.executed {
            let begun = s.run.pointee.executed
            run(from: findNext())
            if s.run.pointee.executed == begun { break }
        }
        memory.endTrial()
        // Another thread has called in between, before a block that the interpreter has come to as well.
        if s.run.pointee.stop == .none, result.places[s.run.pointee.executed] == s.rip { return nil }
        checks.count += 1
        guard let difference = difference(trial, result.pages) else { return nil }
        let bytes = (0..<Int(block.pointee.length)).map { hex(UInt64(block.bytes[$0])) }.joined(separator: " ")
        return .failed(
            EngineError(
                "host code does not do as the interpreter: \(difference); \(result.blocks) blocks from linear address "
                    + "0x\(hex(fetchLinear(checks.before.rip))) on, the first of which is \(bytes)"))
    }

    private struct Interpreted {
        /// The count of instructions at which what was interpreted ended.
        var deadline: UInt64
        var blocks: Int
        /// RIP before each of them, by the count of instructions there.
        var places: [UInt64: UInt64]
        /// What it wrote.
        var pages: [UInt: [UInt8]]
    }

    /// Leaves what it makes in `checks.interpreted`, and all else as it was; nil: it comes to what cannot be undone.
    private func interpretOnTrial(_ head: UnsafeMutablePointer<Block>) -> Interpreted? {
        checks.before.copyMemory(from: s, byteCount: Layout.size)
        let trial = Trial()
        memory.begin(trial)
        var (current, blocks) = (head, 0)
        let most = Int(checks.count % CheckedRuns.maximumBlocks) + 1
        var deadline = s.run.pointee.executed
        var places: [UInt64: UInt64] = [:]
        while true {
            let begun = s.run.pointee.executed
            let end = begun &+ UInt64(current.pointee.instructionCount)
            guard end <= eventDeadline else { break }
            places[begun] = s.rip
            interpret(current, until: end)
            // Another thread calls in.
            if s.run.pointee.stop == .none, s.run.pointee.executed == begun { break }
            (deadline, blocks) = (end, blocks + 1)
            guard s.run.pointee.stop == .none, !trial.isRefused, blocks < most,
                s.run.pointee.executed == deadline, let next = next(behind: current)
            else { break }
            current = next
        }
        checks.interpreted.copyMemory(from: s, byteCount: Layout.size)
        memory.endTrial()
        let pages = trial.undo()
        s.copyMemory(from: checks.before, byteCount: Layout.size)
        if trial.isRefused || blocks == 0 { return nil }
        return Interpreted(deadline: deadline, blocks: blocks, places: places, pages: pages)
    }

    private func interpret(_ block: UnsafeMutablePointer<Block>, until deadline: UInt64) {
        let operation = block.operations + 1
        let translated = operation.pointee.run
        operation.pointee.run = block.pointee.firstRun
        s.run.pointee.deadline = deadline
        run(from: block.first)
        operation.pointee.run = translated
    }

    /// The block at RIP, where that is on the page and known already: nothing is fetched.
    private func next(behind block: UnsafeMutablePointer<Block>) -> UnsafeMutablePointer<Block>? {
        for number in 0..<2 {
            let slot = block.chain(number).pointee
            guard slot.isOwnPage, slot.key == 0, let target = slot.target else { continue }
            let next = Self.block(of: target)
            if next.pointee.address & 0xfff == s.rip & 0xfff, next.pointee.isValid, next.pointee.isWhole { return next }
        }
        return nil
    }

    private static func block(of first: P) -> UnsafeMutablePointer<Block> {
        let block = UnsafeMutableRawPointer(mutating: first) - UnsafeMutablePointer<Block>.headerSize
        return block.assumingMemoryBound(to: Block.self)
    }

    // MARK: What both have made

    /// nil: the same.
    private func difference(_ trial: Trial, _ pages: [UInt: [UInt8]]) -> String? {
        let other = checks.interpreted
        func text(_ what: String, _ a: UInt64, _ b: UInt64) -> String {
            "\(what) is 0x\(hex(b)), and by the interpreter 0x\(hex(a))"
        }
        let (run, expected) = (s.run.pointee, other.run.pointee)
        if run.executed != expected.executed {
            return text("the count of instructions", expected.executed, run.executed)
        }
        if run.stop != expected.stop {
            return "it stops with \(run.stop), and by the interpreter with \(expected.stop)"
        }
        let (fault, expectedFault) = (run.fault, expected.fault)
        if run.stop == .fault,
            (fault.vector, fault.code, fault.hasCode, fault.isAddress)
                != (expectedFault.vector, expectedFault.code, expectedFault.hasCode, expectedFault.isAddress)
        {
            return "the fault is \(fault), and by the interpreter \(expectedFault)"
        }
        for number in 0..<16 {
            let register = Register.general(number)
            if s[register] != other[register] { return text("register \(number)", other[register], s[register]) }
        }
        if s.rip != other.rip { return text("RIP", other.rip, s.rip) }
        if s.cpu.rflags != other.cpu.rflags { return text("RFLAGS", other.cpu.rflags, s.cpu.rflags) }
        // Before the segments stand the flags, which can be put in several ways.
        let first = MemoryLayout<CPUState>.offset(of: \.segments).unsafelyUnwrapped
        var parts = [("CPUState", Layout.state, first..<MemoryLayout<CPUState>.size)]
        parts += (0..<16).map { ("XMM\($0)", Layout.vectors + $0 * 64, 0..<16) }
        parts += (0..<8).map { ("R\($0)", Layout.x87 + $0 * 16, 0..<10) }
        for (name, place, range) in parts {
            for byte in range {
                let expected = other.load(fromByteOffset: place + byte, as: UInt8.self)
                let made = s.load(fromByteOffset: place + byte, as: UInt8.self)
                if made != expected { return text("byte \(byte) of \(name)", UInt64(expected), UInt64(made)) }
            }
        }
        return difference(inMemory: trial, pages)
    }

    private func difference(inMemory trial: Trial, _ pages: [UInt: [UInt8]]) -> String? {
        if trial.isRefused { return "it reaches a device, or code" }
        for (page, before) in trial.pages {
            let expected = pages[page] ?? before
            let made = Trial.contents(page)
            if let place = made.indices.first(where: { made[$0] != expected[$0] }) {
                return
                    "byte 0x\(hex(UInt64(place))) of a page is 0x\(hex(UInt64(made[place]))), and by the interpreter "
                    + "0x\(hex(UInt64(expected[place])))"
            }
        }
        for (page, expected) in pages where trial.pages[page] == nil && Trial.contents(page) != expected {
            return "it does not write a page that the interpreter writes"
        }
        return nil
    }

    private func hex(_ value: UInt64) -> String { String(value, radix: 16) }
}
