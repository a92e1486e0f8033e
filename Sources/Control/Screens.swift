// What the operator sees of a machine's screens.

import Core
import Pictures

/// The commands `info display` and `screendump`, of the monitor and of QMP.
enum Screens {
    /// The rows of text, or a sentence that says what is shown instead. `name`: an instance; nil: the first with a screen.
    static func text(_ machine: Machine, _ name: String?) throws -> String {
        try machine.look(at: name) { (picture) throws(MachineError) in
            switch picture {
            case .dark: return "the screen is dark\n"
            case .cells(let form, let region):
                guard let cells = CellPicture(form, region) else { throw broken }
                var lines = cells.text
                while lines.last == "" { lines.removeLast() }
                return lines.map { $0 + "\n" }.joined()
            case .surface(let surface, _, _):
                return "a picture of \(surface.width) by \(surface.height) pixels; screendump FILE shows it\n"
            }
        }
    }

    enum Format: String, CaseIterable { case png, ppm }

    /// The file's bytes.
    static func dump(_ machine: Machine, _ name: String?, _ format: Format) throws -> [UInt8] {
        let raster = try machine.look(at: name) { (picture) throws(MachineError) in
            switch picture {
            case .dark: return Raster.dark
            case .cells(let form, let region):
                guard let cells = CellPicture(form, region) else { throw broken }
                return cells.raster
            case .surface(let surface, let region, let palette):
                guard let raster = Raster(surface, region, palette: palette) else { throw broken }
                return raster
            }
        }
        return format == .png ? raster.png : raster.ppm
    }

    private static var broken: MachineError {
        MachineError("what the device shows is not inside of its memory: its plugin is broken")
    }
}
