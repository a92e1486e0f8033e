import Glibc
@testable import SharedFolder

/// A folder of the host's that goes with all that is in it.
final class Folder {
    let path: String

    init() {
        var template = Array("/tmp/backplane-9p-XXXXXX".utf8CString)
        path = mkdtemp(&template).map { String(cString: $0) } ?? "/nowhere"
    }

    deinit { Folder.delete(path) }

    private static func delete(_ path: String) {
        if unlink(path) == 0 { return }
        for name in names(in: path) { delete("\(path)/\(name)") }
        rmdir(path)
    }

    static func names(in path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            names.append(
                withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
        }
        return names.filter { $0 != "." && $0 != ".." }
    }

    func write(_ name: String, _ text: String) {
        guard let file = fopen("\(path)/\(name)", "w") else { return }
        fputs(text, file)
        fclose(file)
    }

    func read(_ name: String) -> String? {
        guard let file = fopen("\(path)/\(name)", "r") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        while case let byte = fgetc(file), byte >= 0 { bytes.append(UInt8(byte)) }
        return String(decoding: bytes, as: UTF8.self)
    }

    func exists(_ name: String) -> Bool {
        var status = stat()
        return lstat("\(path)/\(name)", &status) == 0
    }

    func mode(_ name: String) -> UInt32 {
        var status = stat()
        return lstat("\(path)/\(name)", &status) == 0 ? status.st_mode : 0
    }
}

/// Numbers of a message, of the widths that 9P2000.L gives them.
enum Field {
    case one(UInt8), two(UInt16), four(UInt32), eight(UInt64), text(String), raw([UInt8])

    var bytes: [UInt8] {
        func number(_ value: UInt64, _ width: Int) -> [UInt8] {
            (0..<width).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
        }
        return switch self {
        case .one(let value): [value]
        case .two(let value): number(UInt64(value), 2)
        case .four(let value): number(UInt64(value), 4)
        case .eight(let value): number(value, 8)
        case .text(let text): number(UInt64(text.utf8.count), 2) + Array(text.utf8)
        case .raw(let bytes): bytes
        }
    }
}

struct Reply: Equatable {
    var type: UInt8
    var tag: UInt16
    var body: [UInt8]

    /// Of Rlerror.
    var error: Int32? { type == 7 ? Int32(truncatingIfNeeded: number(0, 4)) : nil }

    func number(_ offset: Int, _ width: Int) -> UInt64 {
        guard offset + width <= body.count else { return .max }
        return body[offset..<offset + width].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    func text(_ offset: Int) -> String {
        String(decoding: body.dropFirst(offset + 2).prefix(Int(number(offset, 2))), as: UTF8.self)
    }
}

/// The guest's side, by the numbers of Linux's include/net/9p/9p.h.
final class Client {
    let session: FolderSession
    var tag: UInt16 = 0

    /// Fid 0 is the folder.
    init(_ folder: Folder, isReadOnly: Bool = false, mostFids: Int = 1000, isAttached: Bool = true) throws {
        session = try FolderSession(path: folder.path, isReadOnly: isReadOnly, mostFids: mostFids)
        guard isAttached else { return }
        _ = call(100, .four(65536), .text("9P2000.L"))
        _ = call(104, .four(0), .four(.max), .text("root"), .text(""), .four(0))
    }

    func call(_ type: UInt8, _ fields: Field...) -> Reply {
        tag &+= 1
        let body = fields.flatMap(\.bytes)
        return send(Field.four(UInt32(7 + body.count)).bytes + [type] + Field.two(tag).bytes + body)
    }

    func send(_ message: [UInt8], room: Int = 1 << 16) -> Reply {
        let answer = session.answer(message, room: room)
        func number(_ offset: Int, _ width: Int) -> UInt64 {
            answer[offset..<offset + width].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        precondition(answer.count >= 7 && answer.count <= room && number(0, 4) == answer.count)
        return Reply(type: answer[4], tag: UInt16(number(5, 2)), body: Array(answer[7...]))
    }

    @discardableResult
    func walk(_ from: UInt32, _ to: UInt32, _ names: String...) -> Reply {
        call(110, .four(from), .four(to), .two(UInt16(names.count)), .raw(names.flatMap { Field.text($0).bytes }))
    }

    func open(_ fid: UInt32, _ flags: UInt32 = 0) -> Reply { call(12, .four(fid), .four(flags)) }
    @discardableResult
    func clunk(_ fid: UInt32) -> Reply { call(120, .four(fid)) }
    func create(_ fid: UInt32, _ name: String, _ flags: UInt32 = 2, mode: UInt32 = 0o644) -> Reply {
        call(14, .four(fid), .text(name), .four(flags), .four(mode), .four(0))
    }
    func write(_ fid: UInt32, _ offset: UInt64, _ text: String) -> Reply {
        call(118, .four(fid), .eight(offset), .four(UInt32(text.utf8.count)), .raw(Array(text.utf8)))
    }
    func read(_ fid: UInt32, _ offset: UInt64 = 0, _ count: UInt32 = 4096) -> Reply {
        call(116, .four(fid), .eight(offset), .four(count))
    }
    func setattr(
        _ fid: UInt32, valid: UInt32, mode: UInt32 = 0, user: UInt32 = 0, size: UInt64 = 0, time: UInt64 = 0
    ) -> Reply {
        call(
            26, .four(fid), .four(valid), .four(mode), .four(user), .four(user), .eight(size), .eight(time), .eight(7),
            .eight(time), .eight(7))
    }

    /// Names by all the Treaddirs that it takes, each of so many bytes.
    func names(_ fid: UInt32, count: UInt32 = 4096) -> [String] {
        var (names, offset): ([String], UInt64) = ([], 0)
        while true {
            let reply = call(40, .four(fid), .eight(offset), .four(count))
            guard reply.type == 41, reply.number(0, 4) > 0 else { return names }
            var place = 4
            while place < reply.body.count {
                offset = reply.number(place + 13, 8)
                names.append(reply.text(place + 22))
                place += 24 + names.last!.utf8.count
            }
        }
    }
}
