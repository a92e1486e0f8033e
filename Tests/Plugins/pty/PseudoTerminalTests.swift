import BackendSupport
import Foundation
import Glibc
import Testing

@testable import PseudoTerminal

@Suite struct PseudoTerminalTests {
    private func folder() throws -> String {
        let path = NSTemporaryDirectory() + "/pty-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    private func bytes(from file: Descriptor) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 100)
        guard case .bytes(let count) = buffer.withUnsafeMutableBytes({ file.read(into: $0) }) else { return [] }
        return Array(buffer.prefix(count))
    }

    @Test func nobodyIsThereUntilTheSlaveIsOpened() throws {
        let terminal = try PseudoTerminal(link: nil)
        #expect(terminal.slave.hasPrefix("/dev/pts/"))
        #expect(!terminal.isOpen)
        for _ in 0..<3 {
            let user = try Descriptor.open(terminal.slave, O_RDWR)
            #expect(terminal.isOpen)
            withExtendedLifetime(user) {}
        }
        #expect(!terminal.isOpen)
    }

    @Test func openingIsAnnounced() throws {
        let terminal = try PseudoTerminal(link: nil)
        let opens = try #require(terminal.opens)
        var events = pollfd(fd: opens.raw, events: Int16(POLLIN), revents: 0)
        #expect(poll(&events, 1, 0) == 0)
        _ = try Descriptor.open(terminal.slave, O_RDWR)
        #expect(poll(&events, 1, 0) == 1)
        terminal.acknowledgeOpens()
        #expect(poll(&events, 1, 0) == 0)
    }

    @Test func whatAShortVisitorWroteCanStillBeRead() throws {
        let terminal = try PseudoTerminal(link: nil)
        var user: Descriptor? = try Descriptor.open(terminal.slave, O_RDWR)
        #expect(user?.write(Array("hi".utf8)) == .bytes(2))
        user = nil
        #expect(terminal.isOpen)
        #expect(bytes(from: terminal.master) == Array("hi".utf8))
        #expect(!terminal.isOpen)
    }

    /// No echo, no line editing, no newline turned into two characters: neither way.
    @Test func bytesPassUnchangedBothWays() throws {
        let terminal = try PseudoTerminal(link: nil)
        let user = try Descriptor.open(terminal.slave, O_RDWR | O_NONBLOCK)
        let odd: [UInt8] = [0x03, 0x0a, 0x0d, 0x11, 0x13, 0x7f, 0xff, 0x00]
        #expect(terminal.master.write(odd) == .bytes(8))
        #expect(bytes(from: user) == odd)
        #expect(user.write(odd) == .bytes(8))
        #expect(bytes(from: terminal.master) == odd)
        #expect(bytes(from: user) == [])
    }

    @Test func settingsOfAUserAreTakenBack() throws {
        let terminal = try PseudoTerminal(link: nil)
        let user = try Descriptor.open(terminal.slave, O_RDWR | O_NONBLOCK)
        var settings = termios()
        tcgetattr(user.raw, &settings)
        #expect(settings.c_lflag & UInt32(ECHO | ICANON) == 0)
        settings.c_lflag |= UInt32(ECHO | ICANON)
        tcsetattr(user.raw, TCSANOW, &settings)
        terminal.setRaw()
        tcgetattr(user.raw, &settings)
        #expect(settings.c_lflag & UInt32(ECHO | ICANON) == 0)
    }

    @Test func linkLeadsToTheSlaveAndGoesAway() throws {
        let link = try folder() + "/tty"
        var terminal: PseudoTerminal? = try PseudoTerminal(link: link)
        #expect(PseudoTerminal.target(of: link) == terminal?.slave)
        terminal = nil
        #expect(PseudoTerminal.target(of: link) == nil)
    }

    @Test func linkOfAnEarlierRunIsReplaced() throws {
        let link = try folder() + "/tty"
        #expect(symlink("/dev/pts/99999", link) == 0)
        let terminal = try PseudoTerminal(link: link)
        #expect(PseudoTerminal.target(of: link) == terminal.slave)
    }

    @Test func linkThatAnotherTookOverIsLeftAlone() throws {
        let link = try folder() + "/tty"
        var first: PseudoTerminal? = try PseudoTerminal(link: link)
        let second = try PseudoTerminal(link: link)
        #expect(first != nil)
        first = nil
        #expect(PseudoTerminal.target(of: link) == second.slave)
    }

    @Test(arguments: ["file", "elsewhere"]) func whatIsNotOursIsNeverReplaced(_ name: String) throws {
        let folder = try folder()
        let path = folder + "/" + name
        if name == "file" {
            try Data([1]).write(to: URL(fileURLWithPath: path))
        } else {
            #expect(symlink("/etc/passwd", path) == 0)
        }
        let error = try #require(throws: PseudoTerminal.OpenError.self) { try PseudoTerminal(link: path) }
        #expect(error.text == "'\(path)' is there already, and is not a link to a pseudo-terminal")
        #expect(name == "file" || PseudoTerminal.target(of: path) == "/etc/passwd")
    }

    @Test func impossibleLinkIsAPlainSentence() throws {
        let error = try #require(throws: PseudoTerminal.OpenError.self) { try PseudoTerminal(link: "/nowhere/tty") }
        #expect(error.text == "the link '/nowhere/tty' cannot be made: No such file or directory")
    }
}

extension Descriptor {
    fileprivate func write(_ bytes: [UInt8]) -> Transfer { bytes.withUnsafeBytes { write($0) } }
}
