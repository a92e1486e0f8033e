/// What the machine is made of ("survey/1"), for those who describe it to its guest. From reset on.
public struct Survey: @unchecked Sendable {
    public struct Instance: Equatable, Sendable {
        public let id: String
        /// Its class.
        public let plugin: String

        public init(id: String, plugin: String) { (self.id, self.plugin) = (id, plugin) }
    }
    public struct Claim: Equatable, Sendable {
        /// A number in `instances`.
        public let instance: Int
        /// BP_SPACE_*
        public let space: Int
        public let base: UInt64
        public let length: UInt64
        public let name: String

        public init(instance: Int, space: Int, base: UInt64, length: UInt64, name: String) {
            (self.instance, self.space, self.base, self.length) = (instance, space, base, length)
            self.name = name
        }
    }
    public struct Wire: Equatable, Sendable {
        public let instance: Int
        public let slot: String
        public let interface: String
        public let position: Int
        /// The other end: `instances[target].index`.
        public let target: Int
        public let index: UInt32

        public init(instance: Int, slot: String, interface: String, position: Int, target: Int, index: UInt32) {
            (self.instance, self.slot, self.interface) = (instance, slot, interface)
            (self.position, self.target, self.index) = (position, target, index)
        }
    }
    /// What an instance is to an operating system that has to be told of it, as its class declares it.
    public struct Node: Equatable, Sendable {
        /// A number in `instances`.
        public let instance: Int
        public let role: FirmwareNode.Role
        public let flags: FirmwareNode.Flags
        /// nil: a function of PCI, or no device.
        public let hid: String?
        public let cids: [String]
        /// Names; nil: all that the instance has.
        public let claims: [String]?
        public let slots: [String]?
        /// Terms in AML.
        public let template: [UInt8]
        public let links: [String]
    }

    public let instances: [Instance]
    /// Those that answer something now.
    public let claims: [Claim]
    public let wires: [Wire]
    /// In the order of the instances; none where the host is older than minor 9.
    public let nodes: [Node]

    public init(instances: [Instance], claims: [Claim], wires: [Wire], nodes: [Node]) {
        (self.instances, self.claims, self.wires, self.nodes) = (instances, claims, wires, nodes)
    }

    init(_ host: Host) throws(PluginError) {
        let table = try host.required("survey/1", as: bp_survey_1.self)
        func items(_ kind: Int) -> [bp_survey_item] {
            (0..<table.pointee.count(host.raw, UInt32(kind))).compactMap { number in
                var item = bp_survey_item()
                item.size = UInt32(MemoryLayout<bp_survey_item>.size)
                return table.pointee.get(host.raw, UInt32(kind), number, &item) == 0 ? item : nil
            }
        }
        instances = items(BP_SURVEY_INSTANCE).map { Instance(id: text(of: $0.name), plugin: text(of: $0.type)) }
        claims = items(BP_SURVEY_CLAIM).map {
            Claim(
                instance: Int($0.instance), space: Int($0.index), base: $0.base, length: $0.length,
                name: text(of: $0.name))
        }
        wires = items(BP_SURVEY_WIRE).map {
            Wire(
                instance: Int($0.instance), slot: text(of: $0.name), interface: text(of: $0.type),
                position: Int($0.position), target: Int($0.target), index: $0.index)
        }
        nodes = instances.indices.flatMap { Survey.nodes(of: $0, table, host) }
    }

    private static func nodes(of instance: Int, _ table: UnsafePointer<bp_survey_1>, _ host: Host) -> [Node] {
        guard table.has(\.node), let get = table.pointee.node else { return [] }
        var nodes: [Node] = []
        while true {
            var raw = bp_firmware_node()
            raw.size = UInt32(MemoryLayout<bp_firmware_node>.size)
            guard get(host.raw, UInt32(instance), UInt32(nodes.count), &raw) == 0 else { return nodes }
            nodes.append(Node(instance, raw))
        }
    }
}

extension Survey.Node {
    public init(
        instance: Int, hid: String?, cids: [String] = [], role: FirmwareNode.Role = .device,
        flags: FirmwareNode.Flags = [], claims: [String]? = nil, slots: [String]? = nil, template: [UInt8] = [],
        links: [String] = []
    ) {
        (self.instance, self.hid, self.cids, self.role, self.flags) = (instance, hid, cids, role, flags)
        (self.claims, self.slots, self.template, self.links) = (claims, slots, template, links)
    }

    /// SAFETY: the host has checked texts, lists and lengths.
    fileprivate init(_ instance: Int, _ raw: bp_firmware_node) {
        self.init(
            instance: instance, hid: raw.hid.map { String(cString: $0) }, cids: Self.texts(raw.cids) ?? [],
            role: FirmwareNode.Role(rawValue: raw.role) ?? .device, flags: FirmwareNode.Flags(rawValue: raw.flags),
            claims: Self.texts(raw.claims), slots: Self.texts(raw.slots),
            template: [UInt8](UnsafeBufferPointer(start: raw.aml, count: raw.aml == nil ? 0 : Int(raw.aml_length))),
            links: Self.texts(raw.links) ?? [])
    }

    private static func texts(_ list: UnsafePointer<UnsafePointer<CChar>?>?) -> [String]? {
        guard let list else { return nil }
        var results: [String] = []
        while let item = list[results.count] { results.append(String(cString: item)) }
        return results
    }
}

extension Host {
    /// Throws where the host is older than minor 5.
    public var survey: Survey {
        get throws(PluginError) { try Survey(self) }
    }
}
