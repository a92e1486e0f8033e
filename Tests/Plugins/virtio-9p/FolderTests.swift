import Glibc
import Testing

@testable import SharedFolder

/// What a guest does with a folder: 9P2000.L by its numbers.
@Suite struct FolderTests {
    @Test func versionIsAgreedOn() throws {
        let client = try Client(Folder(), isAttached: false)
        #expect(client.call(104, .four(0), .four(.max), .text(""), .text(""), .four(0)).error == EPROTO)
        let unknown = client.call(100, .four(8192), .text("9P2000.u"))
        #expect(unknown.type == 101 && unknown.number(0, 4) == 8192 && unknown.text(4) == "unknown")
        #expect(client.call(100, .four(100), .text("9P2000.L")).error == EMSGSIZE)
        let known = client.call(100, .four(.max), .text("9P2000.L"))
        #expect(known.number(0, 4) == 512 << 10 && known.text(4) == "9P2000.L")
    }

    @Test func fileIsMadeWrittenAndReadBack() throws {
        let folder = Folder()
        let client = try Client(folder)
        client.walk(0, 1)
        let old = umask(0o077)
        #expect(client.create(1, "new", 0o102, mode: 0o664).type == 15)
        umask(old)
        #expect(folder.mode("new") == 0o100664, "the guest's mode, not this process's umask")
        #expect(client.write(1, 0, "hello, world").number(0, 4) == 12)
        #expect(client.write(1, 7, "there").number(0, 4) == 5)
        #expect(folder.read("new") == "hello, there")
        let part = client.read(1, 7, 100)
        #expect(part.type == 117 && part.number(0, 4) == 5 && part.body.dropFirst(4).elementsEqual("there".utf8))
        #expect(client.read(1, 12).number(0, 4) == 0, "the end")
        #expect(client.call(50, .four(1), .four(0)).type == 51)
        #expect(client.clunk(1).type == 121)
        #expect(client.clunk(1).error == EBADF)
    }

    @Test func fileThatIsThereIsNotMadeExclusively() throws {
        let folder = Folder()
        folder.write("old", "contents")
        let client = try Client(folder)
        client.walk(0, 1)
        #expect(client.create(1, "old", 0o302).error == EEXIST)
        #expect(client.create(1, "old", 0o102).type == 15 && folder.read("old") == "contents")
        client.walk(0, 2)
        #expect(client.create(2, "old", 0o1102).type == 15 && folder.read("old") == "", "O_TRUNC")
    }

    @Test func walkTellsHowFarItCame() throws {
        let folder = Folder()
        let client = try Client(folder)
        for (parent, name) in [(0, "a"), (1, "b"), (2, "c")] as [(UInt32, String)] {
            #expect(client.call(72, .four(parent), .text(name), .four(0o755), .four(0)).type == 73)
            client.walk(parent, parent + 1, name)
        }
        #expect(client.walk(0, 9, "a", "b", "c").number(0, 2) == 3)
        let part = client.walk(0, 10, "a", "b", "nothing")
        #expect(part.type == 111 && part.number(0, 2) == 2)
        #expect(client.clunk(10).error == EBADF, "there is no such fid")
        #expect(client.walk(0, 10, "nothing").error == ENOENT)
        #expect(client.walk(0, 9).error == EBADF, "in use")
        #expect(client.walk(9, 9).type == 111, "onto itself")
    }

    @Test(arguments: [100, 300, 4096] as [UInt32])
    func allNamesAreListed(_ count: UInt32) throws {
        let folder = Folder()
        let expected = (0..<200).map { "file-\($0)" }
        for name in expected { folder.write(name, "") }
        let client = try Client(folder)
        client.walk(0, 1)
        #expect(client.open(1).type == 13)
        #expect(client.names(1, count: count).sorted() == (expected + [".", ".."]).sorted())
        #expect(client.call(40, .four(1), .eight(0), .four(20)).error == EINVAL, "no room for one")
    }

