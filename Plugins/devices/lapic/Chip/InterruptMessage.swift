/// What travels between I/O APICs, devices with MSI and local APICs.
/// Source: SDM volume 3, "Issuing Interprocessor Interrupts" (ICR) and "Message Signalled Interrupts".
public struct InterruptMessage: Equatable, Sendable {
    /// ICR bits 10:8, LVT bits 10:8, MSI data bits 10:8. 3 is reserved.
    public enum Delivery: UInt8, Sendable {
        case fixed = 0, lowestPriority = 1, systemManagement = 2, nonMaskable = 4, initialize = 5, startUp = 6,
            external = 7
    }

    public enum Destination: Equatable, Sendable {
        /// APIC ID; 0xFF is all.
        case physical(UInt8)
        /// Message destination address, compared with LDR as DFR says; 0xFF is all.
        case logical(UInt8)
        case allIncludingSelf
        case allExcludingSelf
    }

    public var destination: Destination
    public var delivery: Delivery
    public var vector: UInt8
    /// The source holds a line until its end: TMR, and an EOI that the I/O APIC hears.
    public var isLevelTriggered: Bool

    public init(destination: Destination, delivery: Delivery, vector: UInt8, isLevelTriggered: Bool = false) {
        self.destination = destination
        self.delivery = delivery
        self.vector = vector
        self.isLevelTriggered = isLevelTriggered
    }

    /// A device's or I/O APIC's write of 32 bits. Nil: not in 0xFEEx_xxxx, a reserved delivery mode, or the falling
    /// half of a level (data bit 14 clear), which says nothing.
    public init?(address: UInt64, data: UInt32) {
        guard address &>> 20 == 0xFEE, let delivery = Delivery(rawValue: UInt8(data &>> 8 & 7)) else { return nil }
        let isLevel = data & 1 << 15 != 0
        guard !isLevel || data & 1 << 14 != 0 else { return nil }
        let id = UInt8(truncatingIfNeeded: address &>> 12)
        // Destination mode (bit 2) counts only with the redirection hint (bit 3) in the SDM's table; I/O APICs set it
        // without, and every implementation obeys.
        destination = address & 1 << 2 != 0 ? .logical(id) : .physical(id)
        self.delivery = delivery
        vector = UInt8(truncatingIfNeeded: data)
        isLevelTriggered = isLevel
    }
}
