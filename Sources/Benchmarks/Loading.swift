import CHost
import Core

/// What a plugin costs at start.
enum Loading {
    /// Microseconds.
    struct Cost: Encodable {
        var plugin: String
        /// dlopen, the one symbol, and the check of the descriptor.
        var library: Double
        /// `create` of the machine's first instance, and of one in a second machine.
        var first: Double
        var second: Double
    }

    /// Each instance of the file, by its plugin. The machine need not come to life: only `create` is of interest.
    static func run(file: String) throws -> [Cost] {
        let catalog = try BenchCatalog()
        let description = try catalog.description(ofFile: file)
        let first = try createTimes(description, catalog)
        let second = try createTimes(description, catalog)
        return zip(description.instances, zip(first, second)).map { instance, times in
            Cost(
                plugin: instance.type.name, library: microseconds(catalog.loadTimes[instance.libraryPath] ?? 0),
                first: microseconds(times.0), second: microseconds(times.1))
        }
    }

    /// Makes a machine with a stamp before and after each instance.
    private static func createTimes(_ description: MachineDescription, _ catalog: BenchCatalog) throws -> [UInt64] {
        var stamped = description
        stamped.instances = [stamp(0, catalog)]
        for (position, instance) in description.instances.enumerated() {
            stamped.instances += [instance, stamp(position + 1, catalog)]
        }
        Stamp.times.withLock { $0 = [] }
        try catalog.machine(stamped, manualClock: true, engine: nil).tearDown()
        return Stamp.times.withLock { times in zip(times, times.dropFirst()).map { $1 - $0 } }
    }

    private static func stamp(_ number: Int, _ catalog: BenchCatalog) -> InstanceDescription {
        InstanceDescription(
            id: "stamp\(number)", libraryPath: catalog.own.path,
            type: catalog.own.description.classes.first { $0.name == "stamp" }!, values: [], isGiven: [],
            location: SourceLocation(file: "stamp", line: 0, column: 0))
    }

    private static func microseconds(_ nanoseconds: UInt64) -> Double { Double(nanoseconds) / 1000 }
}