    @Test func attributesAreTheFiles() throws {
        let folder = Folder()
        folder.write("file", "12345")
        let client = try Client(folder)
        client.walk(0, 1, "file")
        #expect(client.setattr(1, valid: 1, mode: 0o106751).type == 27)
        #expect(folder.mode("file") == 0o100751, "SETUID and SETGID are left out")
        #expect(client.setattr(1, valid: 8, size: 3).type == 27 && folder.read("file") == "123")
        #expect(client.setattr(1, valid: 0x30 | 0x180, time: 1_000_000).type == 27)
        let reply = client.call(24, .four(1), .eight(0x7FF))
        #expect(reply.type == 25 && reply.body.count == 153)
        #expect(reply.number(0, 8) == 0x7FF && reply.number(8, 1) == 0 && reply.number(21, 4) == 0o100751)
        #expect(reply.number(33, 8) == 1 && reply.number(49, 8) == 3, "links and size")
        #expect(reply.number(73, 8) == 1_000_000 && reply.number(81, 8) == 7, "atime")
        #expect(reply.number(89, 8) == 1_000_000 && reply.number(97, 8) == 7, "mtime")
        #expect(client.setattr(1, valid: 8, size: .max).error == EFBIG)
        #expect(client.call(8, .four(1)).number(0, 4) == 0x0102_1997, "V9FS_MAGIC")
    }

    @Test func openFileGrowsWhateverItsPermissions() throws {
        let folder = Folder()
        let client = try Client(folder)
        client.walk(0, 1)
        #expect(client.create(1, "sealed", 2, mode: 0o400).type == 15)
        #expect(client.setattr(1, valid: 8, size: 10).type == 27)
        #expect(folder.read("sealed")?.utf8.count == 10)
    }

    @Test func linksAreMadeAndReadAndNeverFollowed() throws {
        let (folder, outside) = (Folder(), Folder())
        outside.write("secret", "secret")
        let client = try Client(folder)
        for (name, target) in [("out", outside.path), ("file", outside.path + "/secret"), ("up", "..")] {
            #expect(client.call(16, .four(0), .text(name), .text(target), .four(0)).type == 17)
            client.walk(0, 5, name)
            #expect(client.call(22, .four(5)).text(0) == target)
            #expect(client.open(5).error == ENXIO, "a link is not opened")
            #expect(client.setattr(5, valid: 8, size: 0).error == EINVAL)
            client.clunk(5)
            #expect(client.walk(0, 5, name, "secret").number(0, 2) == 1, "only the link itself")
        }
        client.walk(0, 6)
        #expect(client.create(6, "file", 0o102).error == ENXIO)
        #expect(outside.read("secret") == "secret")
        client.walk(0, 7, "file")
        #expect(client.call(70, .four(0), .four(7), .text("again")).type == 71)
        #expect(folder.mode("again") & S_IFMT == S_IFLNK, "a second name of the link")
    }

    @Test func nameThatBecomesALinkOnTheWayLeadsNowhere() throws {
        let (folder, outside) = (Folder(), Folder())
        outside.write("secret", "secret")
        let client = try Client(folder)
        #expect(client.call(72, .four(0), .text("inner"), .four(0o755), .four(0)).type == 73)
        client.walk(0, 1, "inner")
        rename("\(folder.path)/inner", "\(folder.path)/moved")
        symlink(outside.path, "\(folder.path)/inner")
        #expect(client.walk(1, 2, "secret").error == ENOENT, "the fid is the directory that it was")
        #expect(client.walk(0, 2, "inner", "secret").number(0, 2) == 1)
        client.walk(1, 3)
        #expect(client.create(3, "here", 0o102).type == 15)
        #expect(folder.exists("moved/here") && !outside.exists("here"))
    }

