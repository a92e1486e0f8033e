import Testing
import VirtioConsole

/// Virtio 1.2, 5.3.4.
@Suite struct VirtioConsoleTests {
    @Test func configurationHasOnePort() {
        #expect(VirtioConsole.readConfig(4, width: 4) == 1)
        #expect(VirtioConsole.readConfig(4, width: 1) == 1 && VirtioConsole.readConfig(5, width: 1) == 0)
        #expect(VirtioConsole.readConfig(0, width: 4) == 0 && VirtioConsole.readConfig(8, width: 4) == 0)
        #expect(VirtioConsole.identity.type == 3 && VirtioConsole.identity.queues == 2)
    }

    @Test func emergencyWriteIsACharacter() {
        #expect(VirtioConsole.emergencyCharacter(8, 0x141) == 0x41)
        #expect(VirtioConsole.emergencyCharacter(4, 0x41) == nil)
    }
}
