import CBackplane
import Glibc

extension ServiceTables {
    nonisolated(unsafe) static let memory = HostFunctions.constant(
        bp_memory_1(
            size: HostFunctions.size(bp_memory_1.self), reserved: 0,
            read: { host, address, bytes, length in
                PluginInstance.serve(host, "memory/1 read") { owner in
                    guard length == 0 || bytes != nil else { return owner.refuse("memory/1 read", "bytes", "is NULL") }
                    return owner.machine.copy(address, bytes, length, toGuest: false)
                }
            },
            write: { host, address, bytes, length in
                PluginInstance.serve(host, "memory/1 write") { owner in
                    guard length == 0 || bytes != nil else { return owner.refuse("memory/1 write", "bytes", "is NULL") }
                    return owner.machine.copy(address, UnsafeMutableRawPointer(mutating: bytes), length, toGuest: true)
                }
            },
            span: { host, address, length, direction, out in
                PluginInstance.serve(host, "memory/1 span") { $0.span(address, length, direction, out) }
            },
            span_release: { host, id, written in
                // A reset ends spans: one that is not there is nothing to name.
                PluginInstance.serve(host, "memory/1 span_release", .always) { $0.machine.releaseSpan(id, written) }
            },
            region: { host, key, kind, length, out, base in
                PluginInstance.serve(host, "memory/1 region", .fromCreate) { $0.region(key, kind, length, out, base) }
            },
            map: { host, region, offset, address, length, priority, out in
                PluginInstance.serve(host, "memory/1 map") { owner in
                    guard let out else { return owner.refuse("memory/1 map", "mapping", "is NULL") }
                    guard region != 0 else { return owner.refuse("memory/1 map", id: region, "region") }
                    let request = MemoryRegions.Request(
                        region: region, offset: offset, address: address, length: length, priority: priority,
                        directions: UInt32(BP_MAP_READ | BP_MAP_WRITE))
                    return owner.machine.addMapping(owner, request, "memory/1 map", out)
                }
            },
            unmap: { host, id in
                PluginInstance.serve(host, "memory/1 unmap", .always) { owner in
                    guard let range = owner.machine.memory.unmap(id, owner: owner) else {
                        return owner.refuse("memory/1 unmap", id: id, "mapping")
                    }
                    owner.machine.updateMemory([range])
                    return status(BP_OK)
                }
            },
            move: { host, id, address in
                PluginInstance.serve(host, "memory/1 move") { owner in
                    let (result, ranges) = owner.machine.memory.move(id, owner: owner, to: address)
                    if result == BP_NOT_FOUND { return owner.refuse("memory/1 move", id: id, "mapping") }
                    owner.machine.updateMemory(ranges)
                    for range in ranges { owner.machine.regionsMayHaveChanged(of: owner, range) }
                    return status(result)
                }
            },
            layout: { host, index, out in
                PluginInstance.serve(host, "memory/1 layout") { owner in
                    guard let out else { return owner.refuse("memory/1 layout", "out", "is NULL") }
                    let ranges = owner.machine.memoryLayout
                    guard Int(index) < ranges.count else { return status(BP_NOT_FOUND) }
                    PassedStruct.write(ranges[Int(index)], to: out, least: LeastPassedSize.memoryRange)
                    return status(BP_OK)
                }
            },
            map_as: { host, mapping, out in
                PluginInstance.serve(host, "memory/1 map_as") { $0.mapAs(mapping, out) }
            },
            direct: { host, id, directions in
                PluginInstance.serve(host, "memory/1 direct") { owner in
                    let (result, range) = owner.machine.memory.direct(id, owner: owner, directions)
                    if result == BP_NOT_FOUND { return owner.refuse("memory/1 direct", id: id, "mapping") }
                    if let range {
                        owner.machine.updateMemory([range])
                        owner.machine.regionsMayHaveChanged(of: owner, range)
                    }
                    return status(result)
                }
            },
            attach: { host, id, base, length in
                PluginInstance.serve(host, "memory/1 attach") { owner in
                    guard let base else { return owner.refuse("memory/1 attach", "base", "is NULL") }
                    guard let length else { return owner.refuse("memory/1 attach", "length", "is NULL") }
                    guard let region = owner.machine.memory.region(of: id) else { return status(BP_NOT_FOUND) }
                    base.pointee = region.bytes.baseAddress
                    length.pointee = region.length
                    return status(BP_OK)
                }
            },
            discard: { host, address, length in
                PluginInstance.serve(host, "memory/1 discard") { $0.machine.discard(address, length) }
            }))
}

