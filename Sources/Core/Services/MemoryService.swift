import CBackplane
import Glibc

extension ServiceTables {
    nonisolated(unsafe) static let memory = HostFunctions.constant(
        bp_memory_1(
            size: HostFunctions.size(bp_memory_1.self), reserved: 0,
            read: { host, address, bytes, length in
                PluginInstance.of(host).machine.copy(address, bytes, length, toGuest: false)
            },
            write: { host, address, bytes, length in
                let machine = PluginInstance.of(host).machine
                return machine.copy(address, UnsafeMutableRawPointer(mutating: bytes), length, toGuest: true)
            },
            span: { host, address, length, direction, out in
                guard let out else { return status(BP_INVALID) }
                var span = bp_span()
                let result = PluginInstance.of(host).machine.makeSpan(address, length, direction, &span)
                if result == 0 { PassedStruct.write(span, to: out, least: LeastPassedSize.span) }
                return result
            },
            span_release: { host, id, written in PluginInstance.of(host).machine.releaseSpan(id, written) },
            region: { host, key, kind, length, out, base in
                let owner = PluginInstance.of(host)
                guard let key, let out, let base else { return status(BP_INVALID) }
                return owner.machine.addRegion(owner, key, kind, length, out, base)
            },
            map: { host, region, offset, address, length, priority, out in
                let owner = PluginInstance.of(host)
                guard let out else { return status(BP_INVALID) }
                return owner.machine.addMapping(owner, region, offset, address, length, priority, out)
            },
            unmap: { host, id in
                let owner = PluginInstance.of(host)
                guard owner.machine.memory.unmap(id, owner: owner) else { return status(BP_NOT_FOUND) }
                owner.machine.mappingsChanged()
                return status(BP_OK)
            },
            move: { host, id, address in
                let owner = PluginInstance.of(host)
                let result = owner.machine.memory.move(id, owner: owner, to: address)
                if result == BP_OK { owner.machine.mappingsChanged() }
                return status(result)
            },
            layout: { host, index, out in
                guard let out else { return status(BP_INVALID) }
                let ranges = PluginInstance.of(host).machine.memoryLayout
                guard Int(index) < ranges.count else { return status(BP_NOT_FOUND) }
                PassedStruct.write(ranges[Int(index)], to: out, least: LeastPassedSize.memoryRange)
                return status(BP_OK)
            }))
}

extension Machine {
    /// Memory as the guest sees it, ascending; neighbours of one kind joined.
    var memoryLayout: [bp_memory_range] {
        var ranges: [bp_memory_range] = []
        for segment in exits.map.segments {
            guard case .memory(_, let memory) = segment.target else { continue }
            let kind = memory.layoutKind
            let length = segment.last &- segment.first &+ 1
            if let previous = ranges.last, previous.kind == kind, previous.base &+ previous.length == segment.first {
                ranges[ranges.count - 1].length += length
            } else {
                let size = HostFunctions.size(bp_memory_range.self)
                ranges.append(bp_memory_range(size: size, kind: kind, base: segment.first, length: length))
            }
        }
        return ranges
    }

    /// Calls `body` with each contiguous piece; false where any byte is not RAM (ROM may be read), before any call.
    func forEachPiece(
        _ address: UInt64, _ length: UInt64, toGuest: Bool, _ body: (UnsafeMutableRawPointer, _ done: Int, Int) -> Void
    ) -> Bool {
        guard length > 0 else { return true }
        guard !address.addingReportingOverflow(length - 1).overflow else { return false }
        let last = address + (length - 1)
        for isDryRun in [true, false] {
            var at = address
            while true {
                guard let segment = exits.map.find(at), case .memory(let base, let kind) = segment.target,
                    !(kind.isReadOnly && toGuest)
                else { return false }
                let end = min(last, segment.last)
                if !isDryRun { body(base + Int(at - segment.first), Int(at - address), Int(end - at) + 1) }
                if end == last { break }
                at = end + 1
            }
        }
        return true
    }

