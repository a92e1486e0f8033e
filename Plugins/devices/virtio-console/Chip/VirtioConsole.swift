public import Virtio

/// A virtio console: its configuration space, its queues and its control messages. `VirtioConsolePlugin.swift` connects its ports to streams.
///
/// Source: virtio 1.2, 5.3. Not modelled: ports that come and go.
public struct VirtioConsole: Sendable {
    /// 5.3.3
    public enum Feature {
        public static let size = VirtioFeatures(rawValue: 1 << 0)
        public static let multiport = VirtioFeatures(rawValue: 1 << 1)
        public static let emergencyWrite = VirtioFeatures(rawValue: 1 << 2)
    }

    /// What a queue is for (5.3.2).
    public enum Queue: Equatable, Sendable {
        case receive(port: Int), transmit(port: Int), controlReceive, controlTransmit
    }

    /// The console, port 0, among them.
    public static let mostPorts = 16
    private static let configSize: UInt32 = 12

    /// What is to be told of a port, in this order.
    public struct Notices: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let added = Self(rawValue: 1 << 0)
        public static let isConsole = Self(rawValue: 1 << 1)
        public static let size = Self(rawValue: 1 << 2)
        public static let name = Self(rawValue: 1 << 3)
        public static let connection = Self(rawValue: 1 << 4)
    }

    /// Names of the ports behind the console.
    private let names: [String]

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values; size and connections are the host's, and no reset changes them

    public struct Port: Equatable, Sendable {
        /// The driver has it.
        public var isReady = false
        /// A program of the guest's has it open.
        public var isOpen = false
        public var notices: Notices = []
        /// Somebody is at the host's end.
        public var isConnected = false
        public init() {}
    }
    public private(set) var ports: [Port]
    public private(set) var columns: UInt16 = 0
    public private(set) var rows: UInt16 = 0

    /// - Parameter names: of the ports behind the console, at most 15; none: there is the console alone, and no control queue.
    public init(names: [String]) {
        self.names = Array(names.prefix(Self.mostPorts - 1))
        ports = [Port](repeating: Port(), count: self.names.count + 1)
    }

    public mutating func reset() {
        for index in ports.indices {
            (ports[index].isReady, ports[index].isOpen, ports[index].notices) = (false, false, [])
        }
    }

    /// False, and nothing has changed: there are not as many ports.
    public mutating func restore(_ ports: [Port], columns: UInt16, rows: UInt16) -> Bool {
        guard ports.count == self.ports.count else { return false }
        (self.ports, self.columns, self.rows) = (ports, columns, rows)
        return true
    }

    public var hasManyPorts: Bool { !names.isEmpty }

    public var identity: VirtioIdentity {
        VirtioIdentity(
            type: 3,
            features: [.ofQueues, Feature.size, Feature.emergencyWrite, hasManyPorts ? Feature.multiport : []],
            queues: hasManyPorts ? 2 + 2 * ports.count : 2, entries: 64, configSize: Self.configSize)
    }

    /// nil: of no use to this driver.
    public func queue(_ number: Int, _ features: VirtioFeatures) -> Queue? {
        switch number {
        case 0: return .receive(port: 0)
        case 1: return .transmit(port: 0)
        case _ where !features.contains(Feature.multiport): return nil
        case 2: return .controlReceive
        case 3: return .controlTransmit
        default:
            let port = number / 2 - 1
            guard ports.indices.contains(port) else { return nil }
            return number % 2 == 0 ? .receive(port: port) : .transmit(port: port)
        }
    }

    public static func receiveQueue(of port: Int) -> Int { port == 0 ? 0 : 2 * port + 2 }
    public static func transmitQueue(of port: Int) -> Int { receiveQueue(of: port) + 1 }
    public static let controlReceive = 2

    // MARK: Configuration space (5.3.4): columns, rows, number of ports, and emerg_wr, which reads as 0

    public func readConfig(_ offset: UInt32, width: UInt8) -> UInt32 {
        let words = [UInt32(columns) | UInt32(rows) << 16, UInt32(ports.count), 0]
        let bytes = words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
        return VirtioConfiguration.read(bytes, offset, width: width)
    }

    /// The character that a write gives out at once, before there is any driver (5.3.4); nil: none.
    public static func emergencyCharacter(_ offset: UInt32, _ value: UInt32) -> UInt8? {
        offset == 8 ? UInt8(truncatingIfNeeded: value) : nil
    }

    // MARK: Host side

    /// - Returns: it is another one, and the driver is to be told: of a configuration change, or by a message where it has several ports.
    public mutating func resize(columns: Int, rows: Int) -> Bool {
        let size = (UInt16(clamping: columns), UInt16(clamping: rows))
        guard size != (self.columns, self.rows) else { return false }
        (self.columns, self.rows) = size
        if ports[0].isReady { ports[0].notices.insert(.size) }
        return true
    }

    public mutating func connect(_ port: Int, _ isConnected: Bool) {
        guard ports.indices.contains(port), ports[port].isConnected != isConnected else { return }
        ports[port].isConnected = isConnected
        if ports[port].isReady { ports[port].notices.insert(.connection) }
    }

    // MARK: Control messages (5.3.6.2): port, event and value, and what the event adds

    public static let messageSize = 8
    private enum Event {
        static let deviceReady: UInt16 = 0, portAdd: UInt16 = 1, portReady: UInt16 = 3, consolePort: UInt16 = 4
        static let resize: UInt16 = 5, portOpen: UInt16 = 6, portName: UInt16 = 7
    }

    /// The driver says something. What makes no sense changes nothing.
    /// - Returns: the port that has been opened or closed.
    public mutating func receive(_ message: [UInt8]) -> Int? {
        guard message.count >= Self.messageSize else { return nil }
        func number(_ place: Int, _ count: Int) -> UInt32 {
            (0..<count).reduce(0) { $0 | UInt32(message[place + $1]) << UInt32($1 * 8) }
        }
        let (id, event, isSet) = (number(0, 4), UInt16(number(4, 2)), number(6, 2) != 0)
        if event == Event.deviceReady {
            if isSet { for index in ports.indices { ports[index].notices = .added } }
            return nil
        }
        guard let port = Int(exactly: id), ports.indices.contains(port) else { return nil }
        switch event {
        case Event.portReady where isSet:
            ports[port].isReady = true
            ports[port].notices.formUnion(port == 0 ? [.isConsole, .size, .connection] : [.name, .connection])
        case Event.portOpen where ports[port].isReady:
            guard ports[port].isOpen != isSet else { return nil }
            ports[port].isOpen = isSet
            return port
        default: break
        }
        return nil
    }

    /// The next message to the driver; nil: there is none.
    public var nextMessage: [UInt8]? {
        guard let (port, notice) = firstNotice else { return nil }
        func message(_ event: UInt16, _ value: UInt16, _ rest: [UInt8] = []) -> [UInt8] {
            [UInt8(port), 0, 0, 0, UInt8(event), 0, UInt8(value), 0] + rest
        }
        switch notice {
        case .added: return message(Event.portAdd, 1)
        case .isConsole: return message(Event.consolePort, 1)
        case .size:
            return message(Event.resize, 0, [columns, rows].flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] })
        case .name: return message(Event.portName, 1, Array(names[port - 1].utf8) + [0])
        default: return message(Event.portOpen, ports[port].isConnected ? 1 : 0)
        }
    }

    /// The driver has that.
    public mutating func messageSent() {
        guard let (port, notice) = firstNotice else { return }
        ports[port].notices.remove(notice)
    }

    private var firstNotice: (port: Int, notice: Notices)? {
        for (port, state) in ports.enumerated() {
            for notice in [.added, .isConsole, .size, .name, .connection] as [Notices]
            where state.notices.contains(notice) {
                return (port, notice)
            }
        }
        return nil
    }
}

extension VirtioConsole.Port {
    /// As a snapshot has it.
    public var bits: UInt8 { notices.rawValue | (isReady ? 0x20 : 0) | (isOpen ? 0x40 : 0) | (isConnected ? 0x80 : 0) }

    /// nil: what no port of that number is told of.
    public init?(bits: UInt8, port: Int) {
        notices = .init(rawValue: bits & 0x1F)
        (isReady, isOpen, isConnected) = (bits & 0x20 != 0, bits & 0x40 != 0, bits & 0x80 != 0)
        guard !notices.contains(.name) || port > 0, port == 0 || notices.isDisjoint(with: [.isConsole, .size]) else {
            return nil
        }
    }
}
