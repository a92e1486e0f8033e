// A machine with one plugin of this process that claims all ports and all of guest-physical space, and hands what comes
// to closures. The CPU is not the machine's: the tests run it.

import CBackplane
import CHost

@testable import Core

final class TestExits: @unchecked Sendable {
    private(set) var machine: Machine!
    var vcpu: VCPU { machine.vcpus[0] }

    // Called with the machine's lock held; unset: all ones, dropped, no vector, unhandled.
    var onPortRead: ((UInt16, UInt8) -> UInt64)?
    var onPortWrite: ((UInt16, UInt8, UInt64) -> Void)?
    /// `rep ins` in one call; unset: element by element through `onPortRead`.
    var onPortReadString: ((UInt16, UInt8, Int, UnsafeMutableRawPointer) -> Void)?
    var onMemoryRead: ((UInt64, UInt8) -> UInt64)?
    var onMemoryWrite: ((UInt64, UInt8, UInt64) -> Void)?
    var onAcknowledge: (() -> UInt8)?
    /// Every exit of the reasons wanted, as a policy sees it.
    var onEvent: ((inout bp_exit) -> EventResult)?

    private let plugin = TestPlugin()

    init() throws {
        let library = try PluginLibrary(builtIn: plugin.descriptor(user: Unmanaged.passUnretained(self).toOpaque()))
        let place = SourceLocation(file: "test", line: 1, column: 1)
        let instance = InstanceDescription(
            id: "catch-all", libraryPath: "built in", type: library.description.classes[0], values: [], isGiven: [],
            location: place)
        machine = try Machine(
            MachineDescription(
                name: "test", interrupts: Endpoint(instance: "catch-all", index: 0), cpuCount: 1, memory: 0,
                instances: [instance], watchdog: 0),
            options: MachineOptions(makeEngine: nil, log: { _, _, _ in }, loadLibrary: { _ in library }))
        want([31, 32])
    }

    deinit {
        machine.tearDown()
        plugin.free()
    }

    func set(_ bits: UInt32) { vcpu.set(bits) }
    func clear(_ bits: UInt32) { _ = ch_clear_bits(vcpu.attention, bits) }
    /// From here on the INTA cycle is not answered, with the pin still high.
    func takeControllerOffline() { machine.instances[0].node.pointee.is_offline = 1 }

    /// The policy decides exits of these reasons.
    func want(_ reasons: [Int]) {
        let me = Unmanaged.passUnretained(self).toOpaque()
        let record = PolicyRecord(
            owner: ObjectIdentifier(self), instance: me, node: machine.instances[0].node,
            decide: { raw, exit, verdict in
                guard let exit, let verdict, let answer = TestExits.of(raw).onEvent?(&exit.pointee) else { return 0 }
                switch answer {
                case .unhandled: return UInt32(BP_VERDICT_CONTINUE)
                case .handled: return UInt32(BP_VERDICT_HANDLED)
                case .inject(let vector, let code):
                    verdict.pointee.vector = UInt32(vector)
                    verdict.pointee.error_code = code ?? 0
                    verdict.pointee.has_error_code = code == nil ? 0 : 1
                    return UInt32(BP_VERDICT_INJECT)
                }
            }, observe: nil)
        let wants = reasons.map {
            PolicyWant(
                id: 1, owner: ObjectIdentifier(self), reason: UInt16($0), flags: UInt16(BP_WANT_DECIDE), first: 0,
                last: .max)
        }
        machine.exits.policies.deallocate()
        machine.exits.policies = PolicyTables(policies: [record], wants: wants)
        machine.exits.ports.update(PortSpace.everything, machine.exits.claims, wants: wants)
    }

    static func of(_ raw: UnsafeMutableRawPointer?) -> TestExits {
        Unmanaged<TestExits>.fromOpaque(raw!).takeUnretainedValue()
    }

    // MARK: What the plugin does

    fileprivate var host: UnsafePointer<bp_host>?
    fileprivate var controllerTable: UnsafeRawPointer { UnsafeRawPointer(plugin.controller) }

