import BackendSupport
import Glibc
import PluginKit

/// The thread that answers a guest's messages, one after the other in the order in which they came: a file system that hangs holds nothing but this share.
public final class FolderWorker: @unchecked Sendable {
    public struct Work: Sendable {
        public var tag: UInt64
        public var message: [UInt8]
        /// Bytes that the answer may have.
        public var room: Int
        public init(tag: UInt64, message: [UInt8], room: Int) {
            (self.tag, self.message, self.room) = (tag, message, room)
        }
    }

    public struct Answer: Equatable, Sendable {
        public let tag: UInt64
        public let message: [UInt8]
    }

    public struct Statistics: Equatable, Sendable {
        public var answers = 0, errors = 0, waiting = 0, fids = 0, messageSize = 0
    }

    private let session: FolderSession
    private let link: HostLink
    private let postArgument: UInt
    private let monitor = Monitor()

    // Guarded by `monitor`.
    private var queue: [Work] = []
    private var answers: [Answer] = []
    private var isWorking = false
    private var epoch: UInt64 = 0
    /// The session begins anew, agreed on this size of messages.
    private var beginsWith: Int?
    /// Answers that were posted and not yet fetched; further ones are posted by and by.
    private var posted = 0
    private var isStopping = false
    private var totals = Statistics()

    private var thread: WorkerThread?

    /// An answer is announced by one `link.post(postArgument)`.
    public init(_ session: FolderSession, link: HostLink, postArgument: UInt) {
        (self.session, self.link, self.postArgument) = (session, link, postArgument)
    }

    // MARK: The owner's side; nothing waits for the host's file system but `stop`

    public func start() throws(HostCallError) {
        thread = try WorkerThread("bp-folder") { [self] in run() }
    }

    public func submit(_ work: Work) {
        monitor.locked {
            queue.append(work)
            monitor.wake()
        }
    }

    /// Of the requests so far no answer comes any more, and all fids are gone. What the thread is just doing may still come to pass, before anything
    /// that is submitted later.
    /// - Parameter messageSize: as in `FolderSession.restore`; 0: the client has to agree on one.
    public func reset(messageSize: Int = 0) {
        monitor.locked {
            epoch &+= 1
            queue = []
            answers = []
            posted = 0
            beginsWith = messageSize
            (totals.fids, totals.messageSize) = (0, messageSize)
            monitor.wake()
        }
    }

    /// One for each post, in the order of submission; nil: what was posted is of no use any more.
    public func takeAnswer() -> Answer? {
        monitor.locked {
            guard !answers.isEmpty else { return nil }
            // A post of before a reset may have come in its place.
            posted = max(posted - 1, 0)
            return answers.removeFirst()
        }
    }

    public var statistics: Statistics {
        monitor.locked {
            var result = totals
            result.waiting = queue.count + (isWorking ? 1 : 0)
            return result
        }
    }

    /// False: the host's file system does not answer; the thread ends when it does.
    public func stop(milliseconds: Int = 1000) -> Bool {
        monitor.locked {
            epoch &+= 1
            (queue, answers, posted, isStopping) = ([], [], 0, true)
            monitor.wake()
        }
        let hasEnded = thread?.join(milliseconds: milliseconds) ?? true
        link.cut()
        return hasEnded
    }

    // MARK: The thread

    private enum Job {
        case work(Work, epoch: UInt64)
        case begin(messageSize: Int)
        case end
    }

    private func run() {
        while true {
            switch monitor.locked({ nextJob() }) {
            case .work(let work, let epoch):
                finish(work.tag, session.answer(work.message, room: work.room), epoch)
            case .begin(let messageSize):
                session.reset()
                session.restore(messageSize: messageSize)
            case .end: return
            }
        }
    }

    private func nextJob() -> Job {
        while true {
            if isStopping { return .end }
            if let messageSize = beginsWith {
                beginsWith = nil
                return .begin(messageSize: messageSize)
            }
            postAnswers()
            if !queue.isEmpty {
                isWorking = true
                return .work(queue.removeFirst(), epoch: epoch)
            }
            // A post that the host could not take is tried again.
            if posted == answers.count { monitor.wait() } else { _ = monitor.wait(until: .init(milliseconds: 10)) }
        }
    }

    private func postAnswers() { while posted < answers.count, link.post(postArgument) { posted += 1 } }

    private func finish(_ tag: UInt64, _ message: [UInt8], _ epoch: UInt64) {
        let (fids, messageSize) = (session.fidCount, session.messageSize)
        monitor.locked {
            isWorking = false
            guard epoch == self.epoch else { return }
            totals.answers += 1
            if message.count > 4, message[4] == Message.error { totals.errors += 1 }
            (totals.fids, totals.messageSize) = (fids, messageSize)
            answers.append(Answer(tag: tag, message: message))
            postAnswers()
        }
    }
}
