// What an engine that makes host code of guest code can say of it, for the monitor (`info translator`, `explain`).

public struct TranslationReport: Sendable, Equatable {
    /// Of `cpu: { translate: ... }`, and after how many runs a block is translated; or why none is.
    public var mode = ""
    /// Families of instructions that are not emitted (`cpu: { interpret: ... }`).
    public var interpreted: [String] = []
    public var decodedBlocks: UInt64 = 0
    public var translatedBlocks: UInt64 = 0
    /// Of these, those with one look into the TLB for several accesses.
    public var groupedBlocks: UInt64 = 0
    /// Loops that were translated once more, as a whole.
    public var loops: UInt64 = 0
    /// Blocks that were emitted once more together with those that follow upon them.
    public var paths: UInt64 = 0
    /// Bytes of host code now, and at most.
    public var codeBytes = 0
    public var codeRoom = 0
    public var retiredInstructions: UInt64 = 0
    /// Of these, in blocks that were entered as host code.
    public var translatedInstructions: UInt64 = 0
    /// Blocks that were dropped, by cause.
    public var drops: [Count] = []
    /// Blocks that were hot and stay interpreted, by cause.
    public var refusals: [Count] = []

    public struct Count: Sendable, Equatable {
        public var cause: String
        public var count: UInt64

        public init(_ cause: String, _ count: UInt64) { (self.cause, self.count) = (cause, count) }
    }

    public init() {}

    /// In thousandths; 0 where nothing has run.
    public var translatedShare: UInt64 {
        guard retiredInstructions > 0 else { return 0 }
        let share = min(translatedInstructions, retiredInstructions).multipliedFullWidth(by: 1000)
        return retiredInstructions.dividingFullWidth(share).quotient
    }
}

/// A decoded block, and what has become of it.
public struct ExplainedBlock: Sendable {
    /// Linear, as the address that was asked for has it.
    public var address: UInt64
    /// 16, 32 or 64.
    public var bits: Int
    /// How it is run: "host code at 0x...", "interpreted: ...".
    public var state: String
    public var instructions: [Instruction] = []
    /// Where its host code lies.
    public var hostAddress: UInt64 = 0

    public struct Instruction: Sendable {
        public var address: UInt64
        public var bytes: [UInt8]
        /// Of the code that is entered; empty: it calls the interpreter's operations, or the block is not translated.
        public var host: [UInt8]
        public var hostAddress: UInt64

        public init(address: UInt64, bytes: [UInt8], host: [UInt8] = [], hostAddress: UInt64 = 0) {
            (self.address, self.bytes, self.host, self.hostAddress) = (address, bytes, host, hostAddress)
        }
    }

    public init(address: UInt64, bits: Int, state: String) {
        (self.address, self.bits, self.state) = (address, bits, state)
    }
}

/// A CPU that decodes blocks and may translate them. Called on the vCPU's thread, or while the machine is quiet.
public protocol TranslatingCPU: CPU {
    func translationReport() -> TranslationReport
    /// The blocks that have the instruction at this linear address, in the modes that they were decoded for.
    func explain(linear address: UInt64) throws(EngineError) -> [ExplainedBlock]
}

extension Machine {
    /// nil: the engine translates nothing.
    public func translationReport(vcpu: Int) throws(MachineError) -> TranslationReport? {
        var report: TranslationReport?
        try onCPU(vcpu, "asking the translator") { (cpu) throws(EngineError) in
            report = (cpu as? any TranslatingCPU)?.translationReport()
        }
        return report
    }

    /// nil: the engine decodes nothing.
    public func explain(linear address: UInt64, vcpu: Int) throws(MachineError) -> [ExplainedBlock]? {
        var blocks: [ExplainedBlock]?
        try onCPU(vcpu, "asking the translator") { (cpu) throws(EngineError) in
            blocks = try (cpu as? any TranslatingCPU)?.explain(linear: address)
        }
        return blocks
    }
}
