import IOAPIC

extension IOAPIC {
    mutating func select(_ register: UInt8) { _ = write(0x00, UInt32(register)) }

    mutating func register(_ register: UInt8) -> UInt32? {
        select(register)
        return read(0x10)
    }

    mutating func set(_ register: UInt8, _ value: UInt32) {
        select(register)
        _ = write(0x10, value)
    }

    mutating func takeMessages() -> [Message] {
        var messages: [Message] = []
        while let message = takeMessage() { messages.append(message) }
        return messages
    }
}
