// The flash by JESD68.01 and the commands of Intel's 28F640J3.

import Testing

@testable import CFIFlash

/// With a chip inside, so that an expectation may change it.
private final class Flash {
    private(set) var chip: CFIFlash

    init(isWritable: Bool = true) { chip = CFIFlash(size: 0x84000, blockSize: 4096, isWritable: isWritable) }

    var readsArray: Bool { chip.readsArray }
    var state: CFIFlash.State { chip.state }

    /// As the guest reads where the flash holds 0xa5.
    func read(_ offset: UInt64) -> UInt8 { chip.read(offset, array: 0xa5) }
    func write(_ offset: UInt64, _ value: UInt8) -> CFIFlash.Change { chip.write(offset, value) }
    func write(_ values: [UInt8], at offset: UInt64 = 0) -> [CFIFlash.Change] {
        values.map { chip.write(offset, $0) }.filter { $0 != .nothing }
    }
    func reset() { chip.reset() }
    func fail(erasing: Bool) { chip.fail(erasing: erasing) }
    func restore(_ state: CFIFlash.State) -> Bool { chip.restore(state) }
}

struct CFIFlashTests {
    @Test func afterResetItReadsAsWhatItHolds() {
        let chip = Flash()
        #expect(chip.readsArray && chip.read(0x1234) == 0xa5)
        #expect(chip.write([0x70]) == [] && !chip.readsArray && chip.read(0x1234) == 0x80)
        #expect(chip.write([0xff]) == [] && chip.readsArray)
        _ = chip.write([0x90])
        chip.reset()
        #expect(chip.readsArray)
    }

    @Test(arguments: [0x10, 0x40] as [UInt8]) func aByteIsProgrammed(command: UInt8) {
        let chip = Flash()
        #expect(chip.write(77, command) == .nothing)
        #expect(chip.write(77, 0x5a) == .program(77, [0x5a]))
        #expect(chip.read(0) == 0x80)
        // The next command needs no way back to the array.
        #expect(chip.write([command, 0x01], at: 78) == [.program(78, [0x01])])
    }

    @Test func aBlockIsErasedOnceItIsConfirmed() {
        let chip = Flash()
        #expect(chip.write([0x20, 0xd0], at: 0x5fff) == [.erase(0x5000)])
        #expect(chip.read(0) == 0x80)
        #expect(chip.write([0x20, 0xff], at: 0x5fff) == [])
        #expect(chip.read(0) == 0xb0, "a sequence that there is not")
        #expect(chip.write([0x50, 0x70]) == [] && chip.read(0) == 0, "cleared, as QEMU's flash says it")
    }

    @Test func aBufferIsProgrammedAsAWhole() {
        let chip = Flash()
        #expect(chip.write([0xe8], at: 0x100) == [] && chip.read(0x100) == 0x80)
        #expect(chip.write([2], at: 0x100) == [])
        for (offset, value) in [(0x100, 7), (0x101, 8), (0x102, 9)] as [(UInt64, UInt8)] {
            #expect(chip.write(offset, value) == .nothing)
        }
        #expect(chip.write(0x100, 0xd0) == .program(0x100, [7, 8, 9]))
    }

    @Test func aBufferThatIsTooLongJumpsOrLeavesTheFlashIsRefused() {
        let chip = Flash()
        #expect(chip.write([0xe8, 32]) == [] && chip.read(0) == 0xb0)
        chip.reset()
        #expect(chip.write([0xe8, 1], at: 0x83fff) == [])
        #expect(chip.write(0x83fff, 1) == .nothing && chip.read(0) == 0xb0)
        chip.reset()
        _ = chip.write([0xe8, 3, 1], at: 0)
        #expect(chip.write(2, 1) == .nothing && chip.read(0) == 0xb0)
        chip.reset()
        _ = chip.write([0xe8, 0, 5], at: 9)
        #expect(chip.write(9, 0xff) == .nothing && chip.read(0) == 0xb0, "not confirmed")
    }

    @Test func oneThatIsNotWritableSaysSo() {
        let chip = Flash(isWritable: false)
        #expect(chip.write([0x10, 0x00]) == [] && chip.read(0) == 0x92)
        chip.reset()
        #expect(chip.write([0x20, 0xd0]) == [] && chip.read(0) == 0xa2)
    }

    @Test func whatCouldNotBeKeptIsAnErrorOfTheStatus() {
        let chip = Flash()
        _ = chip.write([0x10, 0x00])
        chip.fail(erasing: false)
        #expect(chip.read(0) == 0x90)
        _ = chip.write([0x20, 0xd0])
        chip.fail(erasing: true)
        #expect(chip.read(0) == 0xa0)
    }

    @Test func theTableHasTheSizeAndTheBlocks() {
        let chip = Flash()
        _ = chip.write([0x98])
        let table = (0..<0x40 as Range<UInt64>).map { chip.read($0) }
        #expect(Array(table[0x10..<0x15]) == [0x51, 0x52, 0x59, 0x01, 0x00])
        #expect(table[0x27] == 20, "the next power of two of 0x84000")
        #expect(table[0x2a] == 5 && table[0x2c] == 1)
        // 132 blocks of 16 times 256 bytes.
        #expect(Array(table[0x2d..<0x31]) == [131, 0, 16, 0])
        #expect(Array(table[0x31..<0x36]) == [0x50, 0x52, 0x49, 0x31, 0x30])
        _ = chip.write([0x90])
        #expect(chip.read(0) == 0x89 && chip.read(1) == 0x17 && chip.read(2) == 0)
    }

    @Test func aStateThatNoFlashHasIsRefused() {
        let chip = Flash()
        var state = CFIFlash.State()
        (state.mode, state.left) = (.buffer, 0)
        #expect(!chip.restore(state))
        (state.mode, state.left, state.start) = (.buffer, Int.max, 0)
        #expect(!chip.restore(state))
        (state.left, state.start) = (4, 0x84000 - 3)
        #expect(!chip.restore(state))
        (state.mode, state.left, state.start) = (.array, 1, 0)
        #expect(!chip.restore(state))
        (state.mode, state.left, state.start, state.bytes) = (.buffer, 2, 0x84000 - 3, [1])
        #expect(chip.restore(state) && chip.state == state)
    }

    @Test func noWritesWhateverAskForMoreThanThereIs() {
        let chip = Flash()
        var seed: UInt64 = 0x1234_5678_9abc_def1
        let commands: [UInt8] = [0x10, 0x20, 0x40, 0x50, 0x60, 0x70, 0x90, 0x98, 0xd0, 0xe8, 0xff, 0x05]
        for _ in 0..<200_000 {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let offset = seed >> 60 < 12 ? seed >> 33 % 0x84000 : 0x83ff0 + seed >> 40 % 16
            let value = seed >> 20 & 3 == 0 ? UInt8(truncatingIfNeeded: seed >> 24) : commands[Int(seed >> 50 % 12)]
            switch chip.write(offset % 0x84000, value) {
            case .nothing: break
            case .program(let start, let bytes): #expect(start + UInt64(bytes.count) <= 0x84000 && !bytes.isEmpty)
            case .erase(let start): #expect(start % 4096 == 0 && start < 0x84000)
            }
            _ = chip.read(offset % 0x84000)
        }
    }
}
