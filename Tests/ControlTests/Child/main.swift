// A process for the tests: Control with a guest and a machine made up, or a small shell with job control around it.
//
//   control-child [--raw] [--obeys] [--mute] [--paints] [--pipes] [--no-escape]
//       A guest behind a FIFO of 16 bytes echoes what it receives, control characters as <03>, and obeys some letters:
//       Q ends the machine with status 7, K crashes, H stops to read, L logs, F writes 300 KB of lines, W never ends.
//       --raw: everything is echoed as it is and nothing obeyed; at the end of the input nothing happens.
//       --obeys: ends with status 0 when asked to power off. --mute: echoes nothing.
//       --paints: has the whole window, and writes into it all the time.
//       A byte beyond the FIFO's room ends the process with status 99.
//   control-child --shell ARGUMENTS
//       Session leader: runs the above as a job, as it is told on descriptor 4. See Shell.swift.

import CHost
import Control
import Glibc

let arguments = CommandLine.arguments.dropFirst()

if arguments.first == "--shell" {
    runShell(Array(arguments.dropFirst()))
} else {
    runGuest(Set(arguments))
}

func runGuest(_ flags: Set<String>) -> Never {
    do {
        // Crashes are reported, as those of machines are.
        _ = ch_thread_begin(nil)
        let log = try LogWriter()
        var options = Console.Options()
        options.escapesPipes = flags.contains("--pipes")
        if flags.contains("--no-escape") { options.escape = nil }
        let console = try Console(options, log: log)
        let guest = Guest(console.terminal, log, flags)
        try console.start(controlling: [guest])
        guest.run()
        let end = guest.waitForEnd()
        console.finish()
        if !end.reason.isEmpty { log.write(.error, nil, end.reason) }
        exit(end.status)
    } catch {
        print("control-child: \(error)")
        exit(98)
    }
}
