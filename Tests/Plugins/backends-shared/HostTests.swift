import BackendSupport
import CBackendSupport
import Glibc
import Testing

@Suite struct HostCallTests {
    @Test func failureCarriesTheHostsNumberAndWords() throws {
        let error = try #require(throws: HostCallError.self) {
            try Descriptor.open("/nowhere/at/all", O_RDONLY)
        }
        #expect(error == HostCallError(code: 2))
        #expect(error.text == "No such file or directory")
    }

    @Test func descriptorsAreCloseOnExec() throws {
        let file = try Descriptor.open("/dev/null", O_RDWR)
        #expect(fcntl(file.raw, F_GETFD) & FD_CLOEXEC != 0)
        for made in [bh_timer(), bh_temporary("/tmp"), bh_watch_opens("/dev/null"), bh_tcp_listen(0)] {
            try #require(made >= 0)
            #expect(fcntl(made, F_GETFD) & FD_CLOEXEC != 0)
            close(made)
        }
    }

    @Test func descriptorIsClosedWithItsOwner() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        let reader = Descriptor(ends[0])
        var writer: Descriptor? = Descriptor(ends[1])
        #expect(writer != nil)
        writer = nil
        var byte: UInt8 = 0
        #expect(withUnsafeMutableBytes(of: &byte) { reader.read(into: $0) } == .end)
    }

    @Test func transfersTellEndBlockAndFailureApart() {
        #expect(Descriptor.Transfer(5) == .bytes(5))
        #expect(Descriptor.Transfer(0) == .end)
        #expect(Descriptor.Transfer(-11) == .wouldBlock)
        #expect(Descriptor.Transfer(-28) == .failed(28))
    }

    @Test func temporaryFileHasNoName() throws {
        let file = try Descriptor(checking: bh_temporary("/tmp"))
        var status = stat()
        #expect(fstat(file.raw, &status) == 0)
        #expect(status.st_nlink == 0)
        #expect(status.st_mode & 0o777 == 0o600)
    }
}

@Suite struct ThreadTests {
    @Test func joinWaitsForTheEnd() throws {
        let isDone = Shared(false)
        let thread = try WorkerThread("test") {
            usleep(20000)
            isDone.use { $0 = true }
        }
        #expect(thread.join(milliseconds: 5000))
        #expect(isDone.use { $0 })
    }

    @Test func joinGivesUpOnAThreadThatHangs() throws {
        let mayEnd = Shared(false)
        let thread = try WorkerThread("test") { _ = mayEnd.wait { $0 } }
        #expect(!thread.join(milliseconds: 30))
        mayEnd.use { $0 = true }
        #expect(thread.join(milliseconds: 5000))
    }

    @Test func whatTheBodyHeldIsFreedBeforeJoinReturns() throws {
        final class Held: Sendable {
            let wasFreed: Shared<Bool>
            init(_ wasFreed: Shared<Bool>) { self.wasFreed = wasFreed }
            deinit { wasFreed.use { $0 = true } }
        }
        for _ in 0..<50 {
            let wasFreed = Shared(false)
            var held: Held? = Held(wasFreed)
            let thread = try WorkerThread("test") { [held] in _ = held?.wasFreed }
            held = nil
            #expect(thread.join(milliseconds: 5000))
            #expect(wasFreed.use { $0 })
        }
    }

    @Test func workersTakeNoSignalButTheirOwnFaults() throws {
        let mask = Shared(sigset_t())
        let thread = try WorkerThread("test") {
            mask.use { set in _ = pthread_sigmask(SIG_BLOCK, nil, &set) }
        }
        #expect(thread.join(milliseconds: 5000))
        mask.use { set in
            for signal in [SIGINT, SIGTERM, SIGPIPE, SIGALRM, SIGUSR1] { #expect(sigismember(&set, signal) == 1) }
            for signal in [SIGSEGV, SIGBUS, SIGILL, SIGFPE] { #expect(sigismember(&set, signal) == 0) }
        }
    }

    @Test func aCutLinkReachesNobody() {
        let posts = Shared(0)
        let link = HostLink(
            post: { _ in
                posts.use { $0 += 1 }
                return true
            }, log: { _, _ in posts.use { $0 += 100 } })
        #expect(link.post(1))
        link.cut()
        #expect(!link.post(1))
        link.log(.error, "x")
        #expect(posts.use { $0 } == 1)
    }
}
