#!/usr/bin/env python3
"""`make bench`: what Backplane costs, next to what it is held to, in one run.

Prints a table and writes .build/bench.json. A figure over its bound is marked and is no failure: time depends on the
host. What cannot be measured here (no KVM, no QEMU, no valgrind) is listed with the reason. Exit status 1: a
measurement broke.

    scripts/bench.py [--rounds N] [--build DIRECTORY] [--tool FILE] [--only WORD]
"""
import argparse
import functools
import json
import os
import pty
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench_net
import bench_pc
import bench_programs
import bench_screens
import bench_soft
import bench_virtio

ROOT = Path(__file__).resolve().parent.parent
MARK_PORT = 0xE9
OUT_PORT = 0x92
SLICES, SLICE_OUTS = 5, 10_000  # exits of each side at a time
EXIT_TURNS = 4  # of each round: five rounds are 1,000,000 exits of each side
COUNTED_OUTS, COUNTED_ACCESSES = 5_000, 5_000  # under callgrind
ACCESSES, BATCHES = 500_000, 4  # of each round
STARTS = 10  # of each round
REPLACEMENTS = 10_000
SWITCHES, QUANTUM_MS = 200, 10
ARC_OR_HEAP = re.compile(
    r"malloc|calloc|realloc|free|posix_memalign|aligned_alloc|_?swift_\w*([aA]lloc|[rR]etain|[rR]elease)\w*")


class Skip(Exception):
    """This host lacks what the measurement needs."""


class Broken(Exception):
    """The measurement should have worked."""


# ---- Guests and machine files


def exit_guest(outs):
    """Real mode, at 0x7c00: marks, then `outs` times OUT_PORT, for ever. The three VMMs run these same bytes."""
    return (
        bytes([0xE6, MARK_PORT])  # out mark, al
        + b"\x66\xb9" + outs.to_bytes(4, "little")  # mov ecx, outs
        + bytes([0xB0, 2, 0xE6, OUT_PORT, 0x66, 0x49, 0x75, 0xFA])  # mov al, 2; l: out 0x92, al; dec ecx; jnz l
        + bytes([0xEB, 0xEE]))  # jmp to the first


def exit_machine(image):
    return f"""\
machine: exits
cpu: {{ engine: kvm }}
memory: 1MiB
watchdog: off
boot: {{ plugin: flat, image: {image} }}
policies: [{{ id: onlooker, plugin: onlooker, wants: off }}]
devices: [{{ id: reset, plugin: reset-control }}, {{ id: mark, plugin: mark }}]
"""


def replacing_machine(image):
    return f"""\
machine: replacing
cpu: {{ engine: kvm }}
memory: 1MiB
boot: {{ plugin: flat, image: {image} }}
devices: [{{ id: counter-port, plugin: port-counter }}]
"""


def switching_machine(image, number, schedule):
    return f"""\
machine: guest{number}
cpu: {{ engine: kvm }}
memory: 1MiB
boot: {{ plugin: flat, image: {image} }}
policies:
  - {{ id: hotkey, plugin: hotkey, schedule: {schedule}, quantum: {QUANTUM_MS}ms }}
  - {{ id: rules, plugin: standard }}
devices: [{{ id: beat, plugin: heartbeat, guest: {number} }}]
"""


def dispatch_machine(policy):
    return f"""\
machine: dispatch
memory: 1MiB
policies: [{{ id: rules, plugin: {policy} }}]
devices: [{{ id: reset, plugin: reset-control }}]
"""


def start_machine(image, devices=""):
    return f"""\
machine: start
cpu: {{ engine: kvm{", interrupts: pic" if devices else ""} }}
memory: 16MiB
boot: {{ plugin: flat, image: {image} }}
devices:
  - {{ id: exit, plugin: debug-exit, at: 0xf4 }}
{devices}"""


PORTS_MACHINE = """\
machine: ports
cpu: { interrupts: pic }
memory: 1MiB
devices:
  - { id: pic, plugin: pic8259 }
  - { id: pit, plugin: pit8254, irq: pic.0 }
  - { id: com1, plugin: uart16550, at: 0x3f8, irq: pic.4, stream: nothing }
backends: [{ id: nothing, plugin: "null" }]
"""


