/// Guest memory as rings and buffers are read and written there. Every address is the guest's word: nil and false where it is no memory (or
/// ROM, of a write), and nothing has happened then. Numbers are little-endian (virtio 1.2, 1.4; x86 has no other for legacy drivers either).
public protocol VirtioMemory {
    func read16(_ address: UInt64) -> UInt16?
    func write16(_ address: UInt64, _ value: UInt16) -> Bool
    func readDescriptor(_ address: UInt64) -> VirtQueue.Descriptor?
    func writeUsed(_ address: UInt64, _ element: VirtQueue.UsedElement) -> Bool
    func read(_ address: UInt64, count: Int) -> [UInt8]?
    func write(_ address: UInt64, _ bytes: ArraySlice<UInt8>) -> Bool
    /// What was written before is seen by the guest's CPUs before what is read after it.
    func fence()
}
