import LocalAPIC
import Testing

/// Registers, priorities and delivery: SDM volume 3, "Advanced Programmable Interrupt Controller".
@Suite struct LocalAPICTests {
    // MARK: Reset values

    @Test func powerUpValuesAreTheSDMs() {
        let chip = LocalAPIC(id: 3, isBootstrap: false)
        let expected: [(UInt16, UInt32)] = [
            (0x020, 0x0300_0000), (0x030, 0x0005_0014), (0x080, 0), (0x090, 0), (0x0A0, 0), (0x0D0, 0),
            (0x0E0, 0xFFFF_FFFF), (0x0F0, 0xFF), (0x280, 0), (0x300, 0), (0x310, 0), (0x320, 0x1_0000),
            (0x330, 0x1_0000), (0x340, 0x1_0000), (0x350, 0x1_0000), (0x360, 0x1_0000), (0x370, 0x1_0000),
            (0x380, 0), (0x390, 0), (0x3E0, 0),
        ]
        for (offset, value) in expected { #expect(chip.peek(offset, at: 0) == value, "\(offset)") }
        for offset in stride(from: UInt16(0x100), to: 0x280, by: 16) { #expect(chip.peek(offset, at: 0) == 0) }
        #expect(chip.base == 0xFEE0_0800)
    }

    @Test func theBootstrapCPUIsMarkedAndHearsThePIC() {
        var chip = LocalAPIC(id: 0, isBootstrap: true)
        #expect(chip.base == 0xFEE0_0900)
        #expect(chip.peek(0x350, at: 0) == 0x700)
        chip.setLine(0, true, at: 0)
        #expect(chip.request == .external)
    }

    @Test func reservedBitsDoNotStick() {
        var chip = readyAPIC()
        let expected: [(UInt16, UInt32)] = [
            (0x020, 0xFF00_0000), (0x080, 0xFF), (0x0D0, 0xFF00_0000), (0x0E0, 0xFFFF_FFFF), (0x0F0, 0x3FF),
            (0x310, 0xFF00_0000), (0x320, 0x7_00FF), (0x330, 0x1_07FF), (0x340, 0x1_07FF), (0x350, 0x1_A7FF),
            (0x360, 0x1_A7FF), (0x370, 0x1_00FF), (0x3E0, 0xB),
        ]
        for (offset, value) in expected {
            chip.write(offset, 0xFFFF_FFFF, at: 0)
            #expect(chip.peek(offset, at: 0) == value, "\(offset)")
        }
        chip.write(0x0E0, 0, at: 0)
        #expect(chip.peek(0x0E0, at: 0) == 0x0FFF_FFFF)
    }

    // MARK: Priorities

    @Test func theHighestVectorGoesFirstAndOnlyHigherClassesNest() {
        var chip = readyAPIC()
        for vector: UInt8 in [0x31, 0x52, 0x55, 0x41] { chip.fixed(vector) }
        #expect(chip.peek(0x210, at: 0) == 1 << 17, "IRR bit 0x31")
        #expect(chip.acknowledge() == .vector(0x55))
        #expect(chip.peek(0x0A0, at: 0) == 0x50)
        #expect(chip.request == nil, "0x52 is of the same class")
        chip.fixed(0x60)
        #expect(chip.acknowledge() == .vector(0x60))
        #expect(chip.peek(0x120, at: 0) == 1 << 21)
        #expect(chip.peek(0x130, at: 0) == 1)
        chip.end()
        #expect(chip.request == nil)
        chip.end()
        #expect(chip.acknowledge() == .vector(0x52))
        chip.end()
        #expect(chip.acknowledge() == .vector(0x41))
        chip.end()
        #expect(chip.acknowledge() == .vector(0x31))
    }

    @Test func taskPriorityHoldsItsClassAndLowerBack() {
        var chip = readyAPIC()
        chip.fixed(0x4F)
        for (priority, requested): (UInt32, Bool) in [
            (0x3F, true), (0x40, false), (0x4F, false), (0xFF, false), (0, true),
        ] {
            chip.write(0x080, priority, at: 0)
            #expect((chip.request != nil) == requested)
            #expect(chip.peek(0x0A0, at: 0) == priority)
        }
        chip.setTaskPriorityClass(9)
        #expect(chip.peek(0x080, at: 0) == 0x90)
        #expect(chip.taskPriorityClass == 9)
    }

    /// PPR: TPR where its class is at least ISRV's, else ISRV's class alone. APR by the SDM's formula.
    @Test func derivedPrioritiesFollowTheFormulas() {
        for task: UInt8 in [0x00, 0x23, 0x35, 0x47, 0xF1] {
            for service: UInt8 in [0x00, 0x31, 0x48, 0xE2] {
                for request: UInt8 in [0x00, 0x2C, 0x35, 0x4A, 0xF0] {
                    var chip = readyAPIC()
                    var state = chip.state
                    state.taskPriority = task
                    if service != 0 { state.inService.insert(service) }
                    if request != 0 { state.requests.insert(request) }
                    #expect(chip.restore(state) == true)
                    let ppr = task >> 4 >= service >> 4 ? task : service & 0xF0
                    #expect(chip.peek(0x0A0, at: 0) == UInt32(ppr))
                    let apr =
                        task >> 4 >= request >> 4 && task >> 4 > service >> 4
                        ? task : max((task >> 4) & (service >> 4), request >> 4) << 4
                    #expect(chip.peek(0x090, at: 0) == UInt32(apr))
                }
            }
        }
    }

    @Test func anAcknowledgeOfNothingIsTheSpuriousVectorAndNotInService() {
        var chip = readyAPIC()
        chip.write(0x0F0, 0x1A7, at: 0)
        chip.fixed(0x40)
        chip.write(0x080, 0x50, at: 0)
        #expect(chip.acknowledge() == .vector(0xA7))
        #expect(chip.state.inService.isEmpty)
        chip.write(0x080, 0, at: 0)
        #expect(chip.acknowledge() == .vector(0x40), "it was not lost")
    }

    // MARK: Levels and their ends

    @Test func onlyLevelTriggeredEndsAreBroadcast() {
        var chip = readyAPIC()
        chip.fixed(0x40, level: true)
        chip.fixed(0x80)
        #expect(chip.peek(0x1A0, at: 0) == 1, "TMR bit 0x40")
        _ = chip.acknowledge()
        chip.end()
        #expect(chip.takeOutputs().endedVector == nil)
        #expect(chip.acknowledge() == .vector(0x40))
        chip.end()
        #expect(chip.takeOutputs().endedVector == 0x40)
        chip.end()
        #expect(chip.takeOutputs().endedVector == nil, "nothing in service")
        chip.fixed(0x40)
        #expect(chip.peek(0x1A0, at: 0) == 0)
    }

    // MARK: Software disable

    @Test func softwareDisableMasksTheTableAndKeepsWhatWaits() {
        var chip = readyAPIC()
        chip.fixed(0x40)
        chip.write(0x320, 0x50, at: 0)
        chip.write(0x0F0, 0xFF, at: 0)
        for offset: UInt16 in [0x320, 0x330, 0x340, 0x350, 0x360, 0x370] {
            #expect(chip.peek(offset, at: 0) & 0x1_0000 != 0)
            chip.write(offset, 0x60, at: 0)
            #expect(chip.peek(offset, at: 0) & 0x1_0000 != 0, "the mask cannot be cleared")
        }
        chip.fixed(0x50)
        #expect(chip.acknowledge() == .vector(0x40))
        #expect(chip.request == nil, "0x50 was not accepted")
        for (delivery, check): (InterruptMessage.Delivery, (LocalAPIC.Outputs) -> Bool) in [
            (.nonMaskable, { $0.nonMaskable }), (.systemManagement, { $0.systemManagement }),
            (.startUp, { $0.startUp == 0x9F }), (.initialize, { $0.initialize }),
        ] {
            chip.receive(InterruptMessage(destination: .physical(0), delivery: delivery, vector: 0x9F), at: 0)
            #expect(check(chip.takeOutputs()), "\(delivery) arrives all the same")
        }
    }

    // MARK: LINT0 and LINT1

    @Test func externalInterruptsFollowThePinAndGoToThePIC() {
        var chip = readyAPIC()
        chip.write(0x350, 0x700, at: 0)
        chip.fixed(0x40)
        #expect(chip.request == .vector(0x40))
        chip.setLine(0, true, at: 0)
        chip.write(0x080, 0xFF, at: 0)
        #expect(chip.acknowledge() == .external, "TPR does not hold it back")
        #expect(chip.state.inService.isEmpty)
        chip.setLine(0, false, at: 0)
        #expect(chip.request == nil)
        chip.setLine(0, true, at: 0)
        chip.write(0x350, 0x1_0700, at: 0)
        #expect(chip.request == nil, "masked")
    }

    @Test func lint0AsALevelAsksAgainUntilItIsReleased() {
        var chip = readyAPIC()
        chip.write(0x350, 0x8041, at: 0)
        chip.setLine(0, true, at: 0)
        #expect(chip.peek(0x350, at: 0) == 0xC041, "remote IRR")
        #expect(chip.acknowledge() == .vector(0x41))
        #expect(chip.request == nil)
        chip.end()
        #expect(chip.acknowledge() == .vector(0x41), "still asserted")
        chip.setLine(0, false, at: 0)
        chip.end()
        #expect(chip.request == nil)
        #expect(chip.peek(0x350, at: 0) == 0x8041)
    }

    @Test func lint0AsAnEdgeAsksOnceForEachRise() {
        var chip = readyAPIC()
        chip.write(0x350, 0x41, at: 0)
        chip.setLine(0, true, at: 0)
        chip.setLine(0, true, at: 0)
        #expect(chip.acknowledge() == .vector(0x41))
        chip.end()
        #expect(chip.request == nil)
        chip.setLine(0, false, at: 0)
        chip.setLine(0, true, at: 0)
        #expect(chip.request == .vector(0x41))
    }

    @Test func lint1IsNMIWhereItsEntrySaysSo() {
        var chip = readyAPIC()
        chip.setLine(1, true, at: 0)
        #expect(chip.takeOutputs().nonMaskable == false, "masked at reset")
        chip.setLine(1, false, at: 0)
        chip.write(0x360, 0x400, at: 0)
        chip.setLine(1, true, at: 0)
        #expect(chip.takeOutputs().nonMaskable == true)
        #expect(chip.takeOutputs().nonMaskable == false)
    }

    @Test func aPerformanceInterruptMasksItself() {
        var chip = readyAPIC()
        chip.write(0x340, 0x400, at: 0)
        chip.raise(.performance)
        #expect(chip.takeOutputs().nonMaskable == true)
        #expect(chip.peek(0x340, at: 0) == 0x1_0400)
        chip.write(0x330, 0x66, at: 0)
        chip.raise(.thermal)
        #expect(chip.acknowledge() == .vector(0x66))
    }

    // MARK: Errors

    @Test func errorsShowAfterAWriteAndInterruptOnce() {
        var chip = readyAPIC()
        chip.write(0x370, 0x3E, at: 0)
        chip.fixed(0x0F)
        #expect(chip.acknowledge() == .vector(0x3E))
        chip.fixed(0x05)
        chip.end()
        #expect(chip.request == nil, "the bit was set already")
        #expect(chip.peek(0x280, at: 0) == 0, "not before the write")
        chip.write(0x280, 0, at: 0)
        #expect(chip.read(0x280, at: 0) == 0x40)
        chip.write(0x280, 0, at: 0)
        #expect(chip.read(0x280, at: 0) == 0)
        chip.write(0x300, 0x0_000F, at: 0)
        #expect(chip.takeOutputs().sent == nil)
        #expect(chip.read(0x040, at: 0) == 0)
        chip.write(0x3F4, 0, at: 0)
        chip.write(0x280, 0, at: 0)
        #expect(chip.read(0x280, at: 0) == 0xA0)
    }

    // MARK: APIC base

    @Test func reservedBitsOfTheBaseAreRefused() {
        var chip = readyAPIC()
        let refused: [UInt64] = [0xFEE0_0801, 0xFEE0_0A00, 0xFEE0_0C00, 1 << 40 | 0x800, 1 << 63]
        for value in refused {
            #expect(chip.writeBase(value, at: 0) == false)
            #expect(chip.base == 0xFEE0_0900)
        }
        #expect(chip.writeBase(0xD000_0900, at: 0) == true)
        #expect(chip.base == 0xD000_0900)
    }

    @Test func switchedOffTheChipForgetsAndThePinsAreTheCPUs() {
        var chip = readyAPIC(id: 5)
        chip.fixed(0x40)
        #expect(chip.writeBase(0xFEE0_0100, at: 0) == true)
        #expect(chip.request == nil)
        chip.setLine(0, true, at: 0)
        #expect(chip.acknowledge() == .external)
        chip.setLine(1, true, at: 0)
        #expect(chip.takeOutputs().nonMaskable == true)
        chip.fixed(0x50)
        #expect(chip.writeBase(0xFEE0_0900, at: 0) == true)
        #expect(chip.request == nil)
        #expect(chip.peek(0x0F0, at: 0) == 0xFF)
        #expect(chip.peek(0x020, at: 0) == 0x0500_0000)
    }

    // MARK: Out

    @Test func theSelfShorthandStaysInTheChip() {
        var chip = readyAPIC()
        chip.write(0x300, 0x4_0077, at: 0)
        #expect(chip.takeOutputs().sent == nil)
        #expect(chip.request == .vector(0x77))
        #expect(chip.peek(0x300, at: 0) == 0x4_0077, "delivery status idle")
    }

    @Test func theCommandRegisterSaysWhoAndWhat() {
        let cases: [(UInt32, UInt32, InterruptMessage?)] = [
            (0x0700_0000, 0x0_0040, .init(destination: .physical(7), delivery: .fixed, vector: 0x40)),
            (0x0300_0000, 0x0_0940, .init(destination: .logical(3), delivery: .lowestPriority, vector: 0x40)),
            (0, 0x8_00FE, .init(destination: .allIncludingSelf, delivery: .fixed, vector: 0xFE)),
            (0, 0xC_4500, .init(destination: .allExcludingSelf, delivery: .initialize, vector: 0)),
            (0, 0xC_4608, .init(destination: .allExcludingSelf, delivery: .startUp, vector: 8)),
            (0x0100_0000, 0x0_0400, .init(destination: .physical(1), delivery: .nonMaskable, vector: 0)),
            (0x0100_0000, 0x0_0200, .init(destination: .physical(1), delivery: .systemManagement, vector: 0)),
            (0x0100_0000, 0x0_8500, nil),  // INIT de-assert
            (0, 0x8_4500, nil),  // INIT to all including self: invalid
            (0, 0x0_0340, nil),  // reserved delivery mode
            (0, 0x0_0700, nil),  // ExtINT is no IPI
        ]
        for (high, low, message) in cases {
            var chip = readyAPIC()
            chip.write(0x310, high, at: 0)
            chip.write(0x300, low, at: 0)
            #expect(chip.takeOutputs().sent == message, "\(low)")
        }
    }

    @Test func messagesOfDevicesAreReadAsTheSDMLaysThemOut() {
        #expect(
            InterruptMessage(address: 0xFEE0_3000, data: 0x41)
                == .init(destination: .physical(3), delivery: .fixed, vector: 0x41))
        #expect(
            InterruptMessage(address: 0xFEEF_F00C, data: 0xC199)
                == .init(destination: .logical(0xFF), delivery: .lowestPriority, vector: 0x99, isLevelTriggered: true))
        #expect(InterruptMessage(address: 0xFEE0_0000, data: 0x8041) == nil, "a level that falls")
        #expect(InterruptMessage(address: 0xFEE0_0000, data: 0x0341) == nil, "a reserved delivery mode")
        #expect(InterruptMessage(address: 0xFED0_0000, data: 0x41) == nil)
        #expect(InterruptMessage(address: 0x1_FEE0_0000, data: 0x41) == nil)
    }
}