TOUR_DEVICES = """\
  - { id: pic, plugin: pic8259 }
  - { id: pit, plugin: pit8254, irq: pic.0 }
  - { id: rtc, plugin: rtc146818, irq: pic.8 }
  - { id: com1, plugin: uart16550, at: 0x3f8, irq: pic.4, stream: term }
  - { id: hd0, plugin: ata, at: 0x1f0, control: 0x3f6, irq: pic.14, block: disk }
  - { id: reset, plugin: reset-control }
backends:
  - { id: term, plugin: terminal }
  - { id: disk, plugin: ram-disk, size: 1MiB }
"""


def plugin_machines(directory, tour):
    """Machines that name every bundled plugin. They are made, and not run."""
    image = directory / "image"
    image.write_bytes(bytes(65536))
    yield f"""\
machine: plugins
memory: 1MiB
boot: {{ plugin: flat, image: {image} }}
policies:
  - {{ id: rules, plugin: standard }}
  - {{ id: counts, plugin: stats }}
  - {{ id: allowed, plugin: strict }}
  - {{ id: record, plugin: trace, file: {directory}/trace }}
  - {{ id: lists, plugin: guard, deny-ports: 0x70-0x71 }}
  - {{ id: limit, plugin: budget, exits: 1000 }}
  - {{ id: point, plugin: watchpoint, ports: 0x43 }}
  - {{ id: faults, plugin: fault-inject, exits: io, addresses: 0x1f7, probability: 0.5 }}
  - {{ id: cpu, plugin: cpuid, template: pentium }}
  - {{ id: calls, plugin: paravirt }}
  - {{ id: turns, plugin: hotkey }}
  - {{ id: pages, plugin: memory-watch, ranges: 0-0xfff, at-end: off }}
devices:
  - {{ id: pic, plugin: pic8259 }}
  - {{ id: pit, plugin: pit8254, irq: pic.0 }}
  - {{ id: rtc, plugin: rtc146818, irq: pic.8 }}
  - {{ id: com1, plugin: uart16550, irq: pic.4, stream: nothing }}
  - {{ id: hd0, plugin: ata, irq: pic.14, block: disk }}
  - {{ id: exit, plugin: debug-exit }}
  - {{ id: reset, plugin: reset-control }}
  - {{ id: console, plugin: debug-console, stream: output }}
  - {{ id: noise, plugin: lfsr }}
  - {{ id: firmware, plugin: rom, image: {image}, at: 0xf0000 }}
backends:
  - {{ id: nothing, plugin: "null" }}
  - {{ id: output, plugin: file, path: {directory}/output }}
  - {{ id: terminal, plugin: terminal }}
  - {{ id: line, plugin: pty }}
  - {{ id: peer, plugin: socket, path: {directory}/socket }}
  - {{ id: disk, plugin: ram-disk, size: 1MiB }}
  - {{ id: medium, plugin: raw-file, path: {image} }}
"""
    yield f"machine: plugins\nmemory: 16MiB\nboot: {{ plugin: multiboot, kernel: {tour} }}\n"
    yield f"machine: plugins\nmemory: 16MiB\nboot: {{ plugin: elf, kernel: {tour} }}\n"
    kernel = bench_soft.LINUX / "vmlinuz"
    if kernel.exists():
        yield f"machine: plugins\nmemory: 128MiB\nboot: {{ plugin: linux, kernel: {kernel} }}\n"


# ---- Figures


class Report:
    def __init__(self):
        self.lines, self.details = [], {}

    def add(self, name, figure, bound=None, unit="", detail=""):
        """`bound`: at most that much; None: there is none."""
        self.lines.append({"name": name, "figure": figure, "bound": bound, "unit": unit, "detail": detail,
                           "ratio": figure / bound if bound else None, "verdict": self.verdict(figure, bound)})

    def skip(self, name, reason):
        self.lines.append({"name": name, "verdict": "skipped", "detail": str(reason)})

    @staticmethod
    def verdict(figure, bound):
        return "" if bound is None else "ok" if figure <= bound else "OVER"

    def table(self):
        rows = [["", "figure", "bound", "ratio", "verdict", ""]]
        rows += [[line["name"], quantity(line.get("figure"), line), quantity(line.get("bound"), line),
                  "" if line.get("ratio") is None else f"{line['ratio']:.2f}", line["verdict"], line["detail"]]
                 for line in self.lines]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        for row in rows:
            cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:4], widths[1:4])]
            yield "  ".join(cells + [row[4].ljust(widths[4]), row[5]]).rstrip()


