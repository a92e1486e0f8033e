/// What the `standard` policy does, one field a property; the cases are in the order of the property's choices.
public struct Settings: Equatable, Sendable {
    /// Of ports and of memory that nothing claims. Float: reads as all ones, writes are dropped.
    public enum Unclaimed: Int, Sendable { case float, log, stop }
    /// HLT with interrupts disabled: only an NMI, INIT or RESET could end it.
    public enum HaltForever: Int, Sendable { case powerOff, stop, wait }
    public enum TripleFault: Int, Sendable { case reset, stop, powerOff }
    /// Ignore and log: reads as zero, writes are dropped. Fault: #GP, as the CPU does.
    public enum UnhandledMSR: Int, Sendable { case fault, ignore, log }
    public enum PowerRequest: Int, Sendable { case powerOff, ignore }

    public var unclaimedPort = Unclaimed.float
    public var unclaimedMemory = Unclaimed.float
    public var haltForever = HaltForever.powerOff
    public var tripleFault = TripleFault.reset
    public var unhandledMSR = UnhandledMSR.fault
    public var powerRequest = PowerRequest.powerOff
    /// Resets within `resetWindow` that are let pass; 0: any number.
    public var resetLimit = 0
    /// Nanoseconds of virtual time.
    public var resetWindow: UInt64 = 10_000_000_000

    public init() {}
}
