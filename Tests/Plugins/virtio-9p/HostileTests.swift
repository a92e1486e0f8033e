import Glibc
import SplitMix
import Testing

@testable import SharedFolder

/// A guest that says whatever it likes: an Rlerror, and nothing else.
@Suite struct HostileFolderTests {
    @Test(arguments: ["..", ".", "", "a/b", "/", "a\0b", "/etc/passwd", "../x"])
    func nameThatIsNoNameIsRefused(_ name: String) throws {
        let (folder, target) = (Folder(), "x")
        folder.write(target, "")
        let client = try Client(folder)
        client.walk(0, 1, target)
        client.walk(0, 2)
        let replies = [
            client.walk(0, 3, name), client.walk(0, 3, target, name), client.create(2, name),
            client.call(72, .four(0), .text(name), .four(0o755), .four(0)),
            client.call(16, .four(0), .text(name), .text("t"), .four(0)),
            client.call(18, .four(0), .text(name), .four(0o100644), .four(0), .four(0), .four(0)),
            client.call(70, .four(0), .four(1), .text(name)), client.call(20, .four(1), .four(0), .text(name)),
            client.call(74, .four(0), .text(target), .four(0), .text(name)),
            client.call(74, .four(0), .text(name), .four(0), .text("y")),
            client.call(76, .four(0), .text(name), .four(0x200)),
        ]
        #expect(replies.allSatisfy { $0.error == EINVAL })
        #expect(client.clunk(3).error == EBADF)
    }

    @Test func longNames() throws {
        let folder = Folder()
        let client = try Client(folder)
        let longest = String(repeating: "n", count: 255)
        client.walk(0, 1)
        #expect(client.create(1, longest).type == 15 && folder.exists(longest))
        #expect(client.walk(0, 2, longest + "n").error == ENAMETOOLONG)
        #expect(client.walk(0, 2, String(repeating: "n", count: 65000)).error == ENAMETOOLONG)
        client.walk(0, 3)
        _ = client.open(3)
        #expect(client.names(3).contains(longest))
    }

    @Test func sizesThatDoNotFit() throws {
        let client = try Client(Folder())
        #expect(client.send([]).error == EINVAL)
        #expect(client.send([7, 0, 0, 0, 120]).error == EINVAL)
        for size in [0, 6, 12, UInt32.max] {
            let reply = client.send(Field.four(size).bytes + [120, 5, 6] + Field.four(0).bytes)
            #expect(reply.error == EINVAL && reply.tag == 0x605)
        }
        #expect(client.call(120, .four(0), .one(0)).error == EINVAL, "more than the message has")
        #expect(client.call(120, .two(0)).error == EINVAL, "less")
        #expect(client.call(110, .four(0), .four(1), .two(17)).error == EINVAL)
        #expect(client.call(110, .four(0), .four(1), .two(2), .text("a")).error == EINVAL)
        #expect(client.call(200).error == EOPNOTSUPP && client.call(6).error == EOPNOTSUPP)
        _ = client.call(100, .four(4096), .text("9P2000.L"))
        #expect(client.call(110, .raw([UInt8](repeating: 0, count: 5000))).error == EMSGSIZE, "beyond msize")
    }

    @Test func countsBeyondTheMessageAreCutToIt() throws {
        let folder = Folder()
        folder.write("long", String(repeating: "x", count: 100_000))
        let client = try Client(folder)
        client.walk(0, 1, "long")
        _ = client.open(1)
        #expect(client.read(1, 0, .max).number(0, 4) == 65536 - 11)
        let narrow = client.send(
            Field.four(23).bytes + [116, 0, 0] + Field.four(1).bytes + Field.eight(0).bytes + Field.four(.max).bytes,
            room: 100)
        #expect(narrow.type == 117 && narrow.number(0, 4) == 89, "what there is room for")
        #expect(client.read(1, .max).error == EINVAL && client.read(1, UInt64(Int64.max)).error == EINVAL)
        #expect(client.write(1, 0, "x").error == EBADF, "not opened for writing")
        let attributes = client.send(
            Field.four(19).bytes + [24, 0, 0] + Field.four(1).bytes + Field.eight(0).bytes, room: 50)
        #expect(attributes.error == EMSGSIZE)
    }

