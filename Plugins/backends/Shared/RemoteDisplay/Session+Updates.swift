extension Session {
    /// Pixels of one update, about: what is beyond comes with the next, so that a client's bytes stay few.
    private static let mostPixels = 1 << 21

    private var wholeArea: PixelArea { PixelArea(x: 0, y: 0, width: width, height: height) }

    /// A request is open, and what has been seen so far does not answer it.
    public var waitsForPicture: Bool {
        guard stage == .open, output.isEmpty, let request else { return false }
        return !changed.intersects(request)
    }

    mutating func ask(_ area: PixelArea, isIncremental: Bool) {
        let area = area.intersection(wholeArea)
        guard !area.isEmpty else { return }
        if !isIncremental { changed.insert(area) }
        request = request.map { $0.union(area) } ?? area
    }

    /// The picture is not as it was.
    public mutating func note(_ change: ScreenImage.Change) {
        switch change {
        case .tiles(let positions): for position in positions { changed.insert(position) }
        case .size: changed.insert(wholeArea)
        }
    }

    mutating func setSize(_ image: ScreenImage) {
        (width, height) = (image.width, image.height)
        changed = TileSet(width: width, height: height)
        changed.insert(wholeArea)
    }

    /// Answers what was asked for, where there is an answer and the client has taken what came before.
    public mutating func update(from image: ScreenImage) {
        guard stage == .open, output.isEmpty, let request else { return }
        if (width, height) != (image.width, image.height), encodings.contains(Encoding.size) {
            setSize(image)
            self.request = nil
            beginUpdate(1)
            return appendHeader(wholeArea, Encoding.size)
        }
        let announcesKeys = encodings.contains(Encoding.extendedKeys) && !hasAnnouncedKeys
        guard announcesKeys || changed.intersects(request) else { return }
        prepareEncoders()
        var areas = changed.take(request, limit: Self.mostPixels)
        if encoding == Encoding.tight { areas = areas.flatMap(Tight.parts) }
        self.request = nil
        beginUpdate(areas.count + (announcesKeys ? 1 : 0))
        if announcesKeys {
            hasAnnouncedKeys = true
            appendHeader(wholeArea, Encoding.extendedKeys)
        }
        for area in areas {
            appendHeader(area, encoding)
            switch encoding {
            case Encoding.zrle: zrle?.append(area, of: image, as: pixels, to: &output)
            case Encoding.tight: tight?.append(area, of: image, as: pixels, to: &output)
            default: appendRaw(area, image)
            }
        }
    }

    /// Without memory for one, pixels are sent raw.
    private mutating func prepareEncoders() {
        if encoding == Encoding.zrle, zrle == nil { zrle = ZRLE() }
        if encoding == Encoding.tight, tight == nil { tight = Tight() }
        if encoding == Encoding.zrle && zrle == nil || encoding == Encoding.tight && tight == nil {
            encoding = Encoding.raw
        }
    }

    /// Message and number of rectangles: at most one for each tile, or two of Tight's parts. A picture has fewer than 32768 tiles.
    private mutating func beginUpdate(_ count: Int) { output += [0, 0] + Wire.u16(count) }

    private mutating func appendHeader(_ area: PixelArea, _ encoding: Int32) {
        output += Wire.u16(area.x) + Wire.u16(area.y) + Wire.u16(area.width) + Wire.u16(area.height)
        output += Wire.u32(UInt32(bitPattern: encoding))
    }

    private mutating func appendRaw(_ area: PixelArea, _ image: ScreenImage) {
        output.reserveCapacity(output.count + area.width * area.height * pixels.bytes)
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: area.width) { row in
            for y in area.y..<area.y + area.height {
                image.read(PixelArea(x: area.x, y: y, width: area.width, height: 1), into: row)
                pixels.append(UnsafeBufferPointer(row), as: .whole, to: &output)
            }
        }
    }
}
