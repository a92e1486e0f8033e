// One debugger's conversation: packets in, packets out. Source: "Debugging with GDB", appendix E.

import Core

/// What a session debugs. Calls may wait for the vCPUs to come to rest.
package protocol GDBTarget: AnyObject {
    var cpuCount: Int { get }
    func registers(_ cpu: Int) throws(MachineError) -> DebugRegisters
    /// nil: stays.
    func setRegisters(_ machine: DebugRegisters, _ cpu: Int) throws(MachineError)
    /// Up to the first byte that cannot be read; throws where that is the first one.
    func readMemory(_ address: UInt64, _ count: Int, _ cpu: Int) throws(MachineError) -> [UInt8]
    /// All or nothing.
    func writeMemory(_ address: UInt64, _ bytes: [UInt8], _ cpu: Int) throws(MachineError)
    func insert(_ point: DebugPoint) throws(MachineError)
    /// False: there was none.
    func remove(_ point: DebugPoint) throws(MachineError) -> Bool
    /// `step`: this vCPU runs one instruction.
    func resume(step: Int?) throws(MachineError)
    func interrupt()
    func phase() -> DebugPhase
}

package struct GDBSession {
    /// What the connection is to do, in order.
    package enum Reaction: Equatable {
        case write([UInt8])
        /// `answerMonitor` says what came of it; nothing more is taken before.
        case monitor(String)
        /// The debugger leaves; the guest goes on.
        case detach
        /// The machine ends.
        case kill
        /// The connection ends.
        case close
    }

    /// Error numbers: gdb shows them and makes nothing of them; these are Linux's.
    private enum Code { static let fault: UInt8 = 14, busy: UInt8 = 16, invalid: UInt8 = 22 }

    private let target: any GDBTarget
    private let registers: GDBRegisterSet
    private let description: [UInt8]
    private var acknowledges = true
    private var lastPacket: [UInt8] = []
    /// A stop is owed.
    package private(set) var isRunning = false
    /// Of `g` and `m`, and of `s`; from 0.
    private var cpu = 0
    private var stepCPU: Int?
    private var knows = (swbreak: false, hwbreak: false)

    package init(_ architecture: GDBArchitecture, target: any GDBTarget) {
        self.target = target
        registers = GDBRegisterSet(architecture)
        description = Array(registers.description.utf8)
    }

    // MARK: In

    mutating func take(_ item: GDBFramer.Item) -> [Reaction] {
        switch item {
        case .packet(let data):
            let received: [Reaction] = acknowledges ? [.write([UInt8(ascii: "+")])] : []
            return received + answer(data)
        case .damaged: return acknowledges ? [.write([UInt8(ascii: "-")])] : [.close]
        case .again: return acknowledges && !lastPacket.isEmpty ? [.write(lastPacket)] : []
        case .acknowledged: return []
        case .interrupt:
            // A stopped guest has said so already.
            if isRunning { target.interrupt() }
            return []
        case .garbage: return [.close]
        }
    }

    /// The guest has stopped, or the machine has ended.
    package mutating func notice(_ phase: DebugPhase) -> [Reaction] {
        switch phase {
        case .running: return []
        case .stopped(let stop):
            guard isRunning else { return [] }
            isRunning = false
            cpu = stop.vcpu
            return [send(text: stopReply(stop))]
        case .ended(let end):
            // Who asks nothing and is told would take it for the answer to the next question.
            guard isRunning else { return [.close] }
            isRunning = false
            return [send(text: "W" + hex(UInt64(UInt8(truncatingIfNeeded: end.status)), digits: 2)), .close]
        }
    }

    package mutating func answerMonitor(_ text: String) -> [Reaction] {
        let bytes = Array(text.utf8)
        // In console packets, each of which a debugger can hold.
        let room = GDBFramer.packetLimit / 2 - 16
        var reactions: [Reaction] = []
        for first in stride(from: 0, to: bytes.count, by: room) {
            let piece = Hex.bytes(of: bytes[first..<min(first + room, bytes.count)])
            reactions.append(send([UInt8(ascii: "O")] + piece))
        }
        return reactions + [send(text: "OK")]
    }

    // MARK: Out

    private mutating func send(_ data: [UInt8]) -> Reaction {
        lastPacket = GDBFramer.frame(data)
        return .write(lastPacket)
    }

    private mutating func send(text: String) -> Reaction { send(Array(text.utf8)) }

    private mutating func error(_ code: UInt8) -> [Reaction] { [send(text: "E" + hex(UInt64(code), digits: 2))] }

    private func hex(_ value: UInt64, digits: Int = 1) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }

    /// `body` answers the text, nil for OK.
    private mutating func reply(
        _ code: UInt8, _ body: (inout GDBSession) throws(MachineError) -> [UInt8]?
    ) -> [Reaction] {
        do throws(MachineError) {
            let data = try body(&self)
            return [send(data ?? Array("OK".utf8))]
        } catch {
            return self.error(code)
        }
    }

    private func stopReply(_ stop: DebugStop) -> String {
        let thread = "thread:\(hex(UInt64(stop.vcpu + 1)));"
        switch stop.reason {
        case .interrupted: return "T02" + thread
        case .step: return "T05" + thread
        case .reached(let point):
            let place = hex(point.address) + ";"
            switch point.kind {
            case .software: return "T05" + thread + (knows.swbreak ? "swbreak:;" : "")
            case .hardware: return "T05" + thread + (knows.hwbreak ? "hwbreak:;" : "")
            case .write: return "T05" + thread + "watch:" + place
            case .read: return "T05" + thread + "rwatch:" + place
            case .access: return "T05" + thread + "awatch:" + place
            }
        }
    }

    // MARK: Packets

    private mutating func answer(_ data: [UInt8]) -> [Reaction] {
        guard let first = data.first else { return [send([])] }
        let rest = data.dropFirst()
        switch first {
        case UInt8(ascii: "D"): return [send(text: "OK"), .detach, .close]
        case UInt8(ascii: "k"): return [.kill, .close]
        case UInt8(ascii: "v"): return verbose(data)
        default: break
        }
        if isRunning { return error(Code.busy) }
        switch first {
        case UInt8(ascii: "?"): return whyStopped()
        case UInt8(ascii: "g"):
            return reply(Code.fault) { (me) throws(MachineError) in
                Hex.bytes(of: me.registers.read(try me.target.registers(me.cpu)))
            }
        case UInt8(ascii: "G"): return writeAll(rest)
        case UInt8(ascii: "p"): return readOne(rest)
        case UInt8(ascii: "P"): return writeOne(rest)
        case UInt8(ascii: "m"): return readMemory(rest)
        case UInt8(ascii: "M"): return writeMemory(rest) { Hex.data($0) }
        case UInt8(ascii: "X"): return writeMemory(rest) { Array($0) }
        case UInt8(ascii: "c"): return resume(rest, hasSignal: false, isStep: false)
        case UInt8(ascii: "C"): return resume(rest, hasSignal: true, isStep: false)
        case UInt8(ascii: "s"): return resume(rest, hasSignal: false, isStep: true)
        case UInt8(ascii: "S"): return resume(rest, hasSignal: true, isStep: true)
        case UInt8(ascii: "Z"): return setPoint(rest, isInsert: true)
        case UInt8(ascii: "z"): return setPoint(rest, isInsert: false)
        case UInt8(ascii: "H"): return choose(rest)
        case UInt8(ascii: "T"): return thread(rest) == nil ? error(Code.invalid) : [send(text: "OK")]
        case UInt8(ascii: "q"), UInt8(ascii: "Q"): return query(String(decoding: data, as: UTF8.self))
        default: return [send([])]
        }
    }

    private mutating func whyStopped() -> [Reaction] {
        switch target.phase() {
        case .stopped(let stop):
            cpu = stop.vcpu
            return [send(text: stopReply(stop))]
        case .ended(let end): return [send(text: "W" + hex(UInt64(UInt8(truncatingIfNeeded: end.status)), digits: 2))]
        // Does not happen: who asks has the guest held.
        case .running: return error(Code.busy)
        }
    }

    // MARK: Registers

    private mutating func writeAll(_ text: ArraySlice<UInt8>) -> [Reaction] {
        guard let bytes = Hex.data(text), bytes.count == registers.length else { return error(Code.invalid) }
        return reply(Code.invalid) { (me) throws(MachineError) in
            var state = try me.target.registers(me.cpu)
            _ = me.registers.write(bytes, to: &state)
            try me.target.setRegisters(state, me.cpu)
            return nil
        }
    }

    private func register(_ text: some Collection<UInt8>) -> GDBRegister? {
        guard let number = Hex.number(text), number < UInt64(registers.registers.count) else { return nil }
        return registers.registers[Int(number)]
    }

    private mutating func readOne(_ text: ArraySlice<UInt8>) -> [Reaction] {
        guard let register = register(text) else { return error(Code.invalid) }
        return reply(Code.fault) { (me) throws(MachineError) in
            Hex.bytes(of: register.get(try me.target.registers(me.cpu)))
        }
    }

    private mutating func writeOne(_ text: ArraySlice<UInt8>) -> [Reaction] {
        let parts = text.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let register = register(parts[0]), let bytes = Hex.data(parts[1]),
            bytes.count == register.bytes
        else { return error(Code.invalid) }
        return reply(Code.invalid) { (me) throws(MachineError) in
            var state = try me.target.registers(me.cpu)
            guard register.set(&state, bytes) else { throw MachineError("'\(register.name)' cannot be written") }
            try me.target.setRegisters(state, me.cpu)
            return nil
        }
    }

    // MARK: Memory

    /// "ADDRESS,LENGTH", both hexadecimal.
    private func range(_ text: ArraySlice<UInt8>) -> (address: UInt64, length: UInt64)? {
        let parts = text.split(separator: UInt8(ascii: ","), maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let address = Hex.number(parts[0]), let length = Hex.number(parts[1]) else {
            return nil
        }
        return (address, length)
    }

    private mutating func readMemory(_ text: ArraySlice<UInt8>) -> [Reaction] {
        guard let (address, length) = range(text) else { return error(Code.invalid) }
        let count = Int(min(length, UInt64(GDBFramer.packetLimit / 2 - 16)))
        return reply(Code.fault) { (me) throws(MachineError) in
            Hex.bytes(of: try me.target.readMemory(address, count, me.cpu))
        }
    }

    private mutating func writeMemory(
        _ text: ArraySlice<UInt8>, _ decode: (ArraySlice<UInt8>) -> [UInt8]?
    ) -> [Reaction] {
        guard let colon = text.firstIndex(of: UInt8(ascii: ":")), let (address, length) = range(text[..<colon]),
            let bytes = decode(text[(colon + 1)...]), UInt64(bytes.count) == length
        else { return error(Code.invalid) }
        return reply(Code.fault) { (me) throws(MachineError) in
            if !bytes.isEmpty { try me.target.writeMemory(address, bytes, me.cpu) }
            return nil
        }
    }

    // MARK: Running

    /// "[SIGNAL][;][ADDRESS]": signals mean nothing to a machine.
    private mutating func resume(_ text: ArraySlice<UInt8>, hasSignal: Bool, isStep: Bool) -> [Reaction] {
        var place = text
        if hasSignal {
            let semicolon = text.firstIndex(of: UInt8(ascii: ";"))
            guard Hex.number(text[..<(semicolon ?? text.endIndex)]) != nil else { return error(Code.invalid) }
            place = semicolon.map { text[($0 + 1)...] } ?? []
        }
        do throws(MachineError) {
            if !place.isEmpty {
                guard let address = Hex.number(place) else { return error(Code.invalid) }
                var state = try target.registers(cpu)
                state.machine.rip = address
                try target.setRegisters(state, cpu)
            }
        } catch {
            return self.error(Code.invalid)
        }
        return resume(step: isStep ? stepCPU ?? cpu : nil)
    }

    private mutating func resume(step: Int?) -> [Reaction] {
        do throws(MachineError) {
            try target.resume(step: step)
        } catch {
            if case .ended = target.phase() {
                isRunning = true
                return notice(target.phase())
            }
            return self.error(Code.fault)
        }
        isRunning = true
        return []
    }

    private mutating func verbose(_ data: [UInt8]) -> [Reaction] {
        let text = String(decoding: data, as: UTF8.self)
        if text == "vKill" || text.hasPrefix("vKill;") { return [send(text: "OK"), .kill, .close] }
        if isRunning { return error(Code.busy) }
        if text == "vCont?" { return [send(text: "vCont;c;C;s;S")] }
        guard text.hasPrefix("vCont;") else { return [send([])] }
        var isSettled = [Bool](repeating: false, count: target.cpuCount)
        var step: Int?
        for action in text.dropFirst(6).split(separator: ";", omittingEmptySubsequences: false) {
            let parts = action.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard let verb = parts.first?.first, "cCsS".contains(verb) else { return error(Code.invalid) }
            let signal = parts[0].dropFirst()
            guard verb.isUppercase ? Hex.number(signal.utf8) != nil : signal.isEmpty else { return error(Code.invalid) }
            guard let chosen = parts.count == 2 ? thread(ArraySlice(parts[1].utf8)) : .all else {
                return error(Code.invalid)
            }
            for index in isSettled.indices where !isSettled[index] && chosen.contains(index) {
                isSettled[index] = true
                // One instruction of one vCPU: of several the one that was looked at.
                if verb == "s" || verb == "S" { step = step == nil || index == cpu ? index : step }
            }
        }
        return resume(step: step)
    }

    // MARK: Threads, which are vCPUs

    private enum Chosen {
        case all, any, one(Int)

        func contains(_ index: Int) -> Bool { if case .one(let own) = self { own == index } else { true } }
    }

    /// nil: there is none.
    private func thread(_ text: ArraySlice<UInt8>) -> Chosen? {
        if text.elementsEqual("-1".utf8) { return .all }
        guard let number = Hex.number(text) else { return nil }
        if number == 0 { return .any }
        return number <= UInt64(target.cpuCount) ? .one(Int(number) - 1) : nil
    }

    private mutating func choose(_ text: ArraySlice<UInt8>) -> [Reaction] {
        guard let operation = text.first, let chosen = thread(text.dropFirst()) else { return error(Code.invalid) }
        switch operation {
        case UInt8(ascii: "g"): if case .one(let index) = chosen { cpu = index }
        case UInt8(ascii: "c"): if case .one(let index) = chosen { stepCPU = index } else { stepCPU = nil }
        default: return error(Code.invalid)
        }
        return [send(text: "OK")]
    }

    // MARK: Breakpoints

    /// "TYPE,ADDRESS,KIND"
    private mutating func setPoint(_ text: ArraySlice<UInt8>, isInsert: Bool) -> [Reaction] {
        let kinds: [UInt8: DebugPoint.Kind] = [
            UInt8(ascii: "0"): .software, UInt8(ascii: "1"): .hardware, UInt8(ascii: "2"): .write,
            UInt8(ascii: "3"): .read, UInt8(ascii: "4"): .access,
        ]
        guard let type = text.first, let kind = kinds[type] else { return [send([])] }
        guard text.dropFirst().first == UInt8(ascii: ","), let (address, length) = range(text.dropFirst(2)) else {
            return error(Code.invalid)
        }
        let isCode = kind == .software || kind == .hardware
        let point = DebugPoint(kind: kind, address: address, length: isCode ? 1 : length)
        do throws(MachineError) {
            if isInsert {
                try target.insert(point)
            } else {
                _ = try target.remove(point)
            }
            return [send(text: "OK")]
        } catch {
            // The text behind "E." is for whoever shows it: gdb 13 does not, of breakpoints.
            return [send(text: "E.\(error.description)")]
        }
    }

    // MARK: Queries

    private mutating func query(_ text: String) -> [Reaction] {
        let name = text.prefix { !":,;".contains($0) }
        switch name {
        case "qSupported":
            let features = text.dropFirst(name.count + 1).split(separator: ";")
            knows = (features.contains("swbreak+"), features.contains("hwbreak+"))
            let limit = hex(UInt64(GDBFramer.packetLimit))
            return [
                send(
                    text: "PacketSize=\(limit);QStartNoAckMode+;qXfer:features:read+;swbreak+;hwbreak+;vContSupported+")
            ]
        case "QStartNoAckMode":
            let reaction = send(text: "OK")
            acknowledges = false
            return [reaction]
        case "qXfer": return transfer(text)
        case "qRcmd":
            guard let bytes = Hex.data(text.utf8.dropFirst(6)) else { return error(Code.invalid) }
            return [.monitor(String(decoding: bytes, as: UTF8.self))]
        case "qC": return [send(text: "QC" + hex(UInt64(cpu + 1)))]
        case "qfThreadInfo":
            return [send(text: "m" + (1...target.cpuCount).map { hex(UInt64($0)) }.joined(separator: ","))]
        case "qsThreadInfo": return [send(text: "l")]
        case "qThreadExtraInfo":
            guard case .one(let index)? = thread(ArraySlice(text.utf8.dropFirst(17))) else {
                return error(Code.invalid)
            }
            return [send(Hex.bytes(of: "vCPU \(index)".utf8))]
        // The machine was there before the debugger: at its end gdb leaves and does not kill.
        case "qAttached": return [send(text: "1")]
        default: return [send([])]
        }
    }

    /// "qXfer:features:read:target.xml:OFFSET,LENGTH"
    private mutating func transfer(_ text: String) -> [Reaction] {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 5, parts[1] == "features", parts[2] == "read" else { return [send([])] }
        // E00: no such annex.
        guard parts[3] == "target.xml" else { return error(0) }
        guard let (offset, length) = range(ArraySlice(parts[4].utf8)) else { return error(Code.invalid) }
        let first = Int(min(offset, UInt64(description.count)))
        // Escapes take more room.
        let count = Int(min(length, UInt64(GDBFramer.packetLimit / 2), UInt64(description.count - first)))
        let isLast = first + count == description.count
        return [send([UInt8(ascii: isLast ? "l" : "m")] + description[first..<first + count])]
    }
}