    @Test func fidsThatAreNone() throws {
        let client = try Client(Folder(), mostFids: 10)
        #expect(client.walk(99, 1).error == EBADF && client.open(99).error == EBADF && client.read(99).error == EBADF)
        #expect(client.walk(0, .max).error == EBADF, "NOFID")
        #expect(client.call(104, .four(0), .four(.max), .text(""), .text(""), .four(0)).error == EBADF, "in use")
        #expect(client.call(104, .four(1), .four(3), .text(""), .text(""), .four(0)).error == EBADF, "afid")
        #expect(client.call(104, .four(1), .four(.max), .text(""), .text("/etc"), .four(0)).error == ENOENT)
        _ = client.open(0)
        #expect(client.open(0).error == EBADF, "opened twice")
        #expect(client.create(0, "x").error == EBADF && client.walk(0, 0).error == EBADF)
        #expect(client.write(0, 0, "x").error == EISDIR && client.read(0).error == EISDIR)
        for fid in 1...9 as ClosedRange<UInt32> { #expect(client.walk(0, fid).type == 111) }
        #expect(client.walk(0, 10).error == ENFILE, "no more of them")
        client.clunk(5)
        #expect(client.walk(0, 10).type == 111)
        #expect(client.call(100, .four(8192), .text("9P2000.L")).type == 101 && client.session.fidCount == 0)
    }

    /// Messages of right and wrong fields about few fids and names: each gets one answer of the right kind, and nothing outside the folder changes.
    @Test(arguments: 0..<8 as Range<UInt64>)
    func anyMessagesGetAnAnswerEach(_ seed: UInt64) throws {
        let (folder, outside) = (Folder(), Folder())
        outside.write("secret", "secret")
        symlink(outside.path, "\(folder.path)/out")
        let client = try Client(folder, mostFids: 8)
        var random = SplitMix64(seed: seed)
        func pick(_ bound: UInt64) -> UInt64 { random.next() % bound }
        let types: [UInt8] = [
            8, 12, 14, 16, 18, 20, 22, 24, 26, 30, 32, 40, 50, 52, 54, 70, 72, 74, 76, 100, 102, 104, 108, 110, 116,
            118, 120, 122,
        ]
        let layouts: [UInt8: String] = [
            8: "f", 12: "f4", 14: "fn444", 16: "fnn4", 18: "fn4444", 20: "ffn", 22: "f", 24: "f8", 26: "f444488888",
            40: "f84", 50: "f4", 52: "f14884n", 54: "f1884n", 70: "ffn", 72: "fn44", 74: "fnfn", 76: "fn4", 100: "mv",
            104: "fxnn4", 108: "2", 110: "ffw", 116: "f84", 118: "f8d", 120: "f", 122: "f",
        ]
        let names = ["a", "b", "out", "secret", "..", "", "a/b", outsideName(outside)]
        for _ in 0..<20_000 {
            let type = types[Int(pick(UInt64(types.count)))]
            var body: [UInt8] = []
            for field in layouts[type] ?? "" {
                func name() -> Field { .text(names[Int(pick(UInt64(names.count)))]) }
                let next: Field =
                    switch field {
                    case "f": .four(UInt32(pick(9)))
                    case "x": .four(.max)
                    case "m": .four(UInt32(4096 + pick(9000)))
                    case "v": .text("9P2000.L")
                    case "n": name()
                    case "w": .raw(Field.two(2).bytes + name().bytes + name().bytes)
                    case "d": .raw(Field.four(4).bytes + [1, 2, 3, 4])
                    case "1": .one(UInt8(pick(4)))
                    case "2": .two(UInt16(pick(70000) & 0xFFFF))
                    // Small sizes, that no disk is filled.
                    case "8": .eight(pick(10) == 0 ? .max - pick(3) : pick(5000))
                    default: .four(pick(10) == 0 ? .max : UInt32(pick(0o200000)))
                    }
                body += next.bytes
            }
            if pick(20) == 0, !body.isEmpty { body.removeLast(Int(pick(UInt64(body.count)))) }
            if pick(20) == 0, !body.isEmpty { body[Int(pick(UInt64(body.count)))] = UInt8(pick(256)) }
            let reply = client.send(Field.four(UInt32(7 + body.count)).bytes + [type, 1, 2] + body)
            #expect(reply.type == type + 1 || reply.error != nil)
            #expect(reply.tag == 0x201 && client.session.fidCount <= 8)
            if type == 100, reply.type == 101 {
                _ = client.call(104, .four(0), .four(.max), .text(""), .text(""), .four(0))
            }
        }
        #expect(outside.read("secret") == "secret")
        #expect(Folder.names(in: outside.path) == ["secret"])
    }

    private func outsideName(_ folder: Folder) -> String { "../" + folder.path.split(separator: "/").last! }
}
