import Testing
import Virtio

/// Virtio 1.2, 2.7, with its own numbers.
@Suite struct VirtQueueTests {
    // MARK: Buffers

    @Test func chainIsReadThroughItsDescriptors() throws {
        let driver = Driver()
        driver.descriptor(3, 0x4000, 16, flags: 1, next: 5)
        driver.descriptor(5, 0x5000, 100, flags: 1 | 2, next: 0)
        driver.descriptor(0, 0x6000, 1, flags: 2)
        driver.offer(3)
        let chain = try #require(try driver.take())
        #expect(chain.head == 3)
        #expect(chain.readable == [.init(address: 0x4000, length: 16)])
        #expect(chain.writable == [.init(address: 0x5000, length: 100), .init(address: 0x6000, length: 1)])
        #expect(chain.readableLength == 16 && chain.writableLength == 101)
        #expect(try driver.take() == nil)
    }

    @Test func tableOfIndirectDescriptorsTakesTheirPlace() throws {
        let driver = Driver()
        // The write flag of a descriptor that refers to a table says nothing (2.7.5.3.2).
        driver.descriptor(1, 0x4000, 10, flags: 1, next: 2)
        driver.descriptor(2, 0x7000, 32, flags: 4 | 2)
        driver.descriptor(0, 0x8000, 20, flags: 1, next: 1, table: 0x7000)
        driver.descriptor(1, 0x9000, 30, flags: 2, table: 0x7000)
        driver.offer(1)
        let chain = try #require(try driver.take())
        #expect(chain.readable.map(\.address) == [0x4000, 0x8000] && chain.writable.map(\.address) == [0x9000])
    }

    @Test func ringsWrapAtTheirSizeAndIndicesAt65536() throws {
        let driver = Driver()
        for index in 0..<8 as Range<UInt64> { driver.descriptor(index, 0x4000, 1) }
        for round in 0..<70_000 {
            driver.offer(UInt16(round % 8))
            let chain = try #require(try driver.take())
            #expect(Int(chain.head) == round % 8)
            try driver.put(chain.head, 7)
            _ = try driver.publish()
        }
        #expect(driver.usedIndex == 70_000 % 65_536)
        let last = Driver.used + 4 + UInt64(69_999 % 8) * 8
        #expect(driver.ram.number(last, 4) == 69_999 % 8 && driver.ram.number(last + 4, 4) == 7)
    }

    @Test func bufferThatIsGivenBackComesAgain() throws {
        let driver = Driver()
        driver.descriptor(2, 0x4000, 1)
        driver.offer(2)
        let first = try driver.take()
        driver.queue.giveBack()
        #expect(try driver.take() == first)
    }

    @Test func bytesAreReadAndWrittenAcrossExtents() throws {
        let driver = Driver()
        for index in 0..<64 as Range<UInt64> { driver.ram.put(index, 1, at: 0x4000 + index) }
        driver.descriptor(0, 0x4000, 3, flags: 1, next: 1)
        driver.descriptor(1, 0x4010, 4, flags: 1, next: 2)
        driver.descriptor(2, 0x5000, 2, flags: 3, next: 3)
        driver.descriptor(3, 0x5100, 5, flags: 2)
        driver.offer(0)
        let chain = try #require(try driver.take())
        #expect(try chain.read(from: 1, count: 4, driver.ram) == [1, 2, 16, 17])
        #expect(try chain.read(from: 5, count: 100, driver.ram) == [18, 19])
        #expect(try chain.write([9, 8, 7, 6], at: 1, driver.ram) == 4)
        #expect(driver.ram.number(0x5001, 1) == 9 && driver.ram.number(0x5100, 4) == 0x00060708)
        #expect(try chain.write([UInt8](repeating: 1, count: 100), driver.ram) == 7)
    }

    // MARK: Who is told

