/// What the machine is made of ("survey/1"), for those who describe it to its guest. From reset on.
public struct Survey: @unchecked Sendable {
    public struct Instance: Equatable, Sendable {
        public let id: String
        /// Its class.
        public let plugin: String
    }
    public struct Claim: Equatable, Sendable {
        /// A number in `instances`.
        public let instance: Int
        /// BP_SPACE_*
        public let space: Int
        public let base: UInt64
        public let length: UInt64
        public let name: String
    }
    public struct Wire: Equatable, Sendable {
        public let instance: Int
        public let slot: String
        public let interface: String
        public let position: Int
        /// The other end: `instances[target].index`.
        public let target: Int
        public let index: UInt32
    }

    public let instances: [Instance]
    /// Those that answer something now.
    public let claims: [Claim]
    public let wires: [Wire]

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
    }
}

extension Host {
    /// Throws where the host is older than minor 5.
    public var survey: Survey {
        get throws(PluginError) { try Survey(self) }
    }
}
