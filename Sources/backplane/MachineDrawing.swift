import Core

/// `show --svg`: each machine as a backplane, one below the other. The CPU and memory stand on the left, devices in the middle, backends on the
/// right; each interrupt line is a wire on the left of the devices, every other wire runs to the right.
struct MachineDrawing {
    private struct Card {
        var instance: InstanceDescription
        var x: Double
        var y: Double
        var height: Double
        var lines: [String]
    }

    private let survey: MachineSurvey
    private let cardWidth = 230.0
    private let gap = 26.0
    private let lineHeight = 15.0
    private let top = 96.0
    private let columns: (cpu: Double, devices: Double, backends: Double)
    private let laneWidth = 9.0

    init(_ survey: MachineSurvey) {
        self.survey = survey
        let lanes = Double(survey.wires.count) * 9 + 90
        columns = (30, 30 + 230 + max(130, lanes), 30 + 230 + max(130, lanes) + 230 + max(130, lanes))
    }

    /// An SVG file.
    static func text(of surveys: [MachineSurvey]) -> String {
        let drawings = surveys.map { MachineDrawing($0).drawing }
        let width = drawings.map(\.width).max() ?? 0
        let height = drawings.reduce(0) { $0 + $1.height }
        var svg = header(width, height)
        var y = 0.0
        for drawing in drawings {
            svg += "<g transform=\"translate(0 \(y))\">\n" + drawing.content + "</g>\n"
            y += drawing.height
        }
        return svg + "</svg>\n"
    }

    private var drawing: (content: String, width: Double, height: Double) {
        let devices = column(of: [.device], at: columns.devices)
        let backends = column(of: [.backend], at: columns.backends)
        let others = column(of: [.policy, .loader], at: columns.cpu, from: top + 150)
        let cards = devices + backends + others
        let bottom = cards.map { $0.y + $0.height }.max() ?? top
        let height = max(bottom, top + 130) + 40
        let width = columns.backends + cardWidth + 30
        var svg = label(
            30, 38, "machine \(survey.description.name)", size: 20, weight: "bold", color: "#1b1b1b")
        svg += heading(columns.cpu, "CPU, policies, loader") + heading(columns.devices, "Devices")
        if !backends.isEmpty { svg += heading(columns.backends, "Backends") }
        svg += wires(devices, backends, cards)
        svg += processor()
        for card in cards { svg += draw(card) }
        return (svg, width, height)
    }

    // MARK: Cards

    private func column(of kinds: Set<ClassKind>, at x: Double, from start: Double? = nil) -> [Card] {
        var y = start ?? top
        return survey.description.instances.filter { kinds.contains($0.type.kind) }.map { instance in
            let lines = details(of: instance)
            let slots = Double(max(instance.wires.count, 1)) * 12
            let card = Card(
                instance: instance, x: x, y: y, height: max(34 + Double(lines.count) * lineHeight, 30 + slots),
                lines: lines)
            y += card.height + gap
            return card
        }
    }

    private func details(of instance: InstanceDescription) -> [String] {
        let claims = survey.claims.filter { $0.owner == instance.id }.map { claim in
            let first = String(claim.first, radix: 16)
            let last = String(claim.last, radix: 16)
            let range = first == last ? "0x\(first)" : "0x\(first)-0x\(last)"
            return "\(claim.kind == .ports ? "ports" : claim.kind.rawValue) \(range)"
                + (claim.name.isEmpty ? "" : " \(claim.name)")
        }
        if instance.type.kind == .device { return claims }
        return zip(instance.type.properties, zip(instance.values, instance.isGiven)).compactMap { property, value in
            value.1 ? value.0.map { "\(property.name): \($0.text)" } : nil
        }
    }

    private func draw(_ card: Card) -> String {
        let color: String
        switch card.instance.type.kind {
        case .device: color = "#2f6f9f"
        case .policy: color = "#8a5a00"
        case .loader: color = "#5b3f8c"
        case .backend: color = "#2e7d4f"
        }
        var svg = box(card.x, card.y, cardWidth, card.height, color)
        svg += label(card.x + 14, card.y + 19, card.instance.id, size: 14, weight: "bold", color: "#1b1b1b")
        svg += label(
            card.x + cardWidth - 10, card.y + 19, card.instance.type.name, size: 12, color: color, anchor: "end")
        for (index, line) in card.lines.enumerated() {
            svg += label(card.x + 14, card.y + 38 + Double(index) * lineHeight, clipped(line), size: 11, color: "#444")
        }
        return svg
    }

    private func clipped(_ text: String) -> String { text.count > 33 ? String(text.prefix(32)) + "…" : text }

