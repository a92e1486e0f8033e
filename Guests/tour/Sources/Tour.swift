import Machine

/// The walk through the machine. Each device is probed before it is used; one that is missing is named and left out.
/// Up to the prompt nothing that differs from run to run is printed, but for the line that begins with "rtc: ".
struct Tour {
    let boot: BootInfo?
    private(set) var pic = PIC.absent
    private(set) var timerLine: UInt8?
    private(set) var consoleLine: UInt8?
    private(set) var clock = Clock(source: .loops)
    private var hasPIT = false
    private var hasRTC = false
    private var clockLine: UInt8?
    private var disks = InlineArray<4, Disk?>(repeating: nil)

    init(boot: BootInfo?) { self.boot = boot }

    /// In this order. Lines are discovered while the timer is silent; it ticks from `ticks` on.
    enum Step: UInt8 {
        case banner, interrupts, timer, uart, secondUART, lfsr, realTimeClock, channels, ticks, time, periods, disks
    }

    mutating func run(_ step: Step) {
        switch step {
        case .banner: showBanner()
        case .interrupts: setUpInterrupts()
        case .timer: findTimer()
        case .uart: examineConsole()
        case .secondUART: examineSecondUART()
        case .lfsr: examineLFSR()
        case .realTimeClock: findRealTimeClock()
        case .channels: findDisks()
        case .ticks: countTicks()
        case .time: showTime()
        case .periods: countPeriods()
        case .disks: testDisks()
        }
    }

    // MARK: Boot information

    private func showBanner() {
        say("\nBackplane tour")
        guard let boot else { return say("boot: not by a multiboot loader") }
        show("memory: ")
        if let upper = boot.upperKiB { show("\(upper / 1024) MiB upper memory") } else { show("size unknown") }
        if let count = boot.regionCount { say(", \(count) map entries") } else { say(", no map") }
        if boot.hasCommandLine {
            show("command line: \"")
            boot.showCommandLine()
            say("\"")
        } else {
            say("command line: none")
        }
    }

    // MARK: Interrupts and timer

    /// Without a PIC interrupts stay off: nothing could deliver one, and everything is polled.
    private mutating func setUpInterrupts() {
        pic = PIC.probe()
        pic.program()
        switch pic {
        case .absent: return say("pic: absent, everything is polled")
        case .masterOnly: say("pic: master only, vectors 0x20-0x27")
        case .pair: say("pic: master and slave, vectors 0x20-0x2f")
        }
        cpu_enable_interrupts()
    }

    private mutating func findTimer() {
        let model = PIT.probe()
        hasPIT = model != .absent
        guard hasPIT else {
            clock = .withoutTimer()
            say("pit: absent")
            if case .refresh = clock.source {
                return say("waits: by the refresh toggle")
            }
            return say("waits: by counting loops")
        }
        say(model == .i8254 ? "pit: 8254" : "pit: 8253")
        clock.source = .counter(period: 65_536)
        timerLine = lineFired(by: { PIT.fireOnce() }, calm: {})
        timerLine.map { Service.timer.attach(to: $0) }
        say("pit: \(irq: timerLine)")
    }

    private func lineFired(by stimulate: () -> Void, calm: () -> Void) -> UInt8? {
        pic == .absent ? nil : discoverLine(clock, stimulate: stimulate, calm: calm)
    }

    /// One tick is waited for by other means first: HLT with a silent timer would never end.
    private mutating func countTicks() {
        guard hasPIT else { return }
        PIT.startTicking()
        clock.source = .counter(period: PIT.clocksPerTick)
        guard timerLine != nil else {
            _ = clock.wait(milliseconds: 10 * PIT.millisecondsPerTick) { false }
            return say("ticks: no interrupts, polled the counter for 10 periods")
        }
        let start = Shared.ticks.value
        guard clock.wait(milliseconds: 100, until: { Shared.ticks.value != start }) else {
            timerLine = nil
            return say("ticks: no interrupts in the periodic mode")
        }
        clock.source = .ticks
        let first = Shared.ticks.value
        _ = clock.wait(milliseconds: 1000) { Shared.ticks.value &- first >= 10 }
        say("ticks: counted 10")
    }

    // MARK: Serial ports

    private mutating func examineConsole() {
        guard let uart = Console.uart else { return }
        let isFirst = uart.base == UART.com1.base
        if !isFirst { say("com1: absent") }
        let name: StaticString = isFirst ? "com1" : "com2"
        describe(name, uart)
        consoleLine = line(of: uart)
        consoleLine.map { Service.console.attach(to: $0) }
        say("\(name): \(irq: consoleLine)")
    }

    /// Loopback would swallow what is still on its way out, so the console is emptied first.
    private func describe(_ name: StaticString, _ uart: UART) {
        Console.flush()
        let isLooped = uart.modemLoopbackWorks()
        show("\(name): \(uart.model), \(uart.speed) baud")
        show(uart.is8N1 ? ", 8N1" : ", not 8N1")
        say(isLooped ? ", modem loopback ok" : ", modem loopback failed")
    }

    private func line(of uart: UART) -> UInt8? {
        lineFired(
            by: {
                _ = clock.wait(milliseconds: 100) { uart.isIdle }
                uart.enable(.transmitterEmpty)
            },
            calm: {
                uart.enable(.none)
                _ = uart.pendingInterrupt
            })
    }

