import PCIConfiguration
import Testing

typealias Layout = ConfigurationSpace.Layout

/// A network card as an example: 8086:100E, class 02 00 00.
func layout(_ header: ConfigurationSpace.Header = .function, pin: UInt8 = 1) -> Layout {
    Layout(
        header,
        .init(
            vendor: 0x8086, device: 0x100E, revision: 0x03, classCode: 0x02_00_00, subsystemVendor: 0x1AF4,
            subsystem: 0x1100), interruptPin: pin)
}

extension ConfigurationSpace {
    func byte(_ offset: UInt32) -> UInt32 { read(offset, width: 1) }
    func word(_ offset: UInt32) -> UInt32 { read(offset, width: 2) }
    func dword(_ offset: UInt32) -> UInt32 { read(offset, width: 4) }

    /// What PCI 3.0, 6.2.5.1 says software does: all ones, read, restore.
    mutating func size(_ offset: UInt32) -> UInt32 {
        let old = dword(offset)
        write(offset, width: 4, 0xFFFF_FFFF)
        let answer = dword(offset)
        write(offset, width: 4, old)
        return answer
    }
}
