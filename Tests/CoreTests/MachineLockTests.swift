import CHost
import Synchronization
import Testing

@testable import Core

/// Who has a machine's lock is on record for just as long: wires, services and crash reports decide by that.
@Suite struct MachineLockTests {
    /// SAFETY: freed in deinit, after all threads have ended.
    private final class Host: @unchecked Sendable {
        let machine = UnsafeMutablePointer<ch_machine>.allocate(capacity: 1)
        init() { machine.initialize(to: ch_machine()) }
        deinit { machine.deallocate() }
        var lock: MachineLock { MachineLock(of: machine) }
    }

    @Test func theHolderIsOnRecordForAsLongAsItHasTheLock() {
        let host = Host()
        #expect(host.lock.holder == 0 && !host.lock.isMine)
        let answer = host.lock.held { held in
            #expect(host.lock.holder == ch_thread_id() && host.lock.isMine)
            held.dropped { #expect(host.lock.holder == 0) }
            #expect(host.lock.isMine)
            return 5
        }
        #expect(answer == 5)
        #expect(host.lock.holder == 0)
    }

    @Test func whatIsThrownGivesTheLockBack() {
        let host = Host()
        #expect(throws: MachineError.self) {
            try host.lock.held { (_) throws(MachineError) in throw MachineError("no") }
        }
        #expect(host.lock.holder == 0)
        #expect(host.lock.held { _ in true })
    }

    /// One waits in `dropped` until the other, which has the lock meanwhile, has changed what is looked at.
    @Test func anotherThreadHasTheLockWhileItIsDropped() throws {
        let host = Host()
        let word = Flag()
        let others = Mutex<[Int32]>([])
        host.lock.held { held in
            let started = try? spawnThread("other") {
                let own = ch_thread_id()
                host.lock.held { _ in others.withLock { $0 += [own, host.lock.holder] } }
                word.set()
            }
            #expect(started != nil)
            let isEmpty = others.withLock { $0.isEmpty }
            #expect(isEmpty)
            held.dropped { _ = word.wait { true } }
            #expect(host.lock.isMine)
        }
        let seen = others.withLock { $0 }
        #expect(seen.count == 2 && seen[0] == seen[1] && seen[0] != ch_thread_id())
    }
}