    private func examineSecondUART() {
        let uart = UART.com2
        guard Shared.consoleBase.value != UInt32(uart.base), uart.isPresent else { return }
        uart.setUp()
        describe("com2", uart)
        let line = line(of: uart)
        line.map { Service.com2.attach(to: $0) }
        say("com2: \(irq: line)")
        say(uart.dataLoopbackWorks(clock) ? "com2: data loopback ok" : "com2: data loopback failed")
        say(send("hello from com2\r\n", on: uart) ? "com2: sent a line" : "com2: the transmitter is stuck")
    }

    private func send(_ text: StaticString, on uart: UART) -> Bool {
        for index in 0..<text.utf8CodeUnitCount {
            guard clock.wait(milliseconds: 1000, until: { uart.isReady }) else { return false }
            // SAFETY: the index is below the length of a string in the image.
            uart.send(unsafe text.utf8Start[index])
        }
        return true
    }

    // MARK: Pseudo-random numbers

    /// A port where nothing is reads 0xFF each time.
    private func examineLFSR() {
        let port = Port(0x1E0)
        let first = port.read()
        var isFloating = first == 0xFF
        var varies = false
        for _ in 0..<16 {
            let value = port.read()
            if value != 0xFF { isFloating = false }
            if value != first { varies = true }
        }
        if isFloating { return }
        say(varies ? "lfsr: values vary" : "lfsr: stuck at one value")
    }

    // MARK: Real-time clock

    private mutating func findRealTimeClock() {
        hasRTC = RTC.isPresent
        guard hasRTC else { return say("rtc: absent") }
        clockLine = lineFired(by: { RTC.startPeriodic() }, calm: { RTC.stopPeriodic() })
        clockLine.map { Service.clock.attach(to: $0) }
        say("cmos: \(irq: clockLine)")
    }

    private func showTime() {
        guard hasRTC else { return }
        guard let time = RTC.time(clock) else { return say("rtc: the update never ends") }
        show("rtc: \(time.century, digits: 2)\(time.year, digits: 2)-\(time.month, digits: 2)-\(time.day, digits: 2)")
        say(" \(time.hours, digits: 2):\(time.minutes, digits: 2):\(time.seconds, digits: 2)")
    }

    /// 1024 Hz must be faster than the timer's 100 Hz. That is all that is said of either rate: a measured number would
    /// differ from run to run.
    private func countPeriods() {
        guard hasRTC else { return }
        if clockLine == nil {
            RTC.startPeriodic()
            let isPeriodic = clock.wait(milliseconds: 100) { RTC.acknowledge() }
            RTC.stopPeriodic()
            return say(isPeriodic ? "cmos: periodic flag set, polled" : "cmos: no periodic flag")
        }
        let start = Shared.periods.value
        RTC.startPeriodic()
        let isDone = clock.wait(milliseconds: 1000) { Shared.periods.value &- start >= 64 }
        let isFaster = periodsAreShorterThanTicks()
        RTC.stopPeriodic()
        guard isDone else { return say("cmos: 64 periodic interrupts do not come in a second") }
        say("cmos: counted 64 periodic interrupts")
        if case .ticks = clock.source {
            say(isFaster ? "rates: 1024 Hz is faster than 100 Hz" : "rates: 1024 Hz is not faster than 100 Hz")
        }
    }

    /// The chips are asked, not counted by their interrupts: a host that lets the guest run seldom brings one of each, each
    /// time that it does. One period that is seen from its begin to its end within a tick is enough.
    private func periodsAreShorterThanTicks() -> Bool {
        guard case .ticks = clock.source else { return false }
        let counter = Clock(source: .counter(period: PIT.clocksPerTick))
        cpu_disable_interrupts()
        defer { cpu_enable_interrupts() }
        for _ in 0..<64 where counter.wait(milliseconds: 100, until: { RTC.acknowledge() }) {
            if counter.wait(milliseconds: PIT.millisecondsPerTick, until: { RTC.acknowledge() }) { return true }
        }
        return false
    }

    // MARK: Disks

    private mutating func findDisks() {
        var count = 0
        find(on: .primary, &count)
        find(on: .secondary, &count)
        if count == 0 { say("disk: absent") }
    }

    private mutating func find(on unopened: ATAChannel, _ count: inout Int) {
        var channel = unopened
        guard channel.open(clock) else { return }
        for drive in 0..<UInt8(2) {
            let kind = channel.kind(of: drive)
            guard kind != .absent else { continue }
            let command: ATAChannel.Command = kind == .packet ? .identifyPacket : .identify
            guard answers(channel, drive, command) else { continue }
            if channel.line == nil { findLine(of: &channel, drive, command) }
            disks[count] = Disk(channel: channel, drive: drive, isPacketDevice: kind == .packet)
            count += 1
        }
    }

    private func answers(_ channel: ATAChannel, _ drive: UInt8, _ command: ATAChannel.Command) -> Bool {
        channel.startIdentify(drive, command)
        do throws(ATAError) {
            try channel.finishIdentify(clock)
            return true
        } catch {
            return false
        }
    }

    private func findLine(of channel: inout ATAChannel, _ drive: UInt8, _ command: ATAChannel.Command) {
        let found = channel
        channel.line = lineFired(
            by: { found.startIdentify(drive, command) },
            calm: {
                do throws(ATAError) { try found.finishIdentify(clock) } catch {}
            })
        channel.line.map { (channel.index == 0 ? Service.ata0 : .ata1).attach(to: $0) }
        say("ata\(channel.index): \(irq: channel.line)")
    }

    func testDisks() {
        for index in 0..<4 {
            if let disk = disks[index] { disk.run(clock) }
        }
    }
}