extension PluginInstance {
    fileprivate func span(
        _ address: UInt64, _ length: UInt64, _ direction: UInt32, _ out: UnsafeMutablePointer<bp_span>?
    ) -> bp_status {
        let service: StaticString = "memory/1 span"
        guard let out else { return refuse(service, "out", "is NULL") }
        guard direction > 0, direction <= UInt32(BP_SPAN_FROM_GUEST | BP_SPAN_TO_GUEST) else {
            return refuse(service, "direction", "\(direction) is no OR of BP_SPAN_FROM_GUEST and BP_SPAN_TO_GUEST")
        }
        guard machine.spans.count < Machine.spanLimit else {
            return refuse(service, "out", "is one too many: \(Machine.spanLimit) are not released", BP_NO_MEMORY)
        }
        var span = bp_span()
        let result = machine.makeSpan(address, length, direction, &span)
        if result == 0 { PassedStruct.write(span, to: out, least: LeastPassedSize.span) }
        return result
    }

    fileprivate func region(
        _ key: UnsafePointer<CChar>?, _ kind: UInt32, _ length: UInt64, _ out: UnsafeMutablePointer<bp_id>?,
        _ base: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
    ) -> bp_status {
        let service: StaticString = "memory/1 region"
        guard let key else { return refuse(service, "key", "is NULL") }
        guard let out else { return refuse(service, "out", "is NULL") }
        guard let base else { return refuse(service, "base", "is NULL") }
        guard let kind = MemoryKind(region: kind) else { return refuse(service, "kind", "\(kind) is no BP_REGION") }
        guard length > 0 else { return refuse(service, "length", "is 0") }
        let name = HostFunctions.text(key, UInt64(strnlen(key, 256)))
        let own = machine.memory.regions.lazy.filter { $0.owner === self }
        guard !own.contains(where: { $0.key == name }) else {
            return refuse(service, "key", "'\(name)' is that of another of its regions")
        }
        let id = machine.newID()
        guard let bytes = machine.memory.addRegion(id: id, owner: self, key: name, kind: kind, length: length) else {
            conflict =
                "a region '\(name)' of \(length) bytes: at most 256 MiB a region and 1 GiB an instance can be had"
            return status(BP_NO_MEMORY)
        }
        out.pointee = id
        base.pointee = bytes
        return status(BP_OK)
    }
}

extension PluginInstance {
    fileprivate func mapAs(_ mapping: UnsafePointer<bp_mapping>?, _ out: UnsafeMutablePointer<bp_id>?) -> bp_status {
        let service: StaticString = "memory/1 map_as"
        guard let mapping else { return refuse(service, "mapping", "is NULL") }
        guard let out else { return refuse(service, "out", "is NULL") }
        guard let copy = PassedStruct.read(mapping, least: LeastPassedSize.mapping, empty: bp_mapping()) else {
            return refuse(service, "size", "is less than that of ABI 1.4, \(LeastPassedSize.mapping)")
        }
        guard copy.directions != 0, copy.directions & ~UInt32(BP_MAP_READ | BP_MAP_WRITE) == 0 else {
            return refuse(service, "directions", "\(copy.directions) is no OR of BP_MAP_READ and BP_MAP_WRITE")
        }
        let request = MemoryRegions.Request(
            region: copy.region, offset: copy.offset, address: copy.address, length: copy.length,
            priority: copy.priority, directions: copy.directions)
        return machine.addMapping(self, request, service, out)
    }
}

extension Machine {
    static let spanLimit = 65536

