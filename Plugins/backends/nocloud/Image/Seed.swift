/// What cloud-init finds on its data source NoCloud: https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html
public struct Seed: Equatable, Sendable {
    /// By which cloud-init finds the medium.
    public static let volume = "cidata"

    public var userData: [UInt8]
    /// nil: made of the two names.
    public var metaData: [UInt8]?
    /// nil: the guest's network is as cloud-init has it without one, by DHCP.
    public var networkConfig: [UInt8]?
    /// cloud-init configures an instance once. Empty: another one whenever the rest is another.
    public var instanceID = ""
    /// Empty: the guest's name stays.
    public var hostname = ""

    public init(userData: [UInt8], metaData: [UInt8]? = nil, networkConfig: [UInt8]? = nil) {
        (self.userData, self.metaData, self.networkConfig) = (userData, metaData, networkConfig)
    }

    public var image: ISOImage {
        var files = [ISOImage.File(name: "user-data", bytes: userData)]
        files.append(.init(name: "meta-data", bytes: metaData ?? madeMetaData))
        if let networkConfig { files.append(.init(name: "network-config", bytes: networkConfig)) }
        return ISOImage(volume: Self.volume, files: files)
    }

    private var madeMetaData: [UInt8] {
        let id = instanceID.isEmpty ? "iid-" + String(hash, radix: 16) : instanceID
        let name = hostname.isEmpty ? "" : "local-hostname: \(quoted(hostname))\n"
        return Array("instance-id: \(quoted(id))\n\(name)".utf8)
    }

    /// As YAML takes it for text, whatever it looks like.
    private func quoted(_ text: String) -> String {
        "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
    }

    /// FNV-1a of 64 bits.
    private var hash: UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for part in [userData, [0], networkConfig ?? [], [0], Array(hostname.utf8)] as [[UInt8]] {
            for byte in part { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        }
        return hash
    }
}
