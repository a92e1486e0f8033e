import BackendSupport
import Foundation
import Glibc
import SocketEndpoint
import Testing

@Suite struct SocketListenerTests {
    private let folder: String

    init() throws {
        folder = NSTemporaryDirectory() + "/sock-" + UUID().uuidString.prefix(8)
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    private func status(_ path: String) -> stat? {
        var result = stat()
        return lstat(path, &result) == 0 ? result : nil
    }

    private func accepted(_ listener: SocketListener) -> Descriptor? {
        if case .connection(let descriptor) = listener.accept() { descriptor } else { nil }
    }

    @Test func unixSocketIsForItsUserOnlyAndGoesAway() throws {
        let path = folder + "/s"
        var listener: SocketListener? = try SocketListener(.path(path))
        #expect(status(path).map { $0.st_mode } == S_IFSOCK | 0o600)
        #expect(listener != nil)
        listener = nil
        #expect(status(path) == nil)
    }

    @Test func staleSocketIsReplaced() throws {
        let path = folder + "/s"
        let other = folder + "/other"
        var old: SocketListener? = try SocketListener(.path(path))
        // As after a crash: the file stays although nobody listens.
        #expect(rename(path, other) == 0)
        #expect(old != nil)
        old = nil
        #expect(rename(other, path) == 0)
        let listener = try SocketListener(.path(path))
        let client = try SocketAddress.path(path).connect()
        #expect(!client.isInProgress)
        #expect(accepted(listener) != nil)
    }

    @Test func socketThatSomebodyListensOnIsLeftAlone() throws {
        let path = folder + "/s"
        let listener = try SocketListener(.path(path))
        let error = try #require(throws: SocketAddress.Failure.self) { try SocketListener(.path(path)) }
        #expect(error.text == "'\(path)' is in use: another program listens on it")
        let client = try SocketAddress.path(path).connect()
        // The failed listener had asked who is there, and went.
        #expect(accepted(listener) != nil)
        #expect(accepted(listener) != nil)
        withExtendedLifetime(client) {}
    }

    @Test func aFileIsNeverReplaced() throws {
        let path = folder + "/notes"
        try Data("precious".utf8).write(to: URL(fileURLWithPath: path))
        let error = try #require(throws: SocketAddress.Failure.self) { try SocketListener(.path(path)) }
        #expect(error.text == "'\(path)' is there already, and is not a socket: it is left alone")
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "precious")
    }

    @Test func aLinkToASocketIsNotRemovedEither() throws {
        let (path, link) = (folder + "/s", folder + "/link")
        var old: SocketListener? = try SocketListener(.path(path))
        #expect(rename(path, path + "2") == 0)
        #expect(old != nil)
        old = nil
        #expect(symlink(path + "2", link) == 0)
        #expect(throws: SocketAddress.Failure.self) { try SocketListener(.path(link)) }
        #expect(status(link) != nil)
    }

    @Test func socketThatAnotherTookOverIsLeftAlone() throws {
        let path = folder + "/s"
        var first: SocketListener? = try SocketListener(.path(path))
        #expect(first != nil)
        #expect(unlink(path) == 0)
        let second = try SocketListener(.path(path))
        first = nil
        #expect(status(path) != nil)
        withExtendedLifetime(second) {}
    }

    @Test func pathBeyond107BytesIsASentence() throws {
        let path = folder + "/" + String(repeating: "x", count: 107 - folder.utf8.count - 1)
        #expect(path.utf8.count == 107)
        _ = try SocketListener(.path(path))
        let error = try #require(throws: SocketAddress.Failure.self) { try SocketListener(.path(path + "x")) }
        #expect(error.text == "the path '\(path)x' cannot be a socket's: it must have 1 to 107 bytes, and no NUL")
        #expect(!error.mayPass)
    }

    @Test func missingFolderIsASentence() throws {
        let error = try #require(throws: SocketAddress.Failure.self) { try SocketListener(.path("/nowhere/s")) }
        #expect(error.text == "cannot listen on '/nowhere/s': No such file or directory")
    }

    @Test func tcpIsOfThisHostOnly() throws {
        let listener = try SocketListener(.port(0))
        guard case .port(let port) = listener.address else {
            Issue.record("not a port")
            return
        }
        #expect(port != 0)
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(listener.descriptor.raw, $0, &length) }
        }
        #expect(address.sin_addr.s_addr == UInt32(0x7f00_0001).bigEndian)
        let client = try listener.address.connect()
        var events = pollfd(fd: client.descriptor.raw, events: Int16(POLLOUT), revents: 0)
        #expect(poll(&events, 1, 5000) == 1)
        try listener.address.finishConnecting(client.descriptor)
        let server = try #require(accepted(listener))
        #expect(listener.address.peer(of: client.descriptor) == "127.0.0.1:\(port)")
        #expect(listener.address.peer(of: server).hasPrefix("127.0.0.1:"))
    }

    @Test func portInUseIsASentence() throws {
        let listener = try SocketListener(.port(0))
        let error = try #require(throws: SocketAddress.Failure.self) { try SocketListener(listener.address) }
        #expect(error.text == "cannot listen on \(listener.address.text): Address already in use")
    }

    @Test func nobodyWaitingIsNoError() throws {
        let listener = try SocketListener(.path(folder + "/s"))
        #expect(accepted(listener) == nil)
    }

    @Test func peerOfAUnixSocketIsNamed() throws {
        let listener = try SocketListener(.path(folder + "/s"))
        let client = try listener.address.connect()
        let server = try #require(accepted(listener))
        #expect(listener.address.peer(of: server) == "process \(getpid()) of user \(getuid())")
        withExtendedLifetime(client) {}
    }

    @Test func descriptorsNeitherBlockNorLeak() throws {
        let listener = try SocketListener(.path(folder + "/s"))
        let client = try listener.address.connect()
        let server = try #require(accepted(listener))
        for descriptor in [listener.descriptor, client.descriptor, server] {
            #expect(fcntl(descriptor.raw, F_GETFL) & O_NONBLOCK != 0)
            #expect(fcntl(descriptor.raw, F_GETFD) & FD_CLOEXEC != 0)
        }
    }
}

@Suite struct SocketClientTests {
    @Test func nobodyListeningMayPass() throws {
        let path = NSTemporaryDirectory() + "/none-" + UUID().uuidString.prefix(8)
        let error = try #require(throws: SocketAddress.Failure.self) { try SocketAddress.path(path).connect() }
        #expect(error.text == "cannot connect to '\(path)': No such file or directory")
        #expect(error.mayPass)
    }

    /// A client that tries an ephemeral port again and again gets connected to itself one day.
    @Test func aConnectionToItselfIsRefused() throws {
        let raw = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let descriptor = Descriptor(raw)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(raw, address, length) == 0 && getsockname(raw, address, &length) == 0
                    && connect(raw, address, length) == 0
            }
        }
        try #require(result)
        let port = UInt16(bigEndian: address.sin_port)
        let error = try #require(throws: SocketAddress.Failure.self) {
            try SocketAddress.port(port).finishConnecting(descriptor)
        }
        #expect(error.text == "cannot connect to 127.0.0.1:\(port): Connection refused")
    }

    @Test func aPeerThatIsGoneIsAnErrorAndNoSignal() throws {
        let path = NSTemporaryDirectory() + "/gone-" + UUID().uuidString.prefix(8)
        var listener: SocketListener? = try SocketListener(.path(path))
        let client = try SocketAddress.path(path).connect()
        #expect(listener != nil)
        listener = nil
        #expect([1, 2, 3].withUnsafeBytes { client.descriptor.send($0) } == .failed(EPIPE))
    }
}
