import PluginKit

/// The keys of all 64 exit reasons as one run of bytes, made once, so that a name costs no lookup and no allocation.
struct KindNames: Sendable {
    private let text: [UInt8]
    private let ends: [Int]

    init() {
        var text: [UInt8] = []
        var ends: [Int] = []
        for reason in 0..<UInt16(BP_EXIT_REASONS) {
            text += Array(ExitName.key(of: reason).utf8)
            ends.append(text.count)
        }
        text += Array("unknown".utf8)
        ends.append(text.count)
        self.text = text
        self.ends = ends
    }

    @inline(__always)
    func put(_ reason: UInt16, into buffer: inout ByteBuffer) {
        let index = min(Int(reason), BP_EXIT_REASONS)
        let start = index == 0 ? 0 : ends[index - 1]
        buffer.put(text.span.extracting(start..<ends[index]))
    }
}