    private func processor() -> String {
        let machine = survey.description
        var svg = box(columns.cpu, top, cardWidth, 112, "#a03030")
        svg += label(columns.cpu + 14, top + 19, "CPU", size: 14, weight: "bold", color: "#1b1b1b")
        svg += label(
            columns.cpu + cardWidth - 10, top + 19, "engine \(machine.engine.rawValue)", size: 12, color: "#a03030",
            anchor: "end")
        let facts = [
            "memory \(Value.size(machine.memory).text)", "clock \(machine.clock.mode.rawValue)",
            "interrupts \(machine.interrupts?.instance ?? "none")",
        ]
        for (index, fact) in facts.enumerated() {
            svg += label(columns.cpu + 14, top + 44 + Double(index) * 17, fact, size: 12, color: "#444")
        }
        return svg
    }

    // MARK: Wires

    private func wires(_ devices: [Card], _ backends: [Card], _ cards: [Card]) -> String {
        var svg = ""
        var leftLane = 0.0
        var rightLane = 0.0
        if let controller = survey.description.interrupts?.instance,
            let card = devices.first(where: { $0.instance.id == controller })
        {
            let (x, y) = (columns.cpu + cardWidth, top + 84)
            svg += path([(x, y), (x + 22, y), (x + 22, card.y + 12), (card.x, card.y + 12)], "#a03030", 2.5)
            svg += label(card.x - 6, card.y + 9, "INTR", size: 10, color: "#a03030", anchor: "end")
        }
        for card in cards {
            for (index, wire) in card.instance.wires.enumerated() {
                guard let target = cards.first(where: { $0.instance.id == wire.target.instance }) else { continue }
                let slot = card.instance.type.slots[wire.slot]
                let name = endpointText(wire.target, interface: slot.interface, in: survey.description)
                let y = card.y + 26 + Double(index) * 12
                if target.x <= card.x {
                    leftLane += 1
                    svg += leftWire(card, target, y, leftLane, "\(slot.name) → \(name)", wire.target.index)
                } else {
                    rightLane += 1
                    svg += rightWire(card, target, y, rightLane, "\(slot.name) → \(name)")
                }
            }
        }
        return svg
    }

    private func leftWire(
        _ card: Card, _ target: Card, _ y: Double, _ lane: Double, _ text: String, _ index: UInt32
    ) -> String {
        let x = card.x - 62 - lane * laneWidth
        let end = target.y + 26 + min(Double(index) * 2, max(0, target.height - 34))
        return path([(card.x, y), (x, y), (x, end), (target.x, end)], "#b06000", 1.5)
            + label(card.x - 6, y - 3, text, size: 9, color: "#8a4b00", anchor: "end")
    }

    private func rightWire(_ card: Card, _ target: Card, _ y: Double, _ lane: Double, _ text: String) -> String {
        let start = card.x + cardWidth
        let x = start + 100 + lane * laneWidth
        let end = target.y + target.height / 2
        return path([(start, y), (x, y), (x, end), (target.x, end)], "#2e7d4f", 1.5)
            + label(start + 6, y - 3, text, size: 9, color: "#1f5c39")
    }

    // MARK: SVG

    private static func header(_ width: Double, _ height: Double) -> String {
        let size = "width=\"\(Int(width))\" height=\"\(Int(height))\" viewBox=\"0 0 \(Int(width)) \(Int(height))\""
        return "<svg xmlns=\"http://www.w3.org/2000/svg\" \(size) font-family=\"DejaVu Sans, Helvetica, sans-serif\">\n"
            + "<rect width=\"100%\" height=\"100%\" fill=\"#fbfbf8\"/>\n"
    }

    private func heading(_ x: Double, _ text: String) -> String {
        label(x, top - 18, text, size: 13, weight: "bold", color: "#666")
    }

    private func box(_ x: Double, _ y: Double, _ width: Double, _ height: Double, _ color: String) -> String {
        "<rect x=\"\(x)\" y=\"\(y)\" width=\"\(width)\" height=\"\(height)\" rx=\"4\" fill=\"#fff\" stroke=\"\(color)\" stroke-width=\"1.5\"/>\n"
            + "<rect x=\"\(x)\" y=\"\(y)\" width=\"6\" height=\"\(height)\" rx=\"2\" fill=\"\(color)\"/>\n"
    }

    private func path(_ points: [(Double, Double)], _ color: String, _ width: Double) -> String {
        let text = points.map { "\($0.0),\($0.1)" }.joined(separator: " ")
        return "<polyline points=\"\(text)\" fill=\"none\" stroke=\"\(color)\" stroke-width=\"\(width)\"/>\n"
    }

    private func label(
        _ x: Double, _ y: Double, _ text: String, size: Int, weight: String = "normal", color: String,
        anchor: String = "start"
    ) -> String {
        let safe = text.replacing("&", with: "&amp;").replacing("<", with: "&lt;")
        return
            "<text x=\"\(x)\" y=\"\(y)\" font-size=\"\(size)\" font-weight=\"\(weight)\" fill=\"\(color)\" text-anchor=\"\(anchor)\">\(safe)</text>\n"
    }
}
