import CBareKVM
import Core
import EngineKVM
import Foundation

/// The round trip of a port exit: Backplane's engine and dispatch against a bare loop around KVM_RUN, in alternating
/// slices of one process, so that what else the host does meets both.
struct Exits {
    /// With a `mark` device; its loader loads the guest.
    var machine: String
    /// The image that the bare loop runs: the same bytes. It writes to the mark, then many times to another port, for
    /// ever.
    var guest: String

    /// Nanoseconds of each slice, by side.
    func run(slices: Int, _ sides: Set<String>) throws -> [String: [UInt64]] {
        guard sides.isSubset(of: ["kvm", "bare"]) else { throw UsageError(text: "sides are 'kvm' and 'bare'") }
        let backplane = sides.contains("kvm") ? try BackplaneSide(machine) : nil
        let bare = sides.contains("bare") ? try BareSide(guest) : nil
        var times: [String: [UInt64]] = [:]
        for _ in 0..<slices {
            if let backplane { times["kvm", default: []].append(backplane.runSlice()) }
            if let bare { times["bare", default: []].append(try bare.runSlice()) }
        }
        // The machine is not stopped: callgrind does not survive the signal that would call its vCPU back.
        return times
    }
}

private struct BackplaneSide {
    let machine: Machine

    /// The guest stands at its first mark, and has run one slice, which also builds page tables.
    init(_ file: String) throws {
        let catalog = try BenchCatalog()
        machine = try catalog.machine(try catalog.description(ofFile: file), engine: BackplaneSide.makeKVM)
        try machine.start()
        Turns.shared.waitForGuest()
        _ = runSlice()
    }

    func runSlice() -> UInt64 { Turns.shared.runSlice() }

    private static func makeKVM(_ requirements: EngineRequirements) throws(MachineError) -> any Engine {
        do throws(EngineError) { return try KVMEngine(cpuCount: 1) } catch { throw MachineError("\(error)", status: 6) }
    }
}

private final class BareSide {
    private static let mark: UInt16 = 0xe9
    private var machine = bare_kvm()

    init(_ file: String) throws {
        let image = try Data(contentsOf: URL(fileURLWithPath: file))
        let result = image.withUnsafeBytes { bare_kvm_open(&machine, $0.baseAddress, $0.count) }
        guard result == 0 else { throw UsageError(text: "the bare loop: \(String(cString: strerror(-result)))") }
        _ = try runSlice()
        _ = try runSlice()
    }

    deinit { bare_kvm_close(&machine) }

    func runSlice() throws -> UInt64 {
        let clock = ContinuousClock()
        let begin = clock.now
        let exits = bare_kvm_run(&machine, BareSide.mark)
        guard exits > 0 else { throw UsageError(text: "the bare loop: \(String(cString: strerror(Int32(-exits))))") }
        return UInt64((clock.now - begin) / .nanoseconds(1))
    }
}
