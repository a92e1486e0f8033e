import SplitMix
import Testing

@testable import Core

/// Who answers guest-physical addresses: against a model that asks every layer for every address.
struct AddressMapTests {
    private static let top: UInt64 = 63
    private static nonisolated(unsafe) let memory = UnsafeMutableRawPointer(bitPattern: 0x10_0000)!

    private func claim(_ number: Int, _ range: ClosedRange<UInt64>, _ priority: Int64, _ directions: String = "rw")
        -> AddressLayer
    {
        AddressLayer(
            first: range.lowerBound, last: range.upperBound, priority: priority, sequence: UInt64(number),
            reads: directions.contains("r"), writes: directions.contains("w"), target: .claim(number))
    }

    /// Memory whose first byte is the 1000th of `number`.
    private func memory(_ number: Int, _ range: ClosedRange<UInt64>, _ priority: Int64, _ directions: String = "rw")
        -> AddressLayer
    {
        var layer = claim(number, range, priority, directions)
        layer.target = .memory(
            Backing(host: Self.memory + number * 1000, address: UInt64(number) * 1000), .main)
        return layer
    }

    @Test func theHighestPriorityAnswersAndOfEqualOnesTheEarlier() {
        var map = AddressMap()
        let layers = [claim(1, 0...15, 0), claim(2, 8...23, 5), claim(3, 10...11, 5), claim(4, 20...31, 0)]
        _ = map.update(0...Self.top, layers)
        #expect(
            map.segments.map { [$0.first, $0.last] } == [[0, 7], [8, 23], [24, 31]])
        #expect(map.segments.map(\.read) == [.claim(1), .claim(2), .claim(4)])
    }

    /// PAM: ROM is read while the RAM below it is written.
    @Test func aDirectionThatALayerDoesNotAnswerFallsThrough() {
        var map = AddressMap()
        _ = map.update(0...Self.top, [memory(1, 0...31, 0), memory(2, 8...15, 1, "r")])
        #expect(map.memory(at: 9, isWrite: false)?.backing.address == 2001)
        #expect(map.memory(at: 9, isWrite: true)?.backing.address == 1009)
        #expect(map.memory(at: 9, isWrite: true)?.last == 15)
        #expect(map.memory(at: 16, isWrite: false)?.backing.address == 1016)
        #expect(map.find(40) == nil)
    }

    @Test func whatIsNotThereAnswersNothing() {
        var map = AddressMap()
        _ = map.update(0...UInt64.max, [claim(1, 8...15, 0, "w"), claim(2, (UInt64.max - 7)...UInt64.max, 0)])
        #expect(map.find(8)?.read == .nothing)
        #expect(map.find(8)?.write == .claim(1))
        #expect(map.find(.max)?.read == .claim(2))
        #expect(map.find(16) == nil)
    }

    private struct Answer: Equatable {
        var read: AddressSegment.Target
        var write: AddressSegment.Target
    }

    private func model(_ layers: [AddressLayer], _ address: UInt64) -> Answer {
        func target(_ layers: [AddressLayer]) -> AddressSegment.Target {
            let strongest = layers.filter { $0.first <= address && address <= $0.last }
                .max { ($0.priority, $1.sequence) < ($1.priority, $0.sequence) }
            return strongest.map { $0.target.advanced(by: address - $0.first) } ?? .nothing
        }
        return Answer(read: target(layers.filter(\.reads)), write: target(layers.filter(\.writes)))
    }

    private func answer(_ map: AddressMap, _ address: UInt64) -> Answer {
        let part = map.find(address).map { $0.part(address, $0.last) }
        return Answer(read: part?.read ?? .nothing, write: part?.write ?? .nothing)
    }

    /// Layers come, go and turn; after each change the map says what the layers say, and named exactly the addresses that changed.
    @Test(arguments: 1...20) func changesByPiecesAreThoseOfTheWhole(seed: Int) {
        var random = SplitMix64(seed: UInt64(seed))
        func next(_ limit: UInt64) -> UInt64 { random.next() % limit }
        var layers: [AddressLayer] = []
        var map = AddressMap()
        for step in 1...300 {
            let first = next(60)
            let range = first...min(Self.top, first + next(24))
            let directions = ["rw", "rw", "r", "w"][Int(next(4))]
            var changedRange = range
            switch next(3) {
            case 0 where !layers.isEmpty:
                let gone = layers.remove(at: Int(next(UInt64(layers.count))))
                changedRange = gone.first...gone.last
            case 1 where !layers.isEmpty:
                let index = Int(next(UInt64(layers.count)))
                layers[index].reads.toggle()
                changedRange = layers[index].first...layers[index].last
            default:
                let priority = Int64(next(4))
                layers.append(
                    next(2) == 0
                        ? claim(step, range, priority, directions) : memory(step, range, priority, directions))
            }
            let before = (0...Self.top).map { answer(map, $0) }
            let touching = layers.filter { $0.first <= changedRange.upperBound && $0.last >= changedRange.lowerBound }
            let changed = map.update(changedRange, touching)
            for address in 0...Self.top {
                let now = answer(map, address)
                #expect(now == model(layers, address), "seed \(seed), step \(step), address \(address)")
                #expect(
                    changed.contains { $0.contains(address) } == (now != before[Int(address)]),
                    "seed \(seed), step \(step), address \(address)")
            }
            let edges = map.segments.flatMap { [$0.first, $0.last] }
            #expect(edges == edges.sorted(), "seed \(seed), step \(step)")
        }
    }

    // MARK: What engines get

    @Test func enginesGetWholePagesByDirection() {
        var map = AddressMap()
        let rom = memory(2, 0x3000...0x3fff, 1, "r")
        _ = map.update(0...0xffff, [memory(1, 0...0x7fff, 0), rom, claim(3, 0x5800...0x58ff, 1)])
        let pieces = map.mappedMemory(0...0xffff, watched: [0x1000...0x1fff])
        #expect(pieces.map(\.address) == [0, 0x1000, 0x2000, 0x3000, 0x4000, 0x6000])
        #expect(pieces.map(\.length) == [0x1000, 0x1000, 0x1000, 0x1000, 0x1000, 0x2000])
        // The page of ROM is read from one memory and written to another; the watched page's writes come out.
        #expect(pieces[3].read?.address == 2000 && pieces[3].write?.address == 1000 + 0x3000)
        #expect(pieces[1].read != nil && pieces[1].write == nil)
        #expect(map.mappedMemory(0x3000...0x3fff, watched: []).map(\.address) == [0x3000])
    }

    @Test(arguments: 1...10) func aReplacedRangeHoldsWhatIsNewAndNothingElse(seed: Int) {
        var random = SplitMix64(seed: UInt64(seed))
        func next(_ limit: UInt64) -> UInt64 { random.next() % limit }
        var pieces: [MappedMemory] = []
        var model = [UInt64?](repeating: nil, count: 32)
        for step in 0..<400 {
            let first = next(31)
            let last = min(31, first + next(8))
            var new: [MappedMemory] = []
            for page in first...last { model[Int(page)] = nil }
            if next(3) != 0 {
                // Sometimes what continues its neighbours.
                let base = next(2) == 0 ? 0x100_0000 : UInt64(step) * 0x10_0000
                let backing = Backing(host: Self.memory + Int(base + first * 4096), address: base + first * 4096)
                new = [
                    MappedMemory(address: first * 4096, length: (last - first + 1) * 4096, read: backing, write: nil)
                ]
                for page in first...last { model[Int(page)] = base + page * 4096 }
            }
            MappedMemory.replace((first * 4096)...(last * 4096 + 4095), in: &pieces, by: new)
            for page in 0..<32 as Range<UInt64> {
                let found = pieces.filter { $0.contains(page * 4096) }
                #expect(found.count <= 1, "seed \(seed), step \(step)")
                let place = found.first.flatMap { $0.read?.advanced(by: page * 4096 - $0.address).address }
                #expect(place == model[Int(page)], "seed \(seed), step \(step), page \(page)")
            }
            for (piece, following) in zip(pieces, pieces.dropFirst()) {
                let isContinued =
                    piece.address + piece.length == following.address
                    && piece.read?.advanced(by: piece.length) == following.read
                #expect(!isContinued, "seed \(seed), step \(step): two pieces that are one")
            }
        }
    }
}

