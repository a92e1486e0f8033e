import Control
import Core
import Glibc
import MachineFile
import Synchronization

/// The machines of one `run`, from their descriptions to their ends.
struct GuestRunner {
    let board: GuestBoard
    let machines: [Machine]
    private let log: LogWriter

    /// Makes them all; nothing runs yet.
    init(
        _ descriptions: [MachineDescription], finder: PluginFinder, log: LogWriter, console: Console
    ) throws(MachineError) {
        board = GuestBoard(names: descriptions.map(\.name))
        self.log = log
        var made: [Machine] = []
        do throws(MachineError) {
            for (index, description) in descriptions.enumerated() {
                let logger = GuestRunner.logger(log, descriptions.count > 1 ? description.name : nil)
                let selection = EngineSelection(
                    choice: description.engine, cpuCount: description.cpuCount, translation: description.translation,
                    interpreted: description.interpreted
                ) { level, line in logger(level, nil, line) }
                var options = MachineOptions(
                    makeEngine: { (requirements) throws(MachineError) in try selection.make(requirements) },
                    log: logger, logLevel: log.level, console: console,
                    loadLibrary: { (instance) throws(LibraryError) in try finder.library(for: instance) })
                options.seat = board.seat(index)
                made.append(try Machine(description, options: options))
            }
        } catch {
            for machine in made { machine.tearDown() }
            throw error
        }
        machines = made
    }

    /// Of several machines each line names its own.
    private static func logger(_ log: LogWriter, _ machine: String?) -> MachineOptions.Log {
        guard let machine else { return log.machineLog }
        return { level, instance, text in log.write(level, instance.map { "\(machine): \($0)" } ?? machine, text) }
    }

    func tearDown() {
        for machine in machines { machine.tearDown() }
    }

    /// All of them, or none.
    func start() throws(MachineError) {
        for (index, machine) in machines.enumerated() {
            do throws(MachineError) {
                try machine.start()
            } catch {
                for started in machines[..<index] { started.stop(0, "") }
                for started in machines[..<index] { _ = started.waitForEnd() }
                for other in machines[index...] { other.tearDown() }
                throw error
            }
        }
    }

    /// Waits for all, and says of each how it ended. The process's status is the first in the files' order that is not 0.
    func waitForEnd() -> Int32 {
        if machines.count == 1 {
            let end = machines[0].waitForEnd()
            // The terminal is raw still, and may be painted.
            if !end.reason.isEmpty { log.say(end.reason) }
            return end.status
        }
        let ends = Ends(count: machines.count)
        let threads = machines.enumerated().map { index, machine in
            startThread("guest\(index + 1)") { [self] in ends.set(index, wait(for: machine)) }.thread
        }
        for (index, thread) in threads.enumerated() {
            if let thread { pthread_join(thread, nil) } else { ends.set(index, wait(for: machines[index])) }
        }
        return ends.status
    }

    private func wait(for machine: Machine) -> Int32 {
        machine.waitForEnd { end in
            let reason = end.reason.isEmpty ? "" : ": " + end.reason
            log.write(.info, machine.description.name, "has ended with status \(end.status)\(reason)")
        }.status
    }
}

/// Set by one thread for each guest.
private final class Ends: Sendable {
    private let statuses: Mutex<[Int32]>
    init(count: Int) { statuses = Mutex(Array(repeating: 0, count: count)) }
    func set(_ index: Int, _ status: Int32) { statuses.withLock { $0[index] = status } }
    var status: Int32 { statuses.withLock { $0.first { $0 != 0 } ?? 0 } }
}
