// survey/1: what the machine is made of, for those who describe it to its guest.

import CBackplane

extension ServiceTables {
    nonisolated(unsafe) static let survey = HostFunctions.constant(
        bp_survey_1(
            size: HostFunctions.size(bp_survey_1.self), reserved: 0,
            count: { host, kind in
                PluginInstance.serve(host, "survey/1 count", refused: 0) { owner in
                    if let count = owner.machine.surveyCount(Int(kind)) { return UInt32(clamping: count) }
                    _ = owner.refuse("survey/1 count", "kind", "\(kind) is no BP_SURVEY")
                    return 0
                }
            },
            get: { host, kind, number, out in
                PluginInstance.serve(host, "survey/1 get") { owner in
                    guard let out else { return owner.refuse("survey/1 get", "out", "is NULL") }
                    guard (BP_SURVEY_INSTANCE...BP_SURVEY_WIRE).contains(Int(kind)) else {
                        return owner.refuse("survey/1 get", "kind", "\(kind) is no BP_SURVEY")
                    }
                    guard var item = owner.machine.surveyItem(Int(kind), Int(number)) else {
                        return status(BP_NOT_FOUND)
                    }
                    (item.size, item.kind) = (HostFunctions.size(bp_survey_item.self), kind)
                    PassedStruct.write(item, to: out, least: LeastPassedSize.surveyItem)
                    return status(BP_OK)
                }
            },
            node: { host, instance, number, out in
                PluginInstance.serve(host, "survey/1 node") { owner in
                    guard let out else { return owner.refuse("survey/1 node", "out", "is NULL") }
                    guard var node = owner.machine.firmwareNode(Int(number), of: Int(instance)) else {
                        return status(BP_NOT_FOUND)
                    }
                    node.size = HostFunctions.size(bp_firmware_node.self)
                    PassedStruct.write(node, to: out, least: LeastPassedSize.firmwareNode)
                    return status(BP_OK)
                }
            }))
}

extension Machine {
    /// nil: no such kind.
    fileprivate func surveyCount(_ kind: Int) -> Int? {
        switch kind {
        case BP_SURVEY_INSTANCE: instances.count
        case BP_SURVEY_CLAIM: answeringClaims.count
        case BP_SURVEY_WIRE: instances.reduce(0) { $0 + $1.description.wires.count }
        default: nil
        }
    }

    /// nil: there are fewer.
    fileprivate func surveyItem(_ kind: Int, _ number: Int) -> bp_survey_item? {
        switch kind {
        case BP_SURVEY_INSTANCE: instances.indices.contains(number) ? instanceItem(number) : nil
        case BP_SURVEY_CLAIM: answeringClaims.dropFirst(number).first.map(claimItem)
        default: wireItem(number)
        }
    }

    /// As its class declares it. SAFETY: the library's constant, which was checked when it was loaded, and stays while it has an instance.
    fileprivate func firmwareNode(_ number: Int, of instance: Int) -> bp_firmware_node? {
        guard instances.indices.contains(instance) else { return nil }
        let owner = instances[instance]
        guard owner.description.type.firmware.indices.contains(number),
            let node = owner.type.pointee.nodes?[number]
        else { return nil }
        return PassedStruct.read(node, least: LeastPassedSize.firmwareNode, empty: bp_firmware_node())
    }

    private var answeringClaims: [Int] {
        (1..<max(1, exits.claims.count)).filter {
            let record = exits.claimRecords + $0
            return record.pointee.isLive && record.pointee.directions != 0
                && record.pointee.node?.pointee.is_offline == 0
        }
    }

    private func instanceItem(_ number: Int) -> bp_survey_item {
        var item = bp_survey_item()
        item.instance = UInt32(clamping: number)
        put(instances[number].id, into: &item.name)
        put(instances[number].description.type.name, into: &item.type)
        return item
    }

    private func claimItem(_ number: Int) -> bp_survey_item {
        let record = exits.claimRecords[number]
        var item = bp_survey_item()
        item.instance = UInt32(clamping: instances.firstIndex { $0.node == record.node } ?? 0)
        item.index = UInt32(record.space)
        (item.base, item.length) = (record.base, record.length)
        put(claimNames[number] ?? "", into: &item.name)
        return item
    }

    private func wireItem(_ number: Int) -> bp_survey_item? {
        var rest = number
        for (position, instance) in instances.enumerated() {
            let wires = instance.description.wires
            if wires.indices.contains(rest) { return item(of: wires[rest], at: position, instance.description.type) }
            rest -= wires.count
        }
        return nil
    }

    private func item(
        of wire: InstanceDescription.Wire, at position: Int, _ type: ClassDescription
    ) -> bp_survey_item {
        var item = bp_survey_item()
        item.instance = UInt32(clamping: position)
        item.index = wire.target.index
        item.position = UInt32(clamping: wire.position)
        item.target = UInt32(clamping: instances.firstIndex { $0.id == wire.target.instance } ?? 0)
        put(type.slots[wire.slot].name, into: &item.name)
        put(type.slots[wire.slot].interface, into: &item.type)
        return item
    }

    /// NUL-terminated, cut off where it is longer.
    private func put<T: BitwiseCopyable>(_ text: String, into room: inout T) {
        withUnsafeMutableBytes(of: &room) { $0.copyBytes(from: text.utf8.prefix($0.count - 1)) }
    }
}
