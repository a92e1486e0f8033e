import CBackplane

/// Property values in their C form, alive as long as this object.
final class CValues {
    private var buffers: [UnsafeMutableRawPointer] = []
    private(set) var base: UnsafeMutablePointer<bp_value>

    init(_ values: [Value?], given: [Bool], types: [PropertyDescription]) {
        // SAFETY: freed in deinit; the plugin borrows them for one call.
        base = .allocate(capacity: max(1, values.count))
        for (index, value) in values.enumerated() {
            var raw = bp_value()
            raw.size = UInt32(MemoryLayout<bp_value>.size)
            raw.type = types.indices.contains(index) ? types[index].type.rawValue : 0
            if let value { fill(&raw, value) } else { raw.flags |= UInt16(BP_VALUE_ABSENT) }
            if given.indices.contains(index), given[index] { raw.flags |= UInt16(BP_VALUE_GIVEN) }
            (base + index).initialize(to: raw)
        }
    }

    deinit {
        buffers.forEach { $0.deallocate() }
        base.deallocate()
    }

    private func fill(_ raw: inout bp_value, _ value: Value) {
        switch value {
        case .bool(let flag): raw.u = flag ? 1 : 0
        case .unsigned(let number), .size(let number), .duration(let number), .address(let number): raw.u = number
        case .signed(let number): raw.i = number
        case .port(let port): raw.u = UInt64(port)
        case .float(let number): raw.f = number
        case .text(let text), .path(let text): setText(&raw, text)
        case .choice(let text, let index):
            setText(&raw, text)
            raw.last = UInt64(index)
        case .range(let range):
            raw.u = range.lowerBound
            raw.last = range.upperBound
        case .list(let items): setItems(&raw, items)
        }
    }

    private func setText(_ raw: inout bp_value, _ text: String) {
        let bytes = Array(text.utf8)
        let copy = UnsafeMutableRawPointer.allocate(byteCount: bytes.count + 1, alignment: 1)
        copy.copyMemory(from: bytes, byteCount: bytes.count)
        copy.storeBytes(of: 0, toByteOffset: bytes.count, as: UInt8.self)
        buffers.append(copy)
        raw.text = UnsafePointer(copy.assumingMemoryBound(to: CChar.self))
        raw.length = UInt64(bytes.count)
    }

    private func setItems(_ raw: inout bp_value, _ items: [Value]) {
        let stride = MemoryLayout<bp_value>.stride
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(1, items.count) * stride, alignment: 16)
        buffers.append(memory)
        let list = memory.bindMemory(to: bp_value.self, capacity: max(1, items.count))
        for (index, item) in items.enumerated() {
            var one = bp_value()
            one.size = UInt32(stride)
            one.type = raw.type
            fill(&one, item)
            (list + index).initialize(to: one)
        }
        raw.flags |= UInt16(BP_VALUE_LIST)
        raw.items = UnsafePointer(list)
        raw.length = UInt64(items.count)
    }
}
