import Machine

/// The tour's entry: first every step, then the prompt. An exception ends the step or the command that caused it.
@c(tour_main)
func main(magic: UInt32, information: UInt32) -> Never {
    Console.open()
    var visit = Visit(tour: Tour(boot: BootInfo(magic: magic, address: information)))
    var step = Tour.Step(rawValue: 0)
    while let current = step {
        visit.guarded(.step(current))
        step = Tour.Step(rawValue: current.rawValue + 1)
    }
    visit.prompt()
}

/// A piece of work that an exception may end.
private enum Work {
    case step(Tour.Step)
    case command(Line)
}

private struct Visit {
    var tour: Tour
    var work = Work.step(.banner)

    init(tour: Tour) { self.tour = tour }

    mutating func prompt() -> Never {
        say("tour: ready, try help")
        if tour.consoleLine != nil { Console.uart?.enable(.received) }
        if Console.uart == nil { cpu_halt_forever() }
        var editor = LineEditor(clock: tour.clock, hasInterrupt: tour.consoleLine != nil)
        while true { guarded(.command(editor.read())) }
    }

    /// Interrupts are off after an exception, and without a PIC they always are.
    mutating func guarded(_ work: Work) {
        self.work = work
        // SAFETY: the guard calls its function before it returns, and nothing keeps the pointer.
        let wasEnded = unsafe withUnsafeMutablePointer(to: &self) { visit in
            unsafe tour_guard({ unsafe $0!.assumingMemoryBound(to: Visit.self).pointee.perform() }, visit)
        }
        guard wasEnded != 0 else { return }
        say("returned after the exception")
        if tour.pic != .absent { cpu_enable_interrupts() }
    }

    mutating func perform() {
        switch work {
        case .step(let step): tour.run(step)
        case .command(let line): tour.run(line)
        }
    }
}
