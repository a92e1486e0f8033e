// `info translator` and `explain`: what the software CPU makes of guest code.

import Core
import Disassembly

enum TranslatorWords {
    static func summary(_ call: MonitorCall) throws -> String {
        guard let report = try call.machine().translationReport(vcpu: call.monitor.vcpu) else {
            return "the engine is not 'soft': guest code runs on the CPU itself\n"
        }
        var text = "translation: \(report.mode)\n"
        if !report.interpreted.isEmpty {
            text += "left to the interpreter: \(report.interpreted.joined(separator: ", "))\n"
        }
        text += "instructions: \(report.retiredInstructions), \(share(report)) in translated blocks\n"
        text += "blocks: \(report.decodedBlocks) decoded, \(report.translatedBlocks) translated, "
        text += "\(report.groupedBlocks) with accesses that share a look into the TLB; "
        text += "\(report.loops) loops and \(report.paths) paths as a whole\n"
        if report.codeRoom > 0 { text += "host code: \(report.codeBytes) bytes of \(report.codeRoom)\n" }
        return text + counts("dropped:", report.drops) + counts("not translated:", report.refusals)
    }

    /// "98.7 %"
    static func share(_ report: TranslationReport) -> String {
        "\(report.translatedShare / 10).\(report.translatedShare % 10) %"
    }

    private static func counts(_ title: String, _ counts: [TranslationReport.Count]) -> String {
        let rows = counts.filter { $0.count > 0 }.map { "  \($0.count) \($0.cause)\n" }
        return rows.isEmpty ? "" : title + "\n" + rows.joined()
    }

    // MARK: explain

    static func explain(_ call: MonitorCall) throws -> String {
        guard call.words.count == 1 else { throw call.usage }
        let machine = try call.machine()
        let address = try MemoryDump.evaluate(call.words[0]) { () throws(MachineError) in
            try machine.registers(vcpu: call.monitor.vcpu)
        }
        guard let blocks = try machine.explain(linear: address, vcpu: call.monitor.vcpu) else {
            return "the engine is not 'soft': guest code runs on the CPU itself\n"
        }
        let place = "0x" + String(address, radix: 16)
        guard !blocks.isEmpty else { return "\(place): nothing that has run has an instruction there\n" }
        guard let host = Disassembler(bits: 64) else {
            throw CommandError("disassembly needs capstone: Debian's libcapstone4 or libcapstone5")
        }
        return blocks.map { block in
            let head = "block at 0x\(String(block.address, radix: 16)), \(block.bits)-bit, \(block.state)\n"
            guard !block.instructions.isEmpty, let guest = Disassembler(bits: block.bits) else { return head }
            return head + sideBySide(block, guest, host)
        }.joined()
    }

    private static let guestWidth = 46

    /// An instruction of the guest on the left, what it has become on the right.
    private static func sideBySide(_ block: ExplainedBlock, _ guest: Disassembler, _ host: Disassembler) -> String {
        var text = ""
        for instruction in block.instructions {
            let left =
                MemoryDump.hex(instruction.address, digits: block.bits == 64 ? 12 : 8) + " "
                + (guest.decode(instruction.bytes, at: instruction.address)?.text ?? "(bad)")
            var right = lines(instruction, host)
            if right.isEmpty { right = ["(with the next one)"] }
            for (row, line) in right.enumerated() {
                let cell = row == 0 ? left : ""
                text += cell + String(repeating: " ", count: max(1, guestWidth - cell.count)) + line + "\n"
            }
        }
        return text
    }

    private static func lines(_ instruction: ExplainedBlock.Instruction, _ host: Disassembler) -> [String] {
        var lines: [String] = []
        var offset = 0
        while offset < instruction.host.count {
            let address = instruction.hostAddress &+ UInt64(offset)
            let bytes = Array(instruction.host[offset..<min(instruction.host.count, offset + Disassembler.longest)])
            guard let found = host.decode(bytes, at: address), found.length > 0 else { return lines + ["(bad)"] }
            lines.append(MemoryDump.hex(address, digits: 12) + " " + found.text)
            offset += found.length
        }
        return lines
    }
}