    fileprivate func claimEverything() -> bp_status {
        let host = host!
        let io = host.pointee.service(host, "io/1")!.assumingMemoryBound(to: bp_io_1.self)
        var claim = bp_claim()
        claim.size = UInt32(MemoryLayout<bp_claim>.size)
        claim.read = { raw, access, value in
            let (me, at) = (TestExits.of(raw), access!.pointee)
            value!.pointee =
                at.space == BP_SPACE_PORT
                ? me.onPortRead?(UInt16(at.address), at.width) ?? .max : me.onMemoryRead?(at.address, at.width) ?? .max
            return 0
        }
        claim.write = { raw, access, value in
            let (me, at) = (TestExits.of(raw), access!.pointee)
            if at.space == BP_SPACE_PORT {
                me.onPortWrite?(UInt16(at.address), at.width, value)
            } else {
                me.onMemoryWrite?(at.address, at.width, value)
            }
            return 0
        }
        claim.read_bulk = { raw, access, bytes, count, done in
            guard let take = TestExits.of(raw).onPortReadString else { return 0 }
            take(UInt16(access!.pointee.address), access!.pointee.width, Int(count), bytes!)
            done!.pointee = count
            return 0
        }
        var id: bp_id = 0
        claim.space = UInt16(BP_SPACE_PORT)
        claim.widths = 7
        claim.length = 0x10000
        let status = io.pointee.claim(host, &claim, &id)
        claim.space = UInt16(BP_SPACE_MEMORY)
        claim.widths = 15
        claim.length = 1 << 40
        return status == 0 ? io.pointee.claim(host, &claim, &id) : status
    }
}

/// The descriptor of a plugin with one class, `catch-all`, which answers the INTA cycle.
/// SAFETY: allocated once for each TestExits, freed after its machine is gone.
private struct TestPlugin {
    private let library = UnsafeMutablePointer<bp_plugin>.allocate(capacity: 1)
    private let type = UnsafeMutablePointer<bp_class>.allocate(capacity: 1)
    private let list = UnsafeMutablePointer<UnsafePointer<bp_class>?>.allocate(capacity: 1)
    let controller = UnsafeMutablePointer<bp_irq_controller>.allocate(capacity: 1)

    func descriptor(user: UnsafeMutableRawPointer) -> UnsafePointer<bp_plugin> {
        let name = ("catch-all" as StaticString).utf8Start.withMemoryRebound(to: CChar.self, capacity: 10) { $0 }
        controller.initialize(to: bp_irq_controller())
        controller.pointee.size = UInt32(MemoryLayout<bp_irq_controller>.size)
        controller.pointee.acknowledge = { raw, _, _ in UInt32(TestExits.of(raw).onAcknowledge?() ?? 0) }
        type.initialize(to: bp_class())
        type.pointee.size = UInt32(MemoryLayout<bp_class>.size)
        type.pointee.kind = UInt16(BP_DEVICE)
        type.pointee.name = name
        type.pointee.user = user
        type.pointee.create = { type, host, _, result in
            TestExits.of(type!.pointee.user).host = host
            result!.pointee = type!.pointee.user
            return 0
        }
        type.pointee.query_interface = { raw, _, _, _, out in
            out!.pointee.`self` = raw
            out!.pointee.functions = TestExits.of(raw).controllerTable
            return 0
        }
        type.pointee.connect = { raw in TestExits.of(raw).claimEverything() }
        type.pointee.destroy = { _ in }
        list.initialize(to: UnsafePointer(type))
        library.initialize(to: bp_plugin())
        library.pointee.size = UInt32(MemoryLayout<bp_plugin>.size)
        library.pointee.abi_major = UInt16(BP_ABI_MAJOR)
        library.pointee.class_count = 1
        library.pointee.name = name
        library.pointee.classes = UnsafePointer(list)
        return UnsafePointer(library)
    }

    func free() {
        library.deallocate()
        type.deallocate()
        list.deallocate()
        controller.deallocate()
    }
}
