import BackendSupport

/// Requests in the order of their submission.
struct RequestQueue {
    private var requests: [DiskRequest] = []
    private var first = 0
    /// Places at the front that are left behind: to move up the rest for each request would cost more than the request.
    private static let mostLeft = 256

    var count: Int { requests.count - first }
    var isEmpty: Bool { first == requests.count }

    mutating func append(_ request: DiskRequest) { requests.append(request) }

    mutating func next() -> DiskRequest? {
        guard first < requests.count else { return nil }
        let request = requests[first]
        first += 1
        if first == requests.count {
            removeAll()
        } else if first == RequestQueue.mostLeft {
            requests.removeFirst(first)
            first = 0
        }
        return request
    }

    mutating func removeAll() {
        requests.removeAll(keepingCapacity: true)
        first = 0
    }
}
