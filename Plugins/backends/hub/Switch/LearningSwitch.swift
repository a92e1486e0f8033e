import BackendSupport

/// A switch that learns behind which port an address is: IEEE 802.1D's forwarding, without spanning trees and without ages, since an address that
/// moves is found again by its first frame. Its ports may be different machines' in one process: all is under a lock of its own, under which
/// nothing is called but a port's `wake`, which may only post.
public final class LearningSwitch: @unchecked Sendable {
    public static let mostPorts = 128
    /// Bytes, without FCS.
    public static let frameSizes = 14...65_549

    public struct Counters: Equatable, Sendable {
        /// Into the switch.
        public var sent: UInt64 = 0
        public var received: UInt64 = 0
        /// Sent by it: no frames. For it: no room.
        public var lost: UInt64 = 0
        public var addresses = 0

        public init() {}
    }

    private final class Port {
        var outbox = Outbox()
        var room = 0
        var isWoken = false
        var counters = Counters()
        let wake: @Sendable () -> Bool

        init(_ wake: @escaping @Sendable () -> Bool) { self.wake = wake }
    }

    private let monitor = Monitor()
    // Guarded by `monitor`.
    private var ports: [Int: Port] = [:]
    private var addresses = AddressTable()
    private var nextNumber = 0

    public init() {}

    // MARK: Any thread

    /// - Parameter wake: frames wait and there is room: called from any sender's thread, and not again before `take`. False: it could not be
    ///   told.
    /// - Returns: its number, which no other port has or had; nil: there are too many.
    public func join(_ wake: @escaping @Sendable () -> Bool) -> Int? {
        monitor.locked {
            guard ports.count < Self.mostPorts else { return nil }
            nextNumber += 1
            ports[nextNumber] = Port(wake)
            return nextNumber
        }
    }

    /// When it returns, `wake` is not called any more. What the port had sent and nobody has taken is lost.
    public func leave(_ number: Int) {
        monitor.locked {
            ports[number] = nil
            addresses.forget(port: number)
            for port in ports.values { port.outbox.forget(number) }
        }
    }

    public func send(_ frame: UnsafeRawBufferPointer, from number: Int) {
        guard Self.frameSizes.contains(frame.count) else {
            return monitor.locked { ports[number]?.counters.lost &+= 1 }
        }
        let copy = [UInt8](frame)
        let (destination, source) = (Self.address(frame, 0), Self.address(frame, 6))
        monitor.locked {
            guard let sender = ports[number] else { return }
            sender.counters.sent &+= 1
            if !Self.isGroup(source) { addresses.learn(source, at: number) }
            if !Self.isGroup(destination), let target = addresses.port(of: destination) {
                // What is behind the port that it came from has heard it already.
                if target != number, let port = ports[target] { put(copy, number, to: port) }
            } else {
                for (other, port) in ports where other != number { put(copy, number, to: port) }
            }
        }
    }

    /// The port takes `frames` in all.
    public func ready(_ frames: Int, _ number: Int) {
        monitor.locked {
            guard let port = ports[number] else { return }
            port.room = frames
            wake(port)
        }
    }

    /// After a `wake`: at most `limit`, and what there is room for. Where some are left, it is called anew.
    public func take(_ limit: Int, _ number: Int) -> [[UInt8]] {
        monitor.locked {
            guard let port = ports[number] else { return [] }
            port.isWoken = false
            let frames = port.outbox.take(min(limit, port.room))
            port.room -= frames.count
            port.counters.received &+= UInt64(frames.count)
            wake(port)
            return frames
        }
    }

    public func counters(_ number: Int) -> Counters {
        monitor.locked {
            var counters = ports[number]?.counters ?? Counters()
            counters.addresses = addresses.count(of: number)
            return counters
        }
    }

    // MARK: With the monitor held

    private func put(_ frame: [UInt8], _ sender: Int, to port: Port) {
        if port.outbox.append(frame, from: sender, senders: ports.count - 1) {
            wake(port)
        } else {
            port.counters.lost &+= 1
        }
    }

    private func wake(_ port: Port) {
        if !port.isWoken, port.room > 0, !port.outbox.isEmpty { port.isWoken = port.wake() }
    }

    // MARK: Addresses as numbers, the first byte lowest

    /// The frame has six bytes from `offset` on.
    private static func address(_ frame: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
        UInt64(frame.loadUnaligned(fromByteOffset: offset, as: UInt32.self).littleEndian)
            | UInt64(frame.loadUnaligned(fromByteOffset: offset + 4, as: UInt16.self).littleEndian) << 32
    }

    private static func isGroup(_ address: UInt64) -> Bool { address & 1 != 0 }
}
