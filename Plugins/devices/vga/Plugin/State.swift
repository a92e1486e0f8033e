// The chip's state as fields.

import PluginKit
import VGA

extension StateWriter {
    func put(_ state: VGA.State) {
        put("is-enabled", state.isEnabled)
        put("miscellaneous-output", state.miscellaneousOutput.rawValue)
        put("feature-control", state.featureControl)
        put("sequencer-index", state.sequencerIndex)
        put("sequencer", state.sequencer)
        put("graphics-index", state.graphicsIndex)
        put("graphics", state.graphics)
        put("crtc-index", state.crtcIndex)
        put("crtc", state.crtc)
        put("attribute-index", state.attributeIndex)
        put("attribute-is-data", state.attributeIsData)
        put("attribute", state.attribute)
        put("latches", state.latches)
        let dac = prefixed("dac-")
        dac.put("palette", state.dac.palette)
        dac.put("mask", state.dac.mask)
        dac.put("index", state.dac.index)
        dac.put("component", state.dac.component)
        dac.put("is-reading", state.dac.isReading)
        dac.put("pending-red", state.dac.pendingRed)
        dac.put("pending-green", state.dac.pendingGreen)
        dac.put("is-8-bit", state.dac.is8Bit)
    }

    func put(_ state: DISPI.State) {
        let dispi = prefixed("dispi-")
        dispi.put("index", state.index)
        dispi.put("id", state.id)
        dispi.put("width", state.width)
        dispi.put("height", state.height)
        dispi.put("bits-per-pixel", state.bitsPerPixel)
        dispi.put("enable", state.enable.rawValue)
        dispi.put("bank", state.bank)
        dispi.put("virtual-width", state.virtualWidth)
        dispi.put("x-offset", state.xOffset)
        dispi.put("y-offset", state.yOffset)
    }
}

extension StateReader {
    func vga() throws(PluginError) -> VGA.State {
        var state = VGA.State()
        state.isEnabled = try get("is-enabled")
        state.miscellaneousOutput = .init(rawValue: try get("miscellaneous-output"))
        state.featureControl = try get("feature-control")
        state.sequencerIndex = try get("sequencer-index")
        state.sequencer = try get("sequencer", count: nil)
        state.graphicsIndex = try get("graphics-index")
        state.graphics = try get("graphics", count: nil)
        state.crtcIndex = try get("crtc-index")
        state.crtc = try get("crtc", count: nil)
        state.attributeIndex = try get("attribute-index")
        state.attributeIsData = try get("attribute-is-data")
        state.attribute = try get("attribute", count: nil)
        state.latches = try get("latches")
        let dac = prefixed("dac-")
        state.dac.palette = try dac.get("palette", count: nil)
        state.dac.mask = try dac.get("mask")
        state.dac.index = try dac.get("index")
        state.dac.component = try dac.get("component")
        state.dac.isReading = try dac.get("is-reading")
        state.dac.pendingRed = try dac.get("pending-red")
        state.dac.pendingGreen = try dac.get("pending-green")
        state.dac.is8Bit = try dac.get("is-8-bit")
        return state
    }

    func dispi() throws(PluginError) -> DISPI.State {
        let dispi = prefixed("dispi-")
        var state = DISPI.State()
        state.index = try dispi.get("index")
        state.id = try dispi.get("id")
        state.width = try dispi.get("width")
        state.height = try dispi.get("height")
        state.bitsPerPixel = try dispi.get("bits-per-pixel")
        state.enable = .init(rawValue: try dispi.get("enable"))
        state.bank = try dispi.get("bank")
        state.virtualWidth = try dispi.get("virtual-width")
        state.xOffset = try dispi.get("x-offset")
        state.yOffset = try dispi.get("y-offset")
        return state
    }
}
