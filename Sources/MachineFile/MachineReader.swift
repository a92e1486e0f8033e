import Core

/// Reads the keys of the top level that are not instances.
struct MachineReader {
    static let keys = [
        "machine", "description", "extends", "parameters", "cpu", "memory", "boot", "policies", "devices", "backends",
        "clock", "watchdog", "on-fault",
    ]
    static let memoryLimits: ClosedRange<UInt64> = 64 << 10...64 << 30
    /// What the core runs in this version.
    static let maximumCPUs: UInt64 = 1

    let root: YAMLMapping
    /// Of the machine file.
    let location: SourceLocation
    let reporter: Reporter

    struct CPU {
        var engine = EngineChoice.auto
        var translation = Translation.on
        var interpreted: Set<TranslationFamily> = []
        var engineLocation: SourceLocation?
        var interrupts: (text: String, location: SourceLocation)?
        var count = 1
    }

    // MARK: Single values

    func name() -> String {
        guard let node = root.value("machine") else {
            reporter.error(location, "the machine has no name: \"machine\" gives it")
            return ""
        }
        return MachineName.read(node, "\"machine\"", reporter) ?? ""
    }

    func checkDescription() {
        if let node = root.value("description") { _ = scalar(node, "\"description\"") }
    }

    func memory() -> UInt64 {
        guard let node = root.value("memory") else {
            reporter.error(location, "the machine has no memory: \"memory\" gives its size")
            return 0
        }
        guard let text = scalar(node, "\"memory\"")?.text else { return 0 }
        return parsed(node, "\"memory\"") { () throws(ValueError) in try MachineReader.memory(text) } ?? 0
    }

    private static func memory(_ text: String) throws(ValueError) -> UInt64 {
        let bytes = try UnitText.size(text)
        guard memoryLimits.contains(bytes) else {
            // "memory: 64"
            let isBare = text.utf8.allSatisfy { (0x30...0x39).contains($0) } && bytes <= 65_536
            let hint = isBare && bytes > 0 ? ": did you mean \(text)MiB?" : ": it is from 64KiB to 64GiB"
            throw ValueError("\(Printable.quoted(text)) (\(Value.size(bytes).text)) is out of range" + hint)
        }
        guard bytes & 0xfff == 0 else { throw ValueError("\(Printable.quoted(text)) is not a multiple of 4KiB") }
        return bytes
    }

    /// nil: not given.
    func watchdog() -> UInt64? {
        guard let node = root.value("watchdog"), let text = scalar(node, "\"watchdog\"")?.text else { return nil }
        if text == "off" { return 0 }
        return parsed(node, "\"watchdog\"") { () throws(ValueError) in try UnitText.duration(text) }
    }

    func onFault() -> FaultPolicy {
        root.value("on-fault").flatMap { Choice.read($0, "\"on-fault\"", reporter) } ?? .stop
    }

    // MARK: Mappings

    func cpu() -> CPU {
        var cpu = CPU()
        guard let keys = mapping("cpu", known: ["engine", "interrupts", "count", "translate", "interpret"]) else {
            return cpu
        }
        if let node = keys.value("engine") {
            cpu.engine = Choice.read(node, "\"engine\" of the CPU", reporter) ?? .auto
            cpu.engineLocation = node.location
        }
        if let node = keys.value("translate") {
            cpu.translation = Choice.read(node, "\"translate\" of the CPU", reporter) ?? .on
        }
        if let node = keys.value("interpret") {
            let families: [TranslationFamily] = (node.sequence ?? [node]).compactMap {
                Choice.read($0, "\"interpret\" of the CPU", reporter)
            }
            cpu.interpreted = Set(families)
        }
        if let node = keys.value("interrupts"), let text = scalar(node, "\"interrupts\" of the CPU")?.text {
            cpu.interrupts = (text, node.location)
        }
        if let node = keys.value("count"), let text = scalar(node, "\"count\" of the CPU")?.text {
            let count = parsed(node, "\"count\" of the CPU") { () throws(ValueError) in
                try MachineReader.cpuCount(text)
            }
            cpu.count = Int(clamping: count ?? 1)
        }
        return cpu
    }

    private static func cpuCount(_ text: String) throws(ValueError) -> UInt64 {
        let count = try NumberText.unsigned(text)
        guard (1...maximumCPUs).contains(count) else {
            throw ValueError("\(Printable.quoted(text)) is out of range: a machine has one CPU in this version")
        }
        return count
    }

    func clock(_ cpu: CPU) -> ClockDescription {
        var clock = ClockDescription()
        guard let keys = mapping("clock", known: ["mode", "wall-clock", "entropy-seed"]) else { return clock }
        if let node = keys.value("mode") {
            clock.mode = Choice.read(node, "\"mode\" of the clock", reporter) ?? .real
            checkMode(clock.mode, node.location, cpu)
        }
        if let node = keys.value("wall-clock"), let text = scalar(node, "\"wall-clock\"")?.text {
            clock.wallClock = parsed(node, "\"wall-clock\"") { () throws(ValueError) in try WallClock.seconds(text) }
        }
        if let node = keys.value("entropy-seed"), let text = scalar(node, "\"entropy-seed\"")?.text {
            clock.entropySeed = parsed(node, "\"entropy-seed\"") { () throws(ValueError) in
                try NumberText.unsigned(text)
            }
        }
        return clock
    }

    /// Hardware does not count instructions exactly.
    private func checkMode(_ mode: ClockDescription.Mode, _ location: SourceLocation, _ cpu: CPU) {
        guard mode == .counted, cpu.engine == .kvm else { return }
        reporter.error(
            location, "the clock counts instructions, which the engine kvm cannot: it needs the engine soft",
            notes: [.init("the engine is chosen here", at: cpu.engineLocation)])
    }

    // MARK: Shapes

    private func scalar(_ node: YAMLNode, _ what: String) -> ScalarText? {
        if node.scalar == nil, !node.isBroken {
            reporter.error(node.location, "\(what) is a single value, not \(node.kindName)")
        }
        return node.scalar
    }

    private func mapping(_ key: String, known: [String]) -> YAMLMapping? {
        guard let node = root.value(key), !node.isBroken else { return nil }
        guard let mapping = node.mapping else {
            reporter.error(
                node.location, "\"\(key)\" is a mapping of \(known.joined(separator: ", ")), not \(node.kindName)")
            return nil
        }
        Keys.check(mapping, known: known, of: "\"\(key)\"", reporter)
        return mapping
    }

    private func parsed<Result>(
        _ node: YAMLNode, _ what: String, _ parse: () throws(ValueError) -> Result
    ) -> Result? {
        do throws(ValueError) {
            return try parse()
        } catch {
            reporter.error(node.location, "\(what): \(error.message)")
            return nil
        }
    }
}
