/// Messages of 9P2000.L: size[4] type[1] tag[2] and fields, numbers little-endian, texts behind their length in two bytes.
///
/// Source: Plan 9's intro(5) for 9P2000, and Linux's fs/9p with include/net/9p/9p.h for what .L has beside it.
enum Request: UInt8 {
    case statfs = 8, lopen = 12, lcreate = 14, symlink = 16, mknod = 18, rename = 20, readlink = 22, getattr = 24
    case setattr = 26, xattrwalk = 30, xattrcreate = 32, readdir = 40, fsync = 50, lock = 52, getlock = 54, link = 70
    case mkdir = 72, renameat = 74, unlinkat = 76, version = 100, auth = 102, attach = 104, flush = 108, walk = 110
    case read = 116, write = 118, clunk = 120, remove = 122
}

public enum Message {
    /// Size, type and tag.
    public static let headerSize = 7
    /// The shortest answer that there must be room for: a header and an error's number.
    public static let errorSize = 11
    /// The tag of Tversion, and of an answer to what has none.
    static let noTag: UInt16 = 0xFFFF
    static let noFid: UInt32 = 0xFFFF_FFFF
    static let error: UInt8 = 7

    /// Rlerror.
    static func failure(_ tag: UInt16, _ code: Int32) -> [UInt8] {
        var writer = MessageWriter(Message.error, tag)
        writer.put32(UInt32(bitPattern: code))
        return writer.finished
    }
}

/// What the guest says that is no message: an answer with this errno.
struct Refusal: Error, Equatable {
    var code: Int32
    init(_ code: Int32) { self.code = code }
}

/// Takes fields out of a message.
struct MessageReader {
    private let bytes: ArraySlice<UInt8>
    private var position: Int

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        position = bytes.startIndex
    }

    mutating func number(_ width: Int) throws(Refusal) -> UInt64 {
        guard width <= bytes.endIndex - position else { throw Refusal(.invalid) }
        var value: UInt64 = 0
        for byte in 0..<width { value |= UInt64(bytes[position + byte]) &<< UInt64(byte * 8) }
        position += width
        return value
    }

    mutating func get8() throws(Refusal) -> UInt8 { UInt8(truncatingIfNeeded: try number(1)) }
    mutating func get16() throws(Refusal) -> UInt16 { UInt16(truncatingIfNeeded: try number(2)) }
    mutating func get32() throws(Refusal) -> UInt32 { UInt32(truncatingIfNeeded: try number(4)) }
    mutating func get64() throws(Refusal) -> UInt64 { try number(8) }

    /// Bytes behind their number. A NUL ends a text for the host's kernel, but not here: there is none in a name.
    mutating func text() throws(Refusal) -> [UInt8] {
        let count = Int(try get16())
        guard count <= bytes.endIndex - position else { throw Refusal(.invalid) }
        defer { position += count }
        let text = [UInt8](bytes[position..<position + count])
        guard !text.contains(0) else { throw Refusal(.invalid) }
        return text
    }

    /// The name of one thing in a directory. "." and "..", which lead elsewhere, are none.
    mutating func name() throws(Refusal) -> Name {
        let bytes = try text()
        guard bytes.count <= 255 else { throw Refusal(.nameTooLong) }
        guard !bytes.isEmpty, !bytes.contains(UInt8(ascii: "/")), bytes != [46], bytes != [46, 46] else {
            throw Refusal(.invalid)
        }
        return Name(bytes: bytes)
    }

    /// What is left.
    mutating func rest() -> ArraySlice<UInt8> {
        defer { position = bytes.endIndex }
        return bytes[position...]
    }

    /// Nothing may be left.
    func end() throws(Refusal) { if position != bytes.endIndex { throw Refusal(.invalid) } }
}

/// One component of a path: no slash, no NUL, neither "." nor "..".
struct Name: Equatable, Sendable {
    let bytes: [UInt8]

    /// SAFETY: a NUL is put behind it, and there is none before.
    func withCString<R>(_ body: (UnsafePointer<CChar>) -> R) -> R { withTerminated(bytes, body) }
}

func withTerminated<R>(_ bytes: [UInt8], _ body: (UnsafePointer<CChar>) -> R) -> R {
    (bytes + [0]).withUnsafeBytes { body($0.assumingMemoryBound(to: CChar.self).baseAddress!) }
}

/// Makes a message.
struct MessageWriter {
    private var bytes: [UInt8]

    init(_ type: UInt8, _ tag: UInt16) {
        bytes = [0, 0, 0, 0, type]
        put16(tag)
    }

    /// The answer to `request`.
    init(_ request: Request, _ tag: UInt16) { self.init(request.rawValue + 1, tag) }

    var count: Int { bytes.count }

    private mutating func put(_ value: UInt64, _ width: Int) {
        for byte in 0..<width { bytes.append(UInt8(truncatingIfNeeded: value &>> UInt64(byte * 8))) }
    }

    mutating func put8(_ value: UInt8) { bytes.append(value) }
    mutating func put16(_ value: UInt16) { put(UInt64(value), 2) }
    mutating func put32(_ value: UInt32) { put(UInt64(value), 4) }
    mutating func put64(_ value: UInt64) { put(value, 8) }
    /// At most 65535 bytes.
    mutating func put(text: some Collection<UInt8>) {
        put16(UInt16(truncatingIfNeeded: text.count))
        bytes += text
    }
    mutating func put(_ qid: QID) {
        put8(qid.type)
        put32(qid.version)
        put64(qid.path)
    }

    /// Room for up to `count` bytes, of which `fill` says how many it has filled.
    mutating func put(upTo count: Int, _ fill: (UnsafeMutableRawBufferPointer) throws(Refusal) -> Int) throws(Refusal) {
        let start = bytes.count
        bytes += [UInt8](repeating: 0, count: count)
        var result = Result<Int, Refusal>.success(0)
        bytes.withUnsafeMutableBytes { all in
            let room = UnsafeMutableRawBufferPointer(rebasing: all[start...])
            do throws(Refusal) { result = .success(try fill(room)) } catch { result = .failure(error) }
        }
        bytes.removeLast(count - min(count, try result.get()))
    }

    mutating func replace32(at offset: Int, _ value: UInt32) {
        for byte in 0..<4 { bytes[offset + byte] = UInt8(truncatingIfNeeded: value &>> UInt32(byte * 8)) }
    }

    /// With its size in front.
    var finished: [UInt8] {
        var whole = self
        whole.replace32(at: 0, UInt32(truncatingIfNeeded: bytes.count))
        return whole.bytes
    }
}
