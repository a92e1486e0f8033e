// What the translator has done, for the monitor.

public import Core

extension SoftCPU: TranslatingCPU {
    public func translationReport() -> TranslationReport {
        var report = TranslationReport()
        let blocks = memory.blocks
        (report.decodedBlocks, report.retiredInstructions) = (blocks.made, s.run.pointee.executed)
        report.drops = BlockCache.Cause.allCases.map { .init($0.text, blocks.dropped[$0.rawValue]) }
        guard let translator else {
            report.mode = options.translation == .off ? "off" : "off: the host gives no executable memory"
            return report
        }
        report.mode =
            switch options.translation {
            case .check: "check: \(checks.count) comparisons with the interpreter"
            case .always: "always"
            default: "on, after \(options.translatesAfter) runs"
            }
        report.interpreted = translator.interpreted.map(\.rawValue).sorted()
        (report.translatedBlocks, report.groupedBlocks) = (translator.translated, translator.grouped.kept)
        (report.loops, report.paths) = (translator.loopsMade, translator.pathsMade)
        (report.codeBytes, report.codeRoom) = (translator.arena.used, CodeArena.length)
        report.translatedInstructions = s.run.pointee.translatedCount
        report.refusals = Translator.Obstacle.allCases.map { .init($0.text, translator.obstacles[$0.rawValue]) }
        return report
    }

    public func explain(linear address: UInt64) throws(EngineError) -> [ExplainedBlock] {
        guard let physical = try translate(address) else { throw EngineError("it is not mapped to memory") }
        let place = memory.codePlace(physical)
        return memory.blocks.blocks(at: place).map { explain($0, address &- (place &- $0.pointee.address)) }
    }

    /// `address`: linear, of the block's first byte.
    private func explain(_ block: UnsafeMutablePointer<Block>, _ address: UInt64) -> ExplainedBlock {
        let mode = block.pointee.mode
        let bits = mode.contains(.code64) ? 64 : mode.contains(.code32) ? 32 : 16
        let privilege = mode.contains(.user) ? "user" : "supervisor"
        let entry = block.pointee.hostEntry
        var explained = ExplainedBlock(address: address, bits: bits, state: "\(privilege), \(state(of: block))")
        guard entry != 0, let listing = translator?.listing(of: block, s.cpu.pointee.x87) else { return explained }
        explained.hostAddress = UInt64(entry)
        // What it was made of has been moved: the body is where it was entered, the rest lies around it.
        let first = listing.places.first?.lowerBound ?? 0
        let base = UInt64(translator?.bodyAlone(of: block) ?? 0) &- UInt64(first)
        var offset = 0
        for (number, i) in listing.instructions.enumerated() {
            let bytes = (0..<Int(i.length)).map { block.bytes[offset + $0] }
            let range = number < listing.places.count ? listing.places[number] : 0..<0
            explained.instructions.append(
                ExplainedBlock.Instruction(
                    address: address &+ UInt64(offset), bytes: bytes, host: Array(listing.code[range]),
                    hostAddress: base &+ UInt64(range.lowerBound)))
            offset += Int(i.length)
        }
        return explained
    }

    private func state(of block: UnsafeMutablePointer<Block>) -> String {
        if let loop = translator?.loops[block] {
            let head = loop.head == block ? "which it begins" : "which begins elsewhere"
            return "translated, and once more in a loop of \(loop.blocks.count) blocks, \(head)"
        }
        if let paths = translator?.paths[block] {
            let begun = paths.contains { $0.head == block } ? ", one of which it begins" : ""
            return "translated, and once more in \(paths.count == 1 ? "a path" : "\(paths.count) paths")\(begun)"
        }
        if block.pointee.hostEntry != 0 { return "translated" }
        if translator == nil { return "interpreted: nothing is translated" }
        if let obstacle = block.pointee.obstacle { return "interpreted: \(obstacle.text)" }
        let left = block.pointee.heat
        if left > 0 { return "interpreted, translated after \(left) more runs" }
        return "interpreted: \(Translator.Obstacle.pointless.text)"
    }
}
