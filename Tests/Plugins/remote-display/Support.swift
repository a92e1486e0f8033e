import CBackplane
import Pictures
import RFBClient

@testable import RemoteDisplay

/// Pixels of XRGB8888 in a region of a device's, with 3 pixels beside each line.
func shown(
    _ width: Int, _ height: Int, lines: Range<Int>? = nil, _ color: (Int, Int) -> UInt32
) -> Snapshot {
    let stride = (width + 3) * 4
    var region = [UInt8](repeating: 0xEE, count: 16 + stride * height)
    for y in 0..<height {
        for x in 0..<width {
            for byte in 0..<4 {
                region[16 + y * stride + 4 * x + byte] = UInt8(truncatingIfNeeded: color(x, y) >> UInt32(8 * byte))
            }
        }
    }
    var surface = bp_display_surface()
    surface.format = UInt32(BP_PIXELS_XRGB8888)
    (surface.width, surface.height, surface.stride) = (UInt32(width), UInt32(height), UInt32(stride))
    surface.offset = 16
    let copy = region.withUnsafeBytes {
        PixelCopy(surface, $0, palette: UnsafeRawBufferPointer(start: nil, count: 0), lines: lines)
    }
    return copy.map { .pixels($0) } ?? .dark
}

/// A session and its client, with the picture that both are about.
struct Pair {
    var image = ScreenImage()
    var session = Session(name: "test")
    var client: RFBClient
    var events: [Session.Event] = []

    init(minor: Int = 8, isShared: Bool = true, _ snapshot: Snapshot) {
        client = RFBClient(minor: minor, isShared: isShared)
        _ = image.apply(snapshot)
    }

    /// Bytes go to and fro, in pieces of `piece` bytes, until there are none. nil: the session goes on.
    @discardableResult
    mutating func pump(piece: Int = 1000) throws -> Session.Refusal? {
        while true {
            session.update(from: image)
            let output = session.withOutput { Array($0.prefix(piece)) }
            session.consume(output.count)
            try client.receive(output)
            let input = Array(client.toSend.prefix(piece))
            client.toSend.removeFirst(input.count)
            let result = input.withUnsafeBytes { session.receive($0) }
            events += result.events
            if let refusal = result.refusal { return refusal }
            if session.wantsSize { session.open(image) }
            if output.isEmpty, input.isEmpty, session.withOutput({ $0.isEmpty }) { return nil }
        }
    }

    /// All that is there to be seen.
    mutating func look(isIncremental: Bool = false) throws {
        client.toSend += client.request(isIncremental: isIncremental)
        try pump()
    }

    mutating func show(_ snapshot: Snapshot) { session.note(image.apply(snapshot)) }

    /// The client's levels are those of the picture, which is dark where there is none.
    func isShown(_ width: Int, _ height: Int, _ color: (Int, Int) -> UInt32) -> Bool {
        let most = [client.format.max.0, client.format.max.1, client.format.max.2]
        return client.pixels.indices.allSatisfy { (place: Int) -> Bool in
            let (x, y) = (place % client.width, place / client.width)
            let value = x < width && y < height ? Int(color(x, y)) : 0
            let expected = (0..<3).map { (channel: Int) -> Int in
                let level = value >> (16 - 8 * channel) & 255
                return Int((Double(level) / 255 * Double(most[channel])).rounded())
            }
            return client.pixels[place] == expected
        }
    }
}