def quantity(value, line):
    if value is None:
        return ""
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {line['unit']}".rstrip()


# ---- Running things


class Bench:
    def __init__(self, options, directory):
        self.build = options.build.resolve()
        self.tool = (options.tool or self.build / "backplane-bench").resolve()
        self.rounds, self.directory, self.report = options.rounds, directory, Report()
        self.tour = ROOT / ".build/guests/tour.elf"
        self.environment = {**os.environ, "BACKPLANE_PLUGIN_PATH": str(self.build)}

    def file(self, name, content):
        path = self.directory / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def output(self, command, environment=None):
        done = subprocess.run(
            [str(word) for word in command], env=environment or self.environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise Broken(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        return done.stdout

    @staticmethod
    def need(program):
        return need(program)

    @staticmethod
    def skip(reason):
        return Skip(reason)

    def measure(self, *arguments):
        return json.loads(self.output([self.tool, *arguments]))

    def callgrind(self, *arguments):
        """Instructions in user space, and calls by function name."""
        valgrind, result = need("valgrind"), self.directory / "callgrind.out"
        # Swift's tables are else seeded anew in each process, which makes calls of its own.
        environment = {**self.environment, "BACKPLANE_PLUGIN_PATH": str(self.stripped), "SWIFT_DETERMINISTIC_HASHING": "1"}
        self.output([valgrind, "--tool=callgrind", f"--callgrind-out-file={result}", self.stripped / "backplane-bench",
                     *arguments], environment)
        return parse_callgrind(result)

    @functools.cached_property
    def stripped(self):
        """The tool and the plugins without debug information: valgrind 3.19 does not read Swift's."""
        directory = self.directory / "stripped"
        directory.mkdir()
        for path in [self.tool, *self.build.glob("lib*.so")]:
            self.output([need("strip"), "--strip-debug", "-o", directory / path.name, path])
        return directory


def need(program):
    path = shutil.which(program)
    if not path:
        raise Skip(f"{program} is not installed")
    return path


def need_kvm():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise Skip("/dev/kvm is absent or may not be opened")


def parse_callgrind(path):
    names, calls, total, callee = {}, {}, 0, ""
    for line in path.read_text(errors="replace").splitlines():
        if match := re.match(r"(c?)fn=(\(\d+\))(?: (.*))?", line):
            name = names.setdefault(match[2], match[3])
            callee = name if match[1] else callee
        elif line.startswith("calls="):
            calls[callee] = calls.get(callee, 0) + int(line[6:].split()[0])
        elif line.startswith("summary:"):
            total = int(line.split()[1])
    if not total:
        raise Broken("callgrind wrote no summary")
    return total, calls


# ---- 1. The round trip of a port exit


def exit_time(bench):
    need_kvm()
    image = bench.file("guest", exit_guest(SLICE_OUTS))
    machine = bench.file("exits.yaml", exit_machine(image))
    rounds = []
    for _ in range(bench.rounds * EXIT_TURNS):
        sample = bench.measure("exits", machine, image, SLICES, "kvm", "bare")
        sample["qemu"] = qemu_slices(bench, image) if shutil.which("qemu-system-x86_64") else []
        rounds.append({side: [ns / SLICE_OUTS for ns in slices] for side, slices in sample.items()})
    bench.report.details["exits"] = rounds
    report_exit_time(bench.report, rounds)


def report_exit_time(report, rounds):
    ours, bare, qemu = ([ns for sample in rounds for ns in sample[side]] for side in ("kvm", "bare", "qemu"))
    ratio = statistics.median(mine / theirs for mine, theirs in zip(ours, bare))
    report.add("port exit, against a bare KVM loop", ratio, 1.05, "x", compared(ours, "bare loop", bare))
    if not qemu:
        return report.skip("port exit, against QEMU", "qemu-system-x86_64 is not installed")
    ratio = statistics.median(
        statistics.median(sample["kvm"]) / statistics.median(sample["qemu"]) for sample in rounds)
    report.add("port exit, against QEMU", ratio, 1, "x", compared(ours, "QEMU", qemu))


def compared(ours, name, theirs):
    return (f"{len(ours) * SLICE_OUTS:,} exits of each: Backplane {statistics.median(ours) / 1000:.2f} us, "
            f"{name} {statistics.median(theirs) / 1000:.2f} us")


def qemu_slices(bench, image):
    """Nanoseconds from mark to mark; QEMU's debug console is at the mark's port."""
    rom = bytearray(b"\xff" * 65536)
    rom[0xFFF0:0xFFF5] = bytes([0xEA, 0x00, 0x7C, 0x00, 0x00])  # the reset vector: ljmp 0:0x7c00
    command = ["qemu-system-x86_64", "-accel", "kvm", "-M", "pc", "-m", "16", "-nodefaults", "-display", "none",
               "-bios", bench.file("rom", bytes(rom)), "-device", f"loader,file={image},addr=0x7c00,force-raw=on",
               "-debugcon", "stdio"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as qemu:
        try:
            marks = [mark_time(qemu) for _ in range(SLICES + 2)]
        finally:
            qemu.kill()
    return [end - begin for begin, end in zip(marks[1:], marks[2:])]


def mark_time(qemu):
    if not os.read(qemu.stdout.fileno(), 1):
        raise Broken(f"QEMU ended: {qemu.stderr.read().decode(errors='replace').strip()[-500:]}")
    return time.monotonic_ns()


def exit_instructions(bench):
    need_kvm()
    image = bench.file("counted", exit_guest(COUNTED_OUTS))
    machine = bench.file("counted.yaml", exit_machine(image))

    def per_exit(side):
        few, many = (bench.callgrind("exits", machine, image, slices, side)[0] for slices in (1, 2))
        return (many - few) / COUNTED_OUTS

    bench.report.add("port exit, our user-space instructions", per_exit("kvm"), 400, "",
                     f"callgrind, with KVM_RUN; the bare loop: {per_exit('bare'):.0f}")


# ---- 2. Dispatch without an engine

CHAINS = [("no policy wants it", "onlooker, wants: off", 25), ("one policy decides", "onlooker", 40),
          ("only 'standard', the default", "standard", 25)]


def dispatch_time(bench):
    files = [bench.file(f"dispatch{number}.yaml", dispatch_machine(policy))
             for number, (_, policy, _) in enumerate(CHAINS)]
    samples = [bench.measure("dispatch", BATCHES, ACCESSES, *files) for _ in range(bench.rounds)]
    for path, (name, _, bound) in zip(files, CHAINS):
        times = [ns for sample in samples for ns in sample[str(path)]]
        bench.report.details[f"dispatch, {name}"] = times
        bench.report.add(f"dispatch, {name}", statistics.median(times), bound, "ns",
                         f"{len(times)} batches of {ACCESSES:,} accesses, {min(times):.1f} to {max(times):.1f} ns")


def port_time(bench):
    """What guests access most, on a running machine, without an engine."""
    machine = bench.file("ports.yaml", PORTS_MACHINE)
    samples = [bench.measure("ports", BATCHES, ACCESSES // 5, machine) for _ in range(bench.rounds)]
    for name in samples[0]:
        times = [ns for sample in samples for ns in sample[name]]
        bench.report.details[f"dispatch, {name}"] = times
        bench.report.add(f"dispatch, {name}", statistics.median(times), None, "ns",
                         f"{len(times)} batches of {ACCESSES // 5:,} accesses, {min(times):.1f} to {max(times):.1f} ns")


def dispatch_calls(bench):
    for number, (name, policy, _) in enumerate(CHAINS):
        path = bench.file(f"counted{number}.yaml", dispatch_machine(policy))
        extra, instructions = min((more_calls(bench, path) for _ in range(3)), key=lambda pair: sum(pair[0].values()))
        detail = ", ".join(f"{function} {calls}" for function, calls in extra.items())
        detail = detail or f"in {COUNTED_ACCESSES:,} more accesses; {instructions:.0f} instructions each"
        bench.report.add(f"allocations, retains, releases: {name}", sum(extra.values()), 0, "", detail)


def more_calls(bench, machine):
    """Of the heap and of reference counting by so many more accesses, and instructions of each. Two starts of a process
    may differ by a few calls, which is why the least of three is taken."""
    few, many = (bench.callgrind("dispatch", 1, count, machine) for count in (COUNTED_ACCESSES, 2 * COUNTED_ACCESSES))
    extra = {function: calls - few[1].get(function, 0) for function, calls in many[1].items()
             if ARC_OR_HEAP.fullmatch(function) and calls > few[1].get(function, 0)}
    return extra, (many[0] - few[0]) / COUNTED_ACCESSES


# ---- 3. Changing policies


def policy_replacement(bench):
    need_kvm()
    image = bench.file("replacing", exit_guest(SLICE_OUTS))
    machine = bench.file("replacing.yaml", replacing_machine(image))
    sample = bench.measure("replace", REPLACEMENTS, machine)
    bench.report.details["replacing"] = sample
    bench.report.add("replacing a policy: exits lost or seen twice", abs(sample["lost"]), 0, "",
                     f"{sample['exits']:,} exits during {sample['replacements']:,} replacements")
    for name, key, bound in [("99th percentile", "percentile99", 1000), ("longest", "longest", None)]:
        bench.report.add(f"replacing a policy: pause, {name}", sample[key] / 1000, bound, "us",
                         f"median {sample['median'] / 1000:.0f} us; longest gap between two exits of the guest "
                         f"{sample['longestGap'] / 1000:,.0f} us")


def foreground_switch(bench):
    need_kvm()
    image = bench.file("switching", exit_guest(SLICE_OUTS))
    for schedule in ("foreground", "round-robin"):
        files = [bench.file(f"switching{number}.yaml", switching_machine(image, number, schedule)) for number in (0, 1)]
        sample = bench.measure("switch", SWITCHES, *files)
        bench.report.details[f"switching, {schedule}"] = sample
        bench.report.add(f"switching the foreground, {schedule}: longest", sample["longest"] / 1000, QUANTUM_MS * 1000, "us",
                         f"{sample['switches']} switches to the guest's first exit: median {sample['median'] / 1000:.0f} us, "
                         f"99th percentile {sample['percentile99'] / 1000:.0f} us; a quantum is {QUANTUM_MS} ms")


# ---- 4. Loading plugins


def plugin_loading(bench):
    samples = {}
    for number, text in enumerate(plugin_machines(bench.directory, bench.tour)):
        path = bench.file(f"plugins{number}.yaml", text)
        for _ in range(bench.rounds):
            for cost in bench.measure("load", path):
                samples.setdefault(cost["plugin"], []).append(cost)
    bench.report.details["plugins"] = samples
    for plugin in sorted(path.name[3:-3] for path in bench.build.glob("lib*.so")):
        if plugin not in samples:
            bench.report.skip(f"loading {plugin}", "no machine here names it; linux needs scripts/fetch-linux.sh")
            continue
        library, first, second = (
            statistics.median(cost[part] for cost in samples[plugin]) for part in ("library", "first", "second"))
        bench.report.add(f"loading {plugin}", library + first, None, "us",
                         f"library {library:,.0f} us, first instance {first:,.1f} us, second {second:,.1f} us")


# ---- 5. Start and memory


def start_time(bench):
    need_kvm()
    image = bench.file("first-out", bytes([0xE6, 0xF4, 0xFA, 0xF4]))  # out 0xf4, al; cli; hlt
    commands = {"one device": ["run", bench.file("start.yaml", start_machine(image))],
                "the tour's devices": ["run", bench.file("start-tour.yaml", start_machine(image, TOUR_DEVICES))],
                "'--version' alone": ["--version"]}
    times = {name: [] for name in commands}
    for _ in range(bench.rounds * STARTS):
        for name, command in commands.items():
            times[name].append(wall_time(bench, command, expected=0 if command == ["--version"] else 1))
    bench.report.details["start"] = times
    for name, samples in times.items():
        bench.report.add(f"start to first instruction, {name}" if name[0] != "'" else f"process start, {name}",
                         statistics.median(samples), 20 if name[0] != "'" else None, "ms",
                         f"{len(samples)} processes, {min(samples):.1f} to {max(samples):.1f} ms")


def wall_time(bench, command, expected):
    """Milliseconds. A guest that writes 0 to debug-exit makes the status 1."""
    begin = time.monotonic()
    done = subprocess.run([bench.build / "backplane", *command], env=bench.environment, stdin=subprocess.DEVNULL,
                          capture_output=True)
    elapsed = (time.monotonic() - begin) * 1000
    if done.returncode != expected:
        raise Broken(f"backplane {command} ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    return elapsed


def memory(bench):
    need_kvm()
    samples = [memory_at_prompt(bench) for _ in range(3)]
    bench.report.details["memory"] = samples
    bench.report.add("memory at the tour's prompt, without guest RAM", statistics.median(samples), 30, "MiB",
                     "VmRSS - RssShmem")


def memory_at_prompt(bench):
    """MiB. Guest RAM is a memfd, which the kernel counts as RssShmem."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(bench.build / "backplane", ["backplane", "run", str(ROOT / "machines/tour.yaml")], bench.environment)
    try:
        wait_for(terminal, b"tour> ")
        status = Path(f"/proc/{pid}/status").read_text()
        os.write(terminal, b"off\r")
        wait_for_end(terminal)
    finally:
        os.close(terminal)
        if os.waitpid(pid, 0)[1] != 0:
            raise Broken("the tour did not power off")
    sizes = {name: int(kib) for name, kib in re.findall(r"(\w+):\s+(\d+) kB", status)}
    return (sizes["VmRSS"] - sizes["RssShmem"]) / 1024


def wait_for(terminal, text):
    seen = b""
    while text not in seen:
        seen += os.read(terminal, 4096)


def wait_for_end(terminal):
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:  # the other end is closed
        pass


# ---- All of it

MEASUREMENTS = [("port exit", exit_time), ("port exit, our user-space instructions", exit_instructions),
                ("dispatch", dispatch_time), ("port accesses", port_time),
                ("allocations, retains, releases", dispatch_calls),
                ("replacing a policy", policy_replacement), ("switching the foreground", foreground_switch),
                ("start to first instruction", start_time),
                ("memory at the tour's prompt", memory), ("loading plugins", plugin_loading), *bench_soft.MEASUREMENTS, *bench_programs.MEASUREMENTS,
                *bench_pc.MEASUREMENTS, *bench_screens.MEASUREMENTS, *bench_net.MEASUREMENTS, *bench_virtio.MEASUREMENTS]


def run(bench, only):
    """False: something broke."""
    is_whole = True
    for name, measure in MEASUREMENTS:
        if only not in name:
            continue
        print(f"measuring: {name} ...", file=sys.stderr)
        try:
            measure(bench)
        except Skip as reason:
            bench.report.skip(name, reason)
        except (Broken, bench_soft.Ended) as reason:
            is_whole = False
            bench.report.lines.append({"name": name, "verdict": "BROKEN", "detail": str(reason)})
    return is_whole


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--build", type=Path, default=ROOT / ".build/release", help="backplane and the plugins")
    parser.add_argument("--tool", type=Path, help="backplane-bench, if it is elsewhere")
    parser.add_argument("--only", default="", help="measure only what has this word in its name")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="backplane-bench.") as directory:
        bench = Bench(options, Path(directory))
        is_whole = run(bench, options.only)
    result = ROOT / ".build/bench.json"
    result.write_text(json.dumps({"lines": bench.report.lines, "samples": bench.report.details}, indent=1) + "\n")
    print("\n".join(bench.report.table()))
    print(f"\nratio: figure to bound, good up to 1. All samples: {result.relative_to(ROOT)}")
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