    func copy(_ address: UInt64, _ bytes: UnsafeMutableRawPointer?, _ length: UInt64, toGuest: Bool) -> bp_status {
        guard length == 0 || bytes != nil, length <= UInt64(Int.max) else { return status(BP_INVALID) }
        let isDone = forEachPiece(address, length, toGuest: toGuest) { memory, done, count in
            guard let bytes else { return }
            if toGuest { memcpy(memory, bytes + done, count) } else { memcpy(bytes + done, memory, count) }
        }
        if isDone, toGuest { engine?.didWriteMemory(address: address, length: length) }
        return status(isDone ? BP_OK : BP_OUT_OF_RANGE)
    }

    func makeSpan(_ address: UInt64, _ length: UInt64, _ direction: UInt32, _ out: inout bp_span) -> bp_status {
        let toGuest = direction & UInt32(BP_SPAN_TO_GUEST) != 0
        guard length > 0, spans.count < 65536 else { return status(BP_INVALID) }
        guard let segment = exits.map.find(address), case .memory(let base, let kind) = segment.target,
            !(kind.isReadOnly && toGuest)
        else { return status(BP_OUT_OF_RANGE) }
        let id = newID()
        let room = segment.last &- address
        let count = room < length - 1 ? room + 1 : length
        spans[id] = (address, count)
        out.id = id
        out.base = base + Int(address - segment.first)
        out.length = count
        return status(BP_OK)
    }

    func releaseSpan(_ id: bp_id, _ written: UInt64) -> bp_status {
        guard let span = spans.removeValue(forKey: id) else { return status(BP_NOT_FOUND) }
        if written > 0 { engine?.didWriteMemory(address: span.address, length: min(written, span.length)) }
        return status(BP_OK)
    }

    func addRegion(
        _ owner: PluginInstance, _ key: UnsafePointer<CChar>, _ kind: UInt32, _ length: UInt64,
        _ out: UnsafeMutablePointer<bp_id>, _ base: UnsafeMutablePointer<UnsafeMutableRawPointer?>
    ) -> bp_status {
        guard let kind = MemoryKind(region: kind) else { return status(BP_INVALID) }
        let id = newID()
        let name = HostFunctions.text(key, UInt64(strnlen(key, 256)))
        guard let bytes = memory.addRegion(id: id, owner: owner, key: name, kind: kind, length: length) else {
            return status(BP_NO_MEMORY)
        }
        out.pointee = id
        base.pointee = bytes
        return status(BP_OK)
    }

    func addMapping(
        _ owner: PluginInstance, _ region: bp_id, _ offset: UInt64, _ address: UInt64, _ length: UInt64,
        _ priority: Int32, _ out: UnsafeMutablePointer<bp_id>
    ) -> bp_status {
        let id = newID()
        let result = memory.map(
            id: id, region: region, owner: owner, offset: offset, address: address, length: length,
            priority: priority)
        guard result == BP_OK else { return status(result) }
        if isLoading, let conflict = mappingConflict(id, address, length, priority) {
            _ = memory.unmap(id, owner: owner)
            owner.conflict =
                "addresses \(Machine.rangeText(address, address &+ (length &- 1))) overlap with \(conflict)"
            return status(BP_OVERLAP)
        }
        out.pointee = id
        mappingsChanged()
        return status(BP_OK)
    }

    private func mappingConflict(_ id: bp_id, _ address: UInt64, _ length: UInt64, _ priority: Int32) -> String? {
        if let other = memory.conflict(of: id) { return describeMapping(other) }
        return exits.claims.conflict(
            space: UInt16(BP_SPACE_MEMORY), base: address, length: length, priority: priority
        ).map(describeClaim)
    }

    /// While loading too: loaders ask for the layout in connect.
    func mappingsChanged() { rebuildTables(ports: false, memory: true) }
}