    /// Memory as the guest sees it, ascending; neighbours of one kind joined.
    var memoryLayout: [bp_memory_range] {
        var ranges: [bp_memory_range] = []
        for segment in exits.map.segments {
            // As reads find it. What is written elsewhere, or nowhere, is no memory to put anything into.
            guard case .memory(_, let memory) = segment.read else { continue }
            let kind = segment.write == segment.read ? memory.layoutKind : UInt32(BP_REGION_ROM)
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
        _ address: UInt64, _ length: UInt64, toGuest: Bool, _ body: (Backing, _ done: Int, Int) -> Void
    ) -> Bool {
        guard length > 0 else { return true }
        guard !address.addingReportingOverflow(length - 1).overflow else { return false }
        let last = address + (length - 1)
        for isDryRun in [true, false] {
            var at = address
            while true {
                guard let memory = exits.map.memory(at: at, isWrite: toGuest), !(memory.isReadOnly && toGuest) else {
                    return false
                }
                let end = min(last, memory.last)
                if !isDryRun { body(memory.backing, Int(at - address), Int(end - at) + 1) }
                if end == last { break }
                at = end + 1
            }
        }
        return true
    }

    func copy(_ address: UInt64, _ bytes: UnsafeMutableRawPointer?, _ length: UInt64, toGuest: Bool) -> bp_status {
        guard length <= UInt64(Int.max) else { return status(BP_OUT_OF_RANGE) }
        let isDone = forEachPiece(address, length, toGuest: toGuest) { memory, done, count in
            guard let bytes else { return }
            guard toGuest else {
                memcpy(bytes + done, memory.host, count)
                return
            }
            memcpy(memory.host, bytes + done, count)
            didWrite(memory.address, UInt64(count))
        }
        return status(isDone ? BP_OK : BP_OUT_OF_RANGE)
    }

    /// The host gets whole pages of the machine's RAM back, which read as zeros then.
    func discard(_ address: UInt64, _ length: UInt64) -> bp_status {
        guard let ram else { return status(BP_OUT_OF_RANGE) }
        let inPage: UInt64 = 4095
        // Of the pieces that are RAM only the first and the last can begin or end inside of a page.
        var pieces: [(backing: Backing, length: UInt64)] = []
        var isAllRAM = true
        let isMemory = forEachPiece(address, length, toGuest: true) { backing, done, count in
            isAllRAM = isAllRAM && backing.address < ram.length
            let start = address &+ UInt64(done)
            let first = (start &+ inPage) & ~inPage
            let whole = ((start &+ UInt64(count)) & ~inPage) &- first
            if whole > 0, whole <= UInt64(count) { pieces.append((backing.advanced(by: first &- start), whole)) }
        }
        guard isMemory, isAllRAM else { return status(BP_OUT_OF_RANGE) }
        for piece in pieces {
            guard madvise(piece.backing.host, Int(piece.length), MADV_REMOVE) == 0 else {
                return status(BP_UNSUPPORTED)
            }
            didWrite(piece.backing.address, piece.length)
        }
        return status(BP_OK)
    }

    func makeSpan(_ address: UInt64, _ length: UInt64, _ direction: UInt32, _ out: inout bp_span) -> bp_status {
        let toGuest = direction & UInt32(BP_SPAN_TO_GUEST) != 0
        let fromGuest = direction & UInt32(BP_SPAN_FROM_GUEST) != 0
        guard length > 0 else { return status(BP_INVALID) }
        guard let memory = exits.map.memory(at: address, isWrite: toGuest), !(memory.isReadOnly && toGuest),
            !(toGuest && fromGuest) || exits.map.memory(at: address, isWrite: false)?.backing == memory.backing
        else { return status(BP_OUT_OF_RANGE) }
        let id = newID()
        let room = memory.last &- address
        let count = room < length - 1 ? room + 1 : length
        spans[id] = (memory.backing.address, count)
        out.id = id
        out.base = memory.backing.host
        out.length = count
        return status(BP_OK)
    }

    /// A reset ends what was begun: code that was decoded from it is stale.
    func endSpans() {
        for span in spans.values { didWrite(span.address, span.length) }
        spans.removeAll()
    }

    func releaseSpan(_ id: bp_id, _ written: UInt64) -> bp_status {
        guard let span = spans.removeValue(forKey: id) else { return status(BP_NOT_FOUND) }
        didWrite(span.address, min(written, span.length))
        return status(BP_OK)
    }

    func addMapping(
        _ owner: PluginInstance, _ request: MemoryRegions.Request, _ service: StaticString,
        _ out: UnsafeMutablePointer<bp_id>
    ) -> bp_status {
        let id = newID()
        let result = memory.map(request, id: id, owner: owner)
        if result == BP_NOT_FOUND { return owner.refuse(service, id: request.region, "region") }
        guard result == BP_OK else {
            owner.conflict =
                "\(hexText(request.length)) bytes from \(hexText(request.offset)) of the region, at \(hexText(request.address)): they must be inside of the "
                + "region, and all multiples of 0x1000"
            return status(result)
        }
        let range = request.address...(request.address + (request.length - 1))
        if isLoading, let conflict = mappingConflict(id, range, request) {
            _ = memory.unmap(id, owner: owner)
            owner.conflict =
                "addresses \(Machine.rangeText(range.lowerBound, range.upperBound)) overlap with \(conflict)"
            return status(BP_OVERLAP)
        }
        out.pointee = id
        regionsMayHaveChanged(of: owner, range)
        // While loading too: loaders ask for the layout in connect.
        updateMemory([range])
        return status(BP_OK)
    }

    private func mappingConflict(_ id: bp_id, _ range: ClosedRange<UInt64>, _ request: MemoryRegions.Request) -> String?
    {
        if let other = memory.conflict(of: id) { return describeMapping(other) }
        return exits.claims.conflict(with: range, priority: request.priority, directions: request.directions)
            .map(describeClaim)
    }
}
