// String I/O: whole runs of elements at one port in one call where the handler takes them.
// SAFETY: as in ExitHandler.swift; `bytes` is the engine's and holds count * width bytes.

import CBackplane
import CHost

extension ExitHandler {
    /// `rep ins`: `count` elements of `width` bytes from one port.
    public func portReadString(
        _ vcpu: UInt32, port: UInt16, width: UInt8, count: Int, into bytes: UnsafeMutableRawPointer, rip: UInt64
    ) -> AccessResult {
        string(vcpu, port, width, count, bytes, isWrite: false, rip)
    }

    /// `rep outs`.
    public func portWriteString(
        _ vcpu: UInt32, port: UInt16, width: UInt8, count: Int, from bytes: UnsafeRawPointer, rip: UInt64
    ) -> AccessResult {
        string(vcpu, port, width, count, UnsafeMutableRawPointer(mutating: bytes), isWrite: true, rip)
    }

    private func string(
        _ vcpu: UInt32, _ port: UInt16, _ width: UInt8, _ count: Int, _ bytes: UnsafeMutableRawPointer, isWrite: Bool,
        _ rip: UInt64
    ) -> AccessResult {
        lock.held(by: threads[Int(vcpu)]) { held in
            var done = 0
            if ports.entries[Int(port)] & PortSpace.policyBit == 0 {
                done = bulk(vcpu, port, width, count, bytes, isWrite: isWrite)
            }
            // What is left goes element by element; policies see each of them.
            while done < count {
                let element = bytes + done * Int(width)
                var value: UInt64 = 0
                if isWrite {
                    withUnsafeMutableBytes(of: &value) {
                        $0.baseAddress!.copyMemory(from: element, byteCount: Int(width))
                    }
                }
                let result = access(
                    held, vcpu, BP_SPACE_PORT, UInt64(port), width, isWrite ? value : nil, rip,
                    flags: UInt16(BP_EXITF_STRING))
                drainIfNeeded()
                if result.control == .inject { return delivered(result) }
                if !isWrite {
                    value = result.value
                    element.copyMemory(from: &value, byteCount: Int(width))
                }
                done += 1
            }
            return delivered(AccessResult(value: 0))
        }
    }

    /// How many elements the claim's bulk handler took.
    private func bulk(
        _ vcpu: UInt32, _ port: UInt16, _ width: UInt8, _ count: Int, _ bytes: UnsafeMutableRawPointer, isWrite: Bool
    ) -> Int {
        let record = claimRecords + Int(ports.entries[Int(port)] & 0xffff)
        let offset = UInt64(port) &- record.pointee.base
        guard record.pointee.widths & width != 0, !record.pointee.isCovered, count > 0,
            offset &+ UInt64(width) <= record.pointee.length, let node = record.pointee.node
        else { return 0 }
        var call = bp_access(
            size: UInt32(MemoryLayout<bp_access>.size), width: width, flags: UInt8(BP_ACCESS_STRING),
            space: UInt16(BP_SPACE_PORT), vcpu: vcpu, requester: 0, offset: offset, address: UInt64(port),
            cookie: record.pointee.cookie, token: 0)
        var done: UInt64 = 0
        var status = Int32(BP_OK)
        let frame = ch_enter(host, node, isWrite ? ch_activity_bulk_write : ch_activity_bulk_read, UInt64(port))
        if isWrite, let handler = record.pointee.writeBulk {
            status = handler(record.pointee.instance, &call, bytes, UInt64(count), &done)
        } else if !isWrite, let handler = record.pointee.readBulk {
            status = handler(record.pointee.instance, &call, bytes, UInt64(count), &done)
        }
        ch_leave(host, node, frame)
        if status == Int32(BP_NO_REGISTER) || status == Int32(BP_BAD_WIDTH) { return 0 }
        if status != 0 {
            machine.fault(node, status: status)
            return 0
        }
        drainIfNeeded()
        return Int(min(done, UInt64(count)))
    }
}
