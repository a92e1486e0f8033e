/// Numbers that were met before, so that each is logged once. Bounded, because the guest chooses the numbers.
struct Seen: Sendable {
    enum Sight { case first, again, tooMany }

    private var numbers: Set<UInt64> = []
    private let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    var isFull: Bool { numbers.count >= capacity }

    mutating func note(_ number: UInt64) -> Sight {
        if numbers.contains(number) { return .again }
        guard !isFull else { return .tooMany }
        numbers.insert(number)
        return .first
    }

    mutating func forget() { numbers.removeAll() }
}