    @Test func pipesSocketsAndDevicesAreNotOpened() throws {
        let folder = Folder()
        mkfifo("\(folder.path)/pipe", 0o644)
        mknod("\(folder.path)/socket", S_IFSOCK | 0o644, 0)
        let client = try Client(folder)
        for name in ["pipe", "socket"] {
            client.walk(0, 1, name)
            for flags in [0, 1, 2] as [UInt32] { #expect(client.open(1, flags).error == ENXIO) }
            client.walk(0, 2)
            #expect(client.create(2, name, 0o101).error == ENXIO, "not by O_CREAT either")
            client.clunk(1)
            client.clunk(2)
        }
        func make(_ name: String, _ mode: UInt32) -> Reply {
            client.call(18, .four(0), .text(name), .four(mode), .four(1), .four(3), .four(0))
        }
        #expect(make("null", S_IFCHR | 0o666).error == EPERM && make("sda", S_IFBLK | 0o666).error == EPERM)
        #expect(make("fifo", S_IFIFO | 0o600).type == 19 && folder.mode("fifo") == S_IFIFO | 0o600)
        #expect(make("plain", S_IFREG | 0o600).type == 19 && folder.mode("plain") == S_IFREG | 0o600)
    }

    @Test func namesMoveAndGo() throws {
        let folder = Folder()
        folder.write("a", "a")
        let client = try Client(folder)
        #expect(client.call(72, .four(0), .text("dir"), .four(0o700), .four(0)).type == 73)
        client.walk(0, 1, "dir")
        client.walk(0, 2, "a")
        #expect(client.call(74, .four(0), .text("a"), .four(1), .text("b")).type == 75)
        #expect(folder.read("dir/b") == "a")
        #expect(client.call(20, .four(2), .four(0), .text("c")).error == ENOENT, "not where the fid was found")
        client.walk(1, 3, "b")
        #expect(client.call(20, .four(3), .four(0), .text("c")).type == 21 && folder.read("c") == "a")
        #expect(client.call(70, .four(1), .four(3), .text("d")).type == 71 && folder.read("dir/d") == "a")
        #expect(client.call(76, .four(0), .text("dir"), .four(0)).error == EISDIR)
        #expect(client.call(76, .four(0), .text("dir"), .four(0x200)).error == ENOTEMPTY)
        #expect(client.call(76, .four(1), .text("d"), .four(0)).type == 77)
        #expect(client.call(76, .four(0), .text("dir"), .four(0x200)).type == 77 && !folder.exists("dir"))
        #expect(client.call(122, .four(3)).type == 123 && !folder.exists("c"), "Tremove")
        #expect(client.clunk(3).error == EBADF)
        #expect(client.call(122, .four(0)).error == EBUSY, "not the folder itself")
    }

    @Test func fileWithoutANameIsStillThere() throws {
        let folder = Folder()
        let client = try Client(folder)
        client.walk(0, 1)
        _ = client.create(1, "gone")
        _ = client.write(1, 0, "kept")
        #expect(client.call(76, .four(0), .text("gone"), .four(0)).type == 77)
        #expect(client.read(1).body.dropFirst(4).elementsEqual("kept".utf8))
        #expect(client.call(24, .four(1), .eight(0x7FF)).number(33, 8) == 0, "no links")
    }

    @Test func readOnlyFolderIsNotChanged() throws {
        let folder = Folder()
        folder.write("file", "text")
        let client = try Client(folder, isReadOnly: true)
        client.walk(0, 1, "file")
        for flags in [1, 2, 0o1000] as [UInt32] { #expect(client.open(1, flags).error == EROFS) }
        #expect(client.setattr(1, valid: 1, mode: 0o777).error == EROFS)
        client.walk(0, 2)
        #expect(client.create(2, "new").error == EROFS)
        #expect(client.call(72, .four(0), .text("d"), .four(0o755), .four(0)).error == EROFS)
        #expect(client.call(16, .four(0), .text("l"), .text("x"), .four(0)).error == EROFS)
        #expect(client.call(18, .four(0), .text("n"), .four(0o100644), .four(0), .four(0), .four(0)).error == EROFS)
        #expect(client.call(70, .four(0), .four(1), .text("again")).error == EROFS)
        #expect(client.call(20, .four(1), .four(0), .text("other")).error == EROFS)
        #expect(client.call(74, .four(0), .text("file"), .four(0), .text("other")).error == EROFS)
        #expect(client.call(76, .four(0), .text("file"), .four(0)).error == EROFS)
        #expect(client.open(1).type == 13 && client.write(1, 0, "x").error == EBADF)
        #expect(client.read(1).body.dropFirst(4).elementsEqual("text".utf8))
        #expect(client.call(122, .four(1)).error == EROFS && folder.read("file") == "text")
    }

    @Test func locksAreGranted() throws {
        let folder = Folder()
        folder.write("file", "")
        let client = try Client(folder)
        client.walk(0, 1, "file")
        func lock() -> Reply {
            client.call(52, .four(1), .one(1), .four(0), .eight(0), .eight(0), .four(99), .text("guest"))
        }
        #expect(lock().error == EBADF, "not open")
        _ = client.open(1, 2)
        #expect(lock().body == [0])
        let free = client.call(54, .four(1), .one(1), .eight(5), .eight(6), .four(99), .text("guest"))
        #expect(free.type == 55 && free.number(0, 1) == 2 && free.number(1, 8) == 5 && free.text(21) == "guest")
    }

    @Test func filesOfOtherDevicesHaveOtherQIDs() throws {
        // /proc is another file system than /: both have an inode 1 or 2 of theirs.
        let session = try Client(Folder()).session
        #expect(session.qids.path(device: session.qids.homeDevice, inode: 77) == 77)
        let other = session.qids.path(device: session.qids.homeDevice ^ 1, inode: 77)
        #expect(other != 77 && other != session.qids.path(device: session.qids.homeDevice ^ 2, inode: 77))
    }
}
