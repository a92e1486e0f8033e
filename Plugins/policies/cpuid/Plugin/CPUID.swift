import CPUTemplates
import PluginKit

/// Shows a guest another CPU than the engine's, and never a feature that the engine does not have. `CPUIDView` decides. It needs
/// an engine that delivers CPUID exits.
final class CPUIDPolicy: Instance {
    static let definition = ClassDefinition.policy(
        "cpuid", summary: "shows a guest another CPU: a named template, less single features",
        properties: [
            Property(
                "template", .choice, default: "host", live: true,
                choices: ["host", "i486", "pentium", "pentium-mmx", "pentium2", "pentium3", "pentium4", "core2"],
                doc: "the most that is shown; host: all that the engine has"),
            Property(
                "hide", .text, list: true, live: true, doc: "features to hide, by their names in Linux's /proc/cpuinfo"),
            Property("vendor", .text, live: true, doc: "vendor of leaf 0, of 12 characters"),
            Property("brand", .text, live: true, doc: "brand string, of at most 48 characters"),
        ],
        methods: [Method("features", result: .text, doc: "features that it can hide", function: featuresMethod)],
        make: { (host, values) throws(PluginError) in try CPUIDPolicy(host, values) })

    private var view = CPUIDView()

    init(_ host: Host, _ values: Values) throws(PluginError) {
        for name in ["template", "hide", "vendor", "brand"] { try view.set(name, from: values) }
        super.init(host)
    }

    override func connect() throws(PluginError) {
        try host.exits.want(BP_EXIT_CPUID, 0...UInt64.max, [.decide, .required])
    }

    override func setProperty(_ name: String, to values: Values) throws(PluginError) {
        var next = view
        try next.set(name, from: values)
        view = next
    }

    override func decide(_ exit: inout bp_exit) -> Verdict {
        guard Int(exit.reason) == BP_EXIT_CPUID, !exit.asksPower else { return .continue }
        let own = CPUIDAnswer(
            eax: UInt32(truncatingIfNeeded: exit.value), ebx: UInt32(truncatingIfNeeded: exit.extra.1),
            ecx: UInt32(truncatingIfNeeded: exit.extra.2), edx: UInt32(truncatingIfNeeded: exit.extra.3))
        let shown = view.answer(
            leaf: UInt32(truncatingIfNeeded: exit.address), subleaf: UInt32(truncatingIfNeeded: exit.extra.0), own: own)
        exit.value = UInt64(shown.eax)
        (exit.extra.1, exit.extra.2, exit.extra.3) = (UInt64(shown.ebx), UInt64(shown.ecx), UInt64(shown.edx))
        return .handled
    }

    fileprivate func replyFeatures() {
        host.reply(CPUFeature.all.map(\.name.description).joined(separator: " ") + "\n")
    }
}

extension CPUIDView {
    mutating func set(_ name: String, from values: Values) throws(PluginError) {
        switch name {
        case "template":
            let index = values.choice(name)
            template = CPUTemplate.all.indices.contains(index) ? CPUTemplate.all[index] : CPUTemplate.all[0]
        case "hide":
            var features: [CPUFeature] = []
            for text in values.textList(name) {
                guard let feature = CPUFeature.named(text) else {
                    throw PluginError("hide: there is no feature " + text)
                }
                features.append(feature)
            }
            hidden = features
        case "vendor":
            let text = Array(values.text(name).utf8)
            guard text.isEmpty || text.count == 12 else {
                throw PluginError("vendor: it has 12 characters, as GenuineIntel")
            }
            vendor = text.isEmpty ? nil : text
        case "brand":
            let text = Array(values.text(name).utf8)
            guard text.count <= 48 else { throw PluginError("brand: it has at most 48 characters") }
            brand = text.isEmpty ? nil : text
        default: break
        }
    }
}

private let featuresMethod: @convention(c) (UnsafeMutableRawPointer?) -> Void = {
    instance($0, as: CPUIDPolicy.self).replyFeatures()
}

let library = Library(
    "cpuid", version: "1.0", summary: "CPU templates", needsMinor: 0, classes: [CPUIDPolicy.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
