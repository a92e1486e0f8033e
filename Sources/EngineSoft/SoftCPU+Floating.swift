// x87 and SSE registers as a debugger sees them.

import CHost
public import Core

extension SoftCPU {
    public func floatingState() throws(EngineError) -> FloatingState {
        let x87 = s.cpu.pointee.x87
        var state = FloatingState()
        (state.control, state.status, state.notEmpty, state.opcode) = (
            x87.control, x87.status, x87.notEmpty, x87.opcode
        )
        state.instructionPointer = x87.instructionPointer
        state.dataPointer = x87.dataPointer
        for number in 0..<8 {
            let place = stackPlace(number, x87.status)
            for byte in 0..<10 {
                state.registers[number * 16 + byte] = place.load(fromByteOffset: byte, as: UInt8.self)
            }
        }
        state.vectors.withUnsafeMutableBytes {
            s.copyVectors(to: $0.baseAddress.unsafelyUnwrapped, count: min(16, $0.count / 16))
        }
        state.mxcsr = s.cpu.pointee.mxcsr
        return state
    }

    public func setFloatingState(_ state: FloatingState) throws(EngineError) {
        guard state.mxcsr >> 16 == 0 else {
            throw EngineError("MXCSR 0x\(String(state.mxcsr, radix: 16)) has reserved bits")
        }
        guard state.registers.count == 128, state.vectors.count == 256 else {
            throw EngineError("x87 and SSE registers have 128 and 256 bytes")
        }
        if s.run.pointee.isRunning { throw EngineError("an exit of this vCPU is being handled") }
        var x87 = s.cpu.pointee.x87
        (x87.control, x87.status) = (state.control & 0x1f3f | 0x40, state.status)
        (x87.notEmpty, x87.opcode) = (state.notEmpty, state.opcode & 0x7ff)
        if state.instructionPointer != x87.instructionPointer {
            (x87.instructionPointer, x87.instructionSelector) = (state.instructionPointer, 0)
        }
        if state.dataPointer != x87.dataPointer { (x87.dataPointer, x87.dataSelector) = (state.dataPointer, 0) }
        s.cpu.pointee.x87 = x87
        for number in 0..<8 {
            let place = stackPlace(number, x87.status)
            for byte in 0..<10 {
                place.storeBytes(of: state.registers[number * 16 + byte], toByteOffset: byte, as: UInt8.self)
            }
        }
        ch_x87_summarize(s.x87)
        state.vectors.withUnsafeBytes {
            s.copyVectors(from: $0.baseAddress.unsafelyUnwrapped, count: 16)
        }
        s.cpu.pointee.mxcsr = state.mxcsr
    }

    /// Of ST(`number`).
    private func stackPlace(_ number: Int, _ status: UInt16) -> UnsafeMutableRawPointer {
        s + Layout.x87 + ((Int(status >> 11) + number) & 7) * 16
    }
}
