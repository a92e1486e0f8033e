/// Who of several local APICs gets a message.
/// Source: SDM volume 3, "Determining IPI Destination" and "Lowest Priority Delivery Mode".
public enum InterruptBus {
    /// Hands `message` to all whom it names, or to one of them where lowest priority is asked: the one with the lowest
    /// processor priority, of equal ones the first after `sender`. `sender` is the index of the chip that sent it, nil
    /// for a device's.
    public static func deliver(
        _ message: InterruptMessage, from sender: Int?, to chips: inout [LocalAPIC], at now: UInt64
    ) {
        let receivers = chips.indices.filter { chips[$0].accepts(message.destination, isSender: $0 == sender) }
        guard message.delivery == .lowestPriority else {
            for index in receivers { chips[index].receive(message, at: now) }
            return
        }
        let able = receivers.filter { chips[$0].isSoftwareEnabled }
        let first = sender.map { $0 &+ 1 } ?? 0
        let ordered = able.filter { $0 >= first } + able.filter { $0 < first }
        guard let lowest = ordered.min(by: { chips[$0].processorPriority < chips[$1].processorPriority }) else {
            return
        }
        chips[lowest].receive(message, at: now)
    }
}
