import PCIConfiguration
import PluginKit

/// The table of MSI-X, and the host's vectors that follow it.
struct FunctionMessages {
    private(set) var table: MSIXTable
    private let vectors: [MessageVector]

    init(_ count: Int, _ service: MessageService) throws(PluginError) {
        table = MSIXTable(vectors: count)
        var vectors: [MessageVector] = []
        for _ in 0..<count { vectors.append(try service.vector()) }
        self.vectors = vectors
    }

    // MARK: Guest side

    /// Offsets in the memory of both: the table, and from `pendingOffset` on what is pending.
    func read(_ offset: UInt64, width: Int, pendingOffset: UInt64) -> UInt64 {
        guard offset >= pendingOffset else { return table.read(offset, width: UInt32(width)) }
        return withPending.readPending(offset - pendingOffset, width: UInt32(width))
    }

    mutating func write(
        _ offset: UInt64, width: Int, _ value: UInt64, _ control: ConfigurationSpace.MSIXControl?
    ) {
        table.write(offset, width: UInt32(width), value)
        program(control)
    }

    /// The host's vectors are as the table and the function's control say: what was pending goes out where it is masked no more.
    func program(_ control: ConfigurationSpace.MSIXControl?) {
        let isOff = control?.contains(.enable) != true || control?.contains(.functionMask) == true
        for (number, vector) in vectors.enumerated() {
            guard let message = table.message(number) else { continue }
            vector.program(
                address: message.address, data: UInt64(message.data), isMasked: isOff || table.isMasked(number))
        }
    }

    // MARK: The device's side

    func raise(_ number: UInt16) { if Int(number) < vectors.count { vectors[Int(number)].raise() } }

    mutating func reset() {
        table.reset()
        program(nil)
        for vector in vectors { vector.forget() }
    }

    // MARK: State

    /// The table with what is pending, which the host knows.
    private var withPending: MSIXTable {
        var table = table
        for (number, vector) in vectors.enumerated() { table.setPending(number, vector.isPending) }
        return table
    }

    var state: MSIXTable.State { withPending.state }

    /// False, and nothing is changed: no such state.
    mutating func restore(_ saved: MSIXTable.State, _ control: ConfigurationSpace.MSIXControl?) -> Bool {
        guard table.restore(saved) else { return false }
        program(nil)
        for (number, vector) in vectors.enumerated() {
            vector.forget()
            if table.isPending(number) { vector.raise() }
            table.setPending(number, false)
        }
        program(control)
        return true
    }
}