struct PageFlagsTests {
    @Test func aFlagIsOfOnePageAndFirstSetByOne() throws {
        let flags = try #require(PageFlags())
        #expect(flags.set(PageFlags.code, 7))
        #expect(!flags.set(PageFlags.code, 7))
        #expect(flags.has(PageFlags.code, 7) && !flags.has(PageFlags.code, 6) && !flags.has(PageFlags.code, 8))
        var seen: [UInt64] = []
        flags.forEach(PageFlags.code, from: 0x6fff, length: 2) { seen.append($0) }
        #expect(seen == [7])
        flags.forEach(PageFlags.code, from: 0x6000, length: 0x1000) { seen.append($0) }
        #expect(seen == [7])
        flags.clear(PageFlags.code, 7)
        #expect(!flags.has(PageFlags.code, 7))
    }

    @Test func pagesBeyondTheTableHaveNoFlags() throws {
        let flags = try #require(PageFlags())
        #expect(!flags.set(PageFlags.code, PageFlags.pageCount))
        #expect(!flags.has(PageFlags.code, .max))
        flags.clear(PageFlags.code, .max)
        flags.forEach(PageFlags.code, from: .max - 100, length: .max) { _ in Issue.record("no such page") }
    }

    @Test func releasedPagesAreGivenOutAgainWithoutTheirFlags() throws {
        let flags = try #require(PageFlags())
        let (first, second) = (try #require(flags.reserve(16)), try #require(flags.reserve(16)))
        #expect(second == first + 16)
        _ = flags.set(PageFlags.code, first)
        flags.release(first, 16)
        #expect(flags.reserve(17) == second + 16)
        #expect(flags.reserve(16) == first)
        #expect(!flags.has(PageFlags.code, first))
        #expect(flags.reserve(PageFlags.pageCount) == nil)
    }
}
