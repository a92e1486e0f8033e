import CBackplane

/// One interrupt input of a controller, with everybody who drives it. The line is high while any driver asserts it.
struct InterruptLine {
    var endpoint: Endpoint
    var provider: PluginInstance
    var target: bp_peer
    /// What each driver asserts.
    var drivers: [Bool] = []
    var drivingInstances: [PluginInstance] = []
    var assertions = 0

    var level: Bool { assertions > 0 }
}

/// All lines of a machine, and the edges that wait to be delivered: in order, none lost. Guarded by the machine's lock.
struct InterruptLines {
    private(set) var lines: [InterruptLine] = []
    private var edges: [(line: Int32, level: Bool)] = []
    private var next = 0

    /// The line of an endpoint and the new driver's place on it.
    mutating func attach(
        _ endpoint: Endpoint, provider: PluginInstance, target: bp_peer, driver: PluginInstance
    ) -> (line: Int, driver: Int) {
        let line: Int
        if let known = lines.firstIndex(where: { $0.endpoint == endpoint }) {
            line = known
        } else {
            line = lines.count
            lines.append(InterruptLine(endpoint: endpoint, provider: provider, target: target))
        }
        lines[line].drivers.append(false)
        lines[line].drivingInstances.append(driver)
        return (line, lines[line].drivers.count - 1)
    }

    /// Without a copy of the line: this is on the path of every pin.
    func isDriver(_ instance: PluginInstance, _ line: Int, _ driver: Int) -> Bool {
        lines.indices.contains(line) && lines[line].drivingInstances.indices.contains(driver)
            && lines[line].drivingInstances[driver] === instance
    }

    /// Lines of a provider that came back on line: levels that are high are delivered again.
    mutating func repeatLevels(of provider: PluginInstance) -> Bool {
        for line in lines.indices where lines[line].provider === provider && lines[line].level {
            edges.append((Int32(truncatingIfNeeded: line), true))
        }
        return next < edges.count
    }

    /// True where an edge now waits.
    mutating func set(_ line: Int, driver: Int, _ level: Bool) -> Bool {
        guard lines[line].drivers[driver] != level else { return false }
        lines[line].drivers[driver] = level
        let before = lines[line].level
        lines[line].assertions += level ? 1 : -1
        guard lines[line].level != before else { return false }
        edges.append((Int32(truncatingIfNeeded: line), !before))
        return true
    }

    /// An instance leaves or goes offline: what it asserts drops.
    mutating func dropAll(of instance: PluginInstance) -> Bool {
        var hasEdge = false
        for line in lines.indices {
            for driver in lines[line].drivers.indices where lines[line].drivingInstances[driver] === instance {
                if set(line, driver: driver, false) { hasEdge = true }
            }
        }
        return hasEdge
    }

    mutating func takeEdge() -> (line: Int, level: Bool)? {
        guard next < edges.count else {
            edges.removeAll(keepingCapacity: true)
            next = 0
            return nil
        }
        defer { next += 1 }
        return (Int(edges[next].line), edges[next].level)
    }
}
