// The registers by group, one type each where they are looked at (IBM VGA technical reference; FreeVGA for the bits
// that it leaves out).

extension VGA {
    /// Miscellaneous Output: written at 0x3C2, read at 0x3CC.
    public struct MiscellaneousOutput: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let color = Self(rawValue: 1 << 0)  // CRTC at 0x3D4, otherwise 0x3B4
        public static let memoryEnable = Self(rawValue: 1 << 1)
        public static let clockCode = Self(rawValue: 0b11 << 2)

        /// Hertz of the dot clock: codes 2 and 3 are inputs that nobody drives, and run as code 0.
        var clock: UInt64 { rawValue >> 2 & 3 == 1 ? 28_322_000 : 25_175_000 }
    }

    /// Input Status 1, at 0x3BA or 0x3DA.
    public struct InputStatus1: OptionSet, Equatable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let displayDisabled = Self(rawValue: 1 << 0)
        public static let verticalRetrace = Self(rawValue: 1 << 3)
    }

    /// Sequencer, 0x3C4 and 0x3C5.
    enum Sequencer {
        static let clockingMode = 1  // bit 0: 8 dots; 3: half the dot clock; 5: screen off
        static let mapMask = 2
        static let characterMap = 3
        static let memoryMode = 4  // bit 1: more than 64 KiB; 2: no odd/even; 3: chain 4
        static let writable: [UInt8] = [0x03, 0x3D, 0x0F, 0x3F, 0x0E]
    }

    /// Graphics controller, 0x3CE and 0x3CF.
    enum Graphics {
        static let setReset = 0
        static let enableSetReset = 1
        static let colorCompare = 2
        static let rotate = 3  // bits 2:0 count, 4:3 function
        static let readMap = 4
        static let mode = 5  // bits 1:0 write mode; 3 read mode; 4 odd/even
        static let miscellaneous = 6  // bit 0 graphics; 3:2 memory map
        static let colorDontCare = 7
        static let bitMask = 8
        static let writable: [UInt8] = [0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF]
    }

    /// CRT controller, 0x3x4 and 0x3x5.
    enum CRTC {
        static let horizontalTotal = 0x00
        static let horizontalDisplayEnd = 0x01
        static let verticalTotal = 0x06
        static let overflow = 0x07
        static let presetRowScan = 0x08
        static let maximumScanLine = 0x09
        static let cursorStart = 0x0A
        static let cursorEnd = 0x0B
        static let startHigh = 0x0C
        static let cursorHigh = 0x0E
        static let verticalRetraceStart = 0x10
        static let verticalRetraceEnd = 0x11  // bit 7 protects registers 0 to 7
        static let verticalDisplayEnd = 0x12
        static let offset = 0x13
        static let underline = 0x14  // bit 6: doubleword addresses
        static let mode = 0x17  // bit 2: lines count double; 5: wrap at 64 KiB; 6: byte addresses; 7: runs
        static let lineCompare = 0x18
        static let writable: [UInt8] = [
            0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0x3F, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
            0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xEF, 0xFF,
        ]
    }

    /// Attribute controller, 0x3C0 and 0x3C1; registers 0 to 15 are the palette.
    enum Attribute {
        static let mode = 0x10
        static let overscan = 0x11
        static let planeEnable = 0x12
        static let pixelPanning = 0x13
        static let colorSelect = 0x14
        static let writable: [UInt8] = [UInt8](repeating: 0x3F, count: 16) + [0xEF, 0xFF, 0x3F, 0x0F, 0x0F]
    }

    /// Attribute mode control.
    struct AttributeMode: OptionSet {
        let rawValue: UInt8

        static let graphics = Self(rawValue: 1 << 0)
        static let monochrome = Self(rawValue: 1 << 1)
        static let lineGraphics = Self(rawValue: 1 << 2)  // the ninth dot repeats the eighth for C0 to DF
        static let blink = Self(rawValue: 1 << 3)
        static let pixelPanningSplit = Self(rawValue: 1 << 5)
        static let paletteBits54 = Self(rawValue: 1 << 7)
    }
}
