// What follows when claims and mappings change: the tables of the dispatch, and the engine's view of memory. With the lock held.

import CBackplane

extension Machine {
    /// Everything anew: an instance has come, gone, or changed sides of the line.
    func rebuildTables() {
        updatePorts(PortSpace.everything)
        updateMemory([AddressMap.everything])
    }

    /// After claims of these ports have changed. An access reaches up to four ports, so that a policy which wants what nobody claims may
    /// see some of the ports before them differently.
    func updatePorts(_ ports: ClosedRange<Int>) {
        exits.ports.update(max(0, ports.lowerBound - 3)...ports.upperBound, exits.claims, wants: policies.wants)
    }

    /// After claims or mappings that lie in these ranges of guest-physical space have changed.
    func updateMemory(_ ranges: [ClosedRange<UInt64>]) {
        var changed: [ClosedRange<UInt64>] = []
        for range in ranges { changed += exits.map.update(range, layers(in: range)) }
        // WHOLE claims are in no segment.
        exits.hasWholeMemoryClaims = exits.claims.hasWhole(BP_SPACE_MEMORY)
        exits.lastSegment = nil
        tellEngine(changed)
    }

    private func layers(in range: ClosedRange<UInt64>) -> [AddressLayer] {
        var layers: [AddressLayer] = []
        for mapping in memory.mappings where mapping.address <= range.upperBound && mapping.last >= range.lowerBound {
            if mapping.directions != 0 { layers.append(mapping.layer) }
        }
        for number in exits.claims.inOrder(of: BP_SPACE_MEMORY, range) {
            let record = exits.claims.records[number]
            guard !record.isWhole else { continue }
            layers.append(
                AddressLayer(
                    first: record.base, last: record.last, priority: Int64(record.priority),
                    sequence: record.sequence, reads: record.answers(isWrite: false),
                    writes: record.answers(isWrite: true), target: .claim(number)))
        }
        return layers
    }

    /// The pages of these ranges are to be looked at again.
    func tellEngine(_ ranges: [ClosedRange<UInt64>]) {
        guard let engine else { return }
        var told: ClosedRange<UInt64>?
        for range in ranges {
            let pages = AddressMap.pages(of: range)
            if let told, told.lowerBound <= pages.lowerBound, pages.upperBound <= told.upperBound { continue }
            do throws(EngineError) {
                try engine.updateMemory(pages, exits.map.mappedMemory(pages, watched: policies.watchedPages))
            } catch {
                return requestEnd(6, "the memory map cannot be changed: \(error)")
            }
            told = pages
        }
    }

    /// The plugin may have changed a region of its own by its own pointer while the guest saw it elsewhere, or not at all (flash, a ROM that is
    /// loaded again at a reset): code that was decoded from it is stale.
    func regionsMayHaveChanged(of owner: PluginInstance, _ range: ClosedRange<UInt64> = AddressMap.everything) {
        for mapping in memory.mappings
        where mapping.owner == ObjectIdentifier(owner) && mapping.region != 0 && mapping.range.overlaps(range) {
            didWrite(mapping.backing.address, mapping.length)
        }
    }

    /// Bytes of backing memory were written by somebody other than the guest's CPU: code that was decoded from them goes.
    func didWrite(_ address: UInt64, _ length: UInt64) {
        guard let engine else { return }
        exits.pageFlags.forEach(PageFlags.code, from: address, length: length) { engine.didWriteCode(page: $0) }
    }
}
