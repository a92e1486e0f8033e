/// Frames that wait for one port, in a lane for each sender. Lanes take turns: one who floods fills its own and loses what comes beyond.
struct Outbox {
    /// Of all lanes together. Each has an equal share, but room for some frames however many there are.
    static let (frameLimit, byteLimit) = (1024, 1 << 20)
    static let (leastFrames, leastBytes) = (32, 64 << 10)

    private struct Lane {
        var frames: [[UInt8]] = []
        /// Of those before it, which are gone, nothing is left.
        var first = 0
        var bytes = 0

        var count: Int { frames.count - first }

        mutating func append(_ frame: [UInt8]) {
            frames.append(frame)
            bytes += frame.count
        }

        mutating func removeFirst() -> [UInt8] {
            var frame: [UInt8] = []
            swap(&frame, &frames[first])
            first += 1
            bytes -= frame.count
            if first == frames.count {
                frames.removeAll(keepingCapacity: true)
                first = 0
            } else if first >= 64, first * 2 >= frames.count {
                frames.removeFirst(first)
                first = 0
            }
            return frame
        }
    }

    private var lanes: [Int: Lane] = [:]
    /// Senders whose lanes have frames, the next one first.
    private var turns: [Int] = []

    var isEmpty: Bool { turns.isEmpty }

    /// - Parameter senders: how many there may be.
    /// - Returns: false: its sender's lane is full.
    mutating func append(_ frame: [UInt8], from sender: Int, senders: Int) -> Bool {
        let frames = max(Self.frameLimit / max(senders, 1), Self.leastFrames)
        let bytes = max(Self.byteLimit / max(senders, 1), Self.leastBytes)
        let (waiting, used) = (lanes[sender]?.count ?? 0, lanes[sender]?.bytes ?? 0)
        guard waiting == 0 || waiting < frames && used + frame.count <= bytes else { return false }
        lanes[sender, default: Lane()].append(frame)
        if waiting == 0 { turns.append(sender) }
        return true
    }

    /// One of each lane in turn, at most `limit`.
    mutating func take(_ limit: Int) -> [[UInt8]] {
        var result: [[UInt8]] = []
        while result.count < limit, let sender = turns.first {
            turns.removeFirst()
            guard lanes[sender] != nil else { continue }
            result.append(lanes[sender, default: Lane()].removeFirst())
            if lanes[sender, default: Lane()].count > 0 { turns.append(sender) }
        }
        return result
    }

    /// The sender has gone, and what it sent with it.
    mutating func forget(_ sender: Int) {
        lanes[sender] = nil
        turns.removeAll { $0 == sender }
    }
}
