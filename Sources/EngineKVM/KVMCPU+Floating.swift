// x87 and SSE registers as a debugger sees them, by the image of XSAVE: KVM_GET_FPU leaves MXCSR out.

import CHost
public import Core

extension KVMCPU {
    /// Places in the image (SDM volume 1, table 10-2 and 13.4).
    enum Area {
        static let size = 4096
        static let tags = 4, opcode = 6, instruction = 8, data = 16, mxcsr = 24, registers = 32, vectors = 160
        /// Bits of the components that are not in their initial state.
        static let present = 512
        /// Components above x87 and SSE.
        static let extended = 576
    }

    func image() throws(EngineError) -> [UInt8] {
        var area = [UInt8](repeating: 0, count: Area.size)
        let result = area.withUnsafeMutableBytes { ch_kvm_get_xsave(engine.vm, core.pointee.fd, $0.baseAddress) }
        _ = try check(result, "KVM_GET_XSAVE")
        return area
    }

    public func floatingState() throws(EngineError) -> FloatingState {
        let area = try image()
        var state = FloatingState()
        area.withUnsafeBytes { area in
            func load<T: FixedWidthInteger>(_ offset: Int) -> T {
                area.loadUnaligned(fromByteOffset: offset, as: T.self)
            }
            (state.control, state.status, state.notEmpty) = (load(0), load(2), load(Area.tags))
            (state.opcode, state.mxcsr) = (load(Area.opcode), load(Area.mxcsr))
            (state.instructionPointer, state.dataPointer) = (load(Area.instruction), load(Area.data))
        }
        state.registers = Array(area[Area.registers..<Area.registers + 128])
        state.vectors = Array(area[Area.vectors..<Area.vectors + 256])
        return state
    }

    public func setFloatingState(_ state: FloatingState) throws(EngineError) {
        guard state.mxcsr >> 16 == 0 else { throw EngineError("MXCSR 0x\(hex(UInt64(state.mxcsr))) has reserved bits") }
        guard state.registers.count == 128, state.vectors.count == 256 else {
            throw EngineError("x87 and SSE registers have 128 and 256 bytes")
        }
        var area = try image()
        Self.store(state, in: &area)
        area[Area.present] |= 3
        let result = area.withUnsafeBytes { ch_kvm_set_xsave(engine.vm, core.pointee.fd, $0.baseAddress) }
        _ = try check(result, "KVM_SET_XSAVE")
    }

    /// All but the header.
    static func store(_ state: FloatingState, in area: inout [UInt8]) {
        area.withUnsafeMutableBytes { area in
            func store<T: FixedWidthInteger>(_ value: T, _ offset: Int) {
                area.storeBytes(of: value, toByteOffset: offset, as: T.self)
            }
            store(state.control & 0x1f3f | 0x40, 0)
            store(state.status, 2)
            store(state.notEmpty, Area.tags)
            store(state.opcode & 0x7ff, Area.opcode)
            store(state.instructionPointer, Area.instruction)
            store(state.dataPointer, Area.data)
            store(state.mxcsr, Area.mxcsr)
        }
        area.replaceSubrange(Area.registers..<Area.registers + 128, with: state.registers)
        area.replaceSubrange(Area.vectors..<Area.vectors + 256, with: state.vectors)
    }
}
