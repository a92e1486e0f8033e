import LocalAPIC
import PluginKit

/// The chip's state as fields.
extension LocalAPIC.State {
    func put(to state: StateWriter) {
        state.put("base", base.rawValue)
        state.put("id", id)
        state.put("tpr", taskPriority)
        state.put("ldr", logicalID)
        state.put("dfr", destinationFormat)
        state.put("svr", spurious.rawValue)
        put(requests, "irr-", to: state)
        put(inService, "isr-", to: state)
        put(levelTriggered, "tmr-", to: state)
        state.put("esr", errors.rawValue)
        state.put("new-errors", newErrors.rawValue)
        state.put("icr-low", commandLow)
        state.put("icr-high", commandHigh)
        state.put("lvt-timer", timer.rawValue)
        state.put("lvt-thermal", thermal.rawValue)
        state.put("lvt-performance", performance.rawValue)
        state.put("lvt-lint0", lint0.rawValue)
        state.put("lvt-lint1", lint1.rawValue)
        state.put("lvt-error", error.rawValue)
        state.put("divide", divide)
        state.put("initial-count", initialCount)
        state.put("count", count)
        state.put("since", since)
        state.put("deadline", deadline)
        state.put("deadline-time", deadlineTime ?? .max)
        state.put("lines", lines)
        state.put("external", externalLatched)
    }

    init(from state: StateReader) throws(PluginError) {
        self.init()
        base = LocalAPIC.Base(rawValue: try state.get("base"))
        id = try state.get("id")
        taskPriority = try state.get("tpr")
        logicalID = try state.get("ldr")
        destinationFormat = try state.get("dfr")
        spurious = LocalAPIC.Spurious(rawValue: try state.get("svr"))
        requests = try vectors("irr-", from: state)
        inService = try vectors("isr-", from: state)
        levelTriggered = try vectors("tmr-", from: state)
        errors = LocalAPIC.Errors(rawValue: try state.get("esr"))
        newErrors = LocalAPIC.Errors(rawValue: try state.get("new-errors"))
        commandLow = try state.get("icr-low")
        commandHigh = try state.get("icr-high")
        timer = LocalAPIC.LocalVector(rawValue: try state.get("lvt-timer"))
        thermal = LocalAPIC.LocalVector(rawValue: try state.get("lvt-thermal"))
        performance = LocalAPIC.LocalVector(rawValue: try state.get("lvt-performance"))
        lint0 = LocalAPIC.LocalVector(rawValue: try state.get("lvt-lint0"))
        lint1 = LocalAPIC.LocalVector(rawValue: try state.get("lvt-lint1"))
        error = LocalAPIC.LocalVector(rawValue: try state.get("lvt-error"))
        divide = try state.get("divide")
        initialCount = try state.get("initial-count")
        count = try state.get("count")
        since = try state.get("since")
        deadline = try state.get("deadline")
        let time: UInt64 = try state.get("deadline-time")
        deadlineTime = time == .max ? nil : time
        lines = try state.get("lines")
        externalLatched = try state.get("external")
    }

    private func put(_ set: VectorSet, _ prefix: StaticString, to state: StateWriter) {
        let state = state.prefixed(prefix)
        state.put("0", set.words.0)
        state.put("1", set.words.1)
        state.put("2", set.words.2)
        state.put("3", set.words.3)
    }

    private func vectors(_ prefix: StaticString, from state: StateReader) throws(PluginError) -> VectorSet {
        let state = state.prefixed(prefix)
        var set = VectorSet()
        set.words = (try state.get("0"), try state.get("1"), try state.get("2"), try state.get("3"))
        return set
    }
}