    @Test func withoutEventIndexFlagsSayWhetherTheDriverIsTold() throws {
        let driver = Driver([.version1])
        driver.descriptor(0, 0x4000, 1)
        for (flags, isTold) in [(0, true), (1, false)] as [(UInt64, Bool)] {
            driver.ram.put(flags, 2, at: Driver.available)
            driver.offer(0)
            try driver.put(try #require(try driver.take()).head, 0)
            #expect(try driver.publish() == isTold)
        }
    }

    @Test func withEventIndexTheDriverIsToldWhenItsEntryIsUsed() throws {
        let driver = Driver()
        driver.descriptor(0, 0x4000, 1)
        func use(_ count: Int) throws -> Bool {
            for _ in 0..<count {
                driver.offer(0)
                try driver.put(try #require(try driver.take()).head, 0)
            }
            return try driver.publish()
        }
        driver.setUsedEvent(0)
        #expect(try use(1))
        driver.setUsedEvent(3)
        #expect(try !use(2), "entries 1 and 2")
        #expect(try use(1), "entry 3")
        driver.setUsedEvent(5)
        #expect(try use(4), "entries 4 to 7")
        #expect(try !use(0), "nothing new")
        #expect(driver.ram.fences > 0, "the event is read only after the index can be seen")
    }

    @Test func deviceAsksToBeToldWhenTheQueueIsEmpty() throws {
        let driver = Driver()
        driver.descriptor(0, 0x4000, 1)
        driver.offer(0, 0)
        #expect(try driver.take() != nil && driver.availableEvent == 0)
        #expect(try driver.take() != nil && driver.take() == nil)
        #expect(driver.availableEvent == 2)
    }

    // MARK: What breaks the rules

    private func expect(_ violation: VirtQueue.Violation, _ prepare: (Driver) -> Void) {
        let driver = Driver()
        prepare(driver)
        #expect(throws: violation) { try driver.take() }
    }

    @Test func indexThatJumpsIsAViolation() {
        expect(.indexJumped) { $0.setIndex(9) }
        expect(.indexJumped) { $0.setIndex(65535) }
    }

    @Test func descriptorBeyondTheTableIsAViolation() {
        expect(.noSuchDescriptor) { $0.offer(8) }
        expect(.noSuchDescriptor) {
            $0.descriptor(0, 0x4000, 1, flags: 1, next: 8)
            $0.offer(0)
        }
    }

    @Test func loopIsAViolation() {
        expect(.endlessChain) {
            $0.descriptor(0, 0x4000, 1, flags: 1, next: 1)
            $0.descriptor(1, 0x4000, 1, flags: 1, next: 0)
            $0.offer(0)
        }
        expect(.endlessChain) {
            $0.descriptor(0, 0x7000, 32, flags: 4)
            $0.descriptor(0, 0x4000, 1, flags: 1, next: 0, table: 0x7000)
            $0.offer(0)
        }
    }

    @Test func indirectTablesThatCannotBeAreViolations() {
        for (length, flags) in [(32, 4 | 1), (0, 4), (24, 4), (1025 * 16, 4)] as [(UInt64, UInt64)] {
            expect(.badIndirect) {
                $0.descriptor(0, 0x7000, length, flags: flags)
                $0.offer(0)
            }
        }
        expect(.badIndirect) {
            $0.descriptor(0, 0x7000, 16, flags: 4)
            $0.descriptor(0, 0x7100, 16, flags: 4, table: 0x7000)
            $0.offer(0)
        }
        let driver = Driver([.version1])
        driver.descriptor(0, 0x7000, 16, flags: 4)
        driver.offer(0)
        #expect(throws: VirtQueue.Violation.badIndirect, "not negotiated") { try driver.take() }
    }

    @Test func readableBehindWritableIsAViolation() {
        expect(.badOrder) {
            $0.descriptor(0, 0x4000, 1, flags: 1 | 2, next: 1)
            $0.descriptor(1, 0x4000, 1)
            $0.offer(0)
        }
    }

    @Test func chainOf4GiBIsAViolation() {
        expect(.tooLong) {
            $0.descriptor(0, 0, 0xFFFF_FFFF, flags: 1, next: 1)
            $0.descriptor(1, 0, 1, flags: 2)
            $0.offer(0)
        }
    }

    @Test func ringsAndTablesBeyondMemoryAreViolations() {
        for (descriptors, available, used) in [
            (0x10_0000, 0x2000, 0x3000), (0x1000, 0xFFFE, 0x3000), (0x1000, 0x2000, 0x10_0000),
        ] as [(UInt64, UInt64, UInt64)] {
            let driver = Driver()
            let isEnabled = driver.queue.enable(
                .init(entries: 8, descriptors: descriptors, driver: available, device: used), most: 8)
            #expect(isEnabled)
            driver.setIndex(used >= 0x10_0000 ? 0 : 1)
            #expect(throws: VirtQueue.Violation.notMemory) { try driver.take() }
        }
        expect(.notMemory) {
            $0.descriptor(0, 0xFFFF_FFFF_FFFF_FFF0, 64, flags: 4)
            $0.offer(0)
        }
    }

    @Test func layoutsThatNoDriverMayMakeAreRefused() {
        for (entries, descriptors, available, used) in [
            (0, 0, 0, 0), (3, 0, 0, 0), (512, 0, 0, 0), (8, 8, 0, 0), (8, 0, 1, 0), (8, 0, 0, 2),
            (8, .max - 15, 0, 0), (8, 0, .max - 1, 0), (8, 0, 0, .max - 3),
        ] as [(UInt16, UInt64, UInt64, UInt64)] {
            var queue = VirtQueue()
            let isEnabled = queue.enable(
                .init(entries: entries, descriptors: descriptors, driver: available, device: used), most: 256)
            #expect(!isEnabled)
            #expect(!queue.isEnabled)
        }
    }
}
