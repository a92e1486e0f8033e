"""User programs in a Linux guest, as `scripts/bench.py` measures them: on our software CPU, on QEMU's TCG, and on this host itself.

Guests/bench/programs is compiled once; the three run the same bytes, the two guests the same kernel and initramfs in one boot each round. A program
says "ready" and waits for a byte, works, says "done" with a checksum of its results and waits again. Meanwhile the guest is
idle, and the time is taken here: no clock of a guest is believed. It is CPU time (of the process; natively of the program and
its children on one CPU), so that other processes on the host count little. A program whose checksum is not this host's does
not count: it is broken.
"""
import math
import os
import re
import resource
import shutil
import statistics
import subprocess

import bench_soft
from bench_soft import LINUX, ROOT, Child, Ended

SOURCES = ROOT / "Guests/bench/programs"
FLAGS = ("-std=c11 -O2 -Wall -Wextra -ffreestanding -fno-math-errno -fno-stack-protector -fno-pic -fno-asynchronous-unwind-tables "
         "-fno-tree-vectorize -fcf-protection=none -static -nostdlib -no-pie").split()
BUILDS = {"programs64": (["-m64"], ["main.c", "integer.c", "floating.c", "system.c"]),
          "programs32": (["-m32", "-march=i686"], ["main.c", "integer.c"])}
INTEGER = "multiply sha256 chase recursion indirect interpreter hash sort bytes".split()
OTHERS = "doubles sse strings x87".split()
SYSTEM = "syscalls faults fork exec pipe switches shell".split()
GROUPS = {"integer, 64-bit": [("programs64", name) for name in INTEGER],
          "integer, 32-bit": [("programs32", name) for name in INTEGER],
          "doubles, SSE, strings, x87": [("programs64", name) for name in OTHERS],
          "system": [("programs64", name) for name in SYSTEM]}
MEANS = {"integer programs": ["integer, 64-bit", "integer, 32-bit"],
         "compute programs": ["integer, 64-bit", "integer, 32-bit", "doubles, SSE, strings, x87"]}
# As SCRIPT runs them.
ORDER = [("programs64", name) for name in INTEGER + OTHERS + SYSTEM] + [("programs32", name) for name in INTEGER]
SCRIPT = """\
#!/bin/sh
for width in 64 32; do
    for name in $(/bench/programs$width list); do /bench/programs$width $name; done
done
"""


def compiled(bench):
    """The folder with the programs, which is /bench in the guests."""
    folder = bench.directory / "root/bench"
    if folder.exists():
        return folder
    folder.mkdir(parents=True)
    for name, (options, sources) in BUILDS.items():
        bench.output([bench.need("gcc"), *FLAGS, *options, "-o", folder / name, *(SOURCES / source for source in sources)])
    shutil.copy(SOURCES / "script.sh", folder)
    return folder


def initramfs(bench):
    """Debian's with the programs; `backplane.selftest=programs` runs them."""
    root = compiled(bench).parent
    script = root / "lib/selftest/programs"
    script.parent.mkdir(parents=True)
    script.write_text(SCRIPT)
    script.chmod(0o755)
    names = "".join(f"{path.relative_to(root)}\n" for path in sorted(root.rglob("*")))
    archive = subprocess.run([LINUX / "busybox", "cpio", "-o", "-H", "newc", "-R", "0:0"], cwd=root, input=names.encode(),
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    return bench.file("programs.cpio", (LINUX / "initramfs.cpio").read_bytes() + archive)


# ---- Runs: by program, seconds of CPU time and the checksum


def told(child, word, name, begin):
    """Waits for a whole line from the console, from `begin` of what it said; its last word."""
    pattern = re.compile(rf"{word} {name}(?: ([0-9a-f]{{16}}))?\r*\n".encode())
    while not (match := pattern.search(child.seen, begin)):
        child.read()
    return match[1]


def guest_run(command, environment):
    figures = {}
    with Child(command, environment, on_terminal=True) as child:
        for binary, name in ORDER:
            begin = len(child.seen)
            told(child, "ready", name, max(0, begin - 200))
            before, begin = child.cpu_time, len(child.seen)  # while the guest is idle
            os.write(child.reader, b"\n")
            checksum = told(child, "done", name, begin)
            figures[binary, name] = (child.cpu_time - before) / 1e9, checksum
            os.write(child.reader, b"\n")
    return figures


def native_run(folder):
    """On one CPU, as the guests have."""
    figures, cpus = {}, os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    for binary, name in ORDER:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([folder / binary, name], input=b"\n\n", stdout=subprocess.PIPE, check=True,
                              env={"BENCH_SHELL": str(LINUX / "busybox")})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        figures[binary, name] = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
                                 done.stdout.split()[-1])
    os.sched_setaffinity(0, cpus)
    return figures


# ---- The table


def programs(bench):
    bench.need("qemu-system-x86_64")
    bench_soft.need_linux(bench)
    folder, initrd = compiled(bench), initramfs(bench)
    ours, theirs = bench_soft.linux_commands(bench, initrd, " quiet backplane.selftest=programs")["bzImage, unpack: host"][:2]
    rounds = []
    for _ in range(max(3, bench.rounds // 2)):
        rounds.append({"native": native_run(folder), "Backplane": guest_run(ours, bench.environment),
                       "TCG": guest_run(theirs, None)})
    seconds = {}
    for entry in ORDER:
        sums = {sample[who][entry][1] for sample in rounds for who in sample}
        if len(sums) != 1:
            raise Ended(f"{' '.join(entry)}: results differ: {[{who: sample[who][entry][1] for who in sample} for sample in rounds]}")
        seconds[entry] = {who: statistics.median(sample[who][entry][0] for sample in rounds) for who in rounds[0]}
    bench.report.details["programs"] = [{who: {" ".join(entry): figure[0] for entry, figure in sample[who].items()}
                                         for who in sample} for sample in rounds]
    report(bench.report, seconds)


def report(table, seconds):
    for group, entries in GROUPS.items():
        for entry in entries:
            ours, theirs, native = (seconds[entry][who] * 1000 for who in ("Backplane", "TCG", "native"))
            width = ", 32-bit" if entry[0] == "programs32" else ""
            table.add(f"program, {entry[1]}{width}", ours, theirs, "ms",
                      f"TCG's speed {theirs / ours:.2f} times; native {native:.1f} ms, {ours / native:.1f} times as fast")
        add_mean(table, group, seconds, entries)
    for name, groups in MEANS.items():
        add_mean(table, name, seconds, [entry for group in groups for entry in GROUPS[group]])


def add_mean(table, name, seconds, entries):
    ours, native = (math.prod(seconds[entry]["Backplane"] / seconds[entry][who] for entry in entries) ** (1 / len(entries))
                    for who in ("TCG", "native"))
    table.add(f"geometric mean of {len(entries)}, {name}: our time by TCG's", ours, 1, "x",
              f"{1 / ours:.2f} times TCG's speed; native is {native:.1f} times ours, {native / ours:.1f} times TCG's")


MEASUREMENTS = [("user programs in Linux", programs)]
