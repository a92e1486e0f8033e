"""The PC's measurements of `scripts/bench.py`: machines/pc.yaml on the software engine beside QEMU's TCG with `-M pc`, the same SeaBIOS and the same disk.

Guests/bench/board.asm marks where a piece begins and ends; Debian's disk (scripts/make-debian-disk.sh) is known to be up by its sshd. Time is CPU time of
the process, so that another process on the host does not count; the two take turns.
"""
import os
import socket
import statistics
import subprocess
import time

import bench_soft
from bench_soft import MARK, ROOT, Child, Ended
from pc_machines import DEBIAN, SSH, free_port

SEABIOS = ROOT / ".build/guests/pc/usr/share/seabios"
FLIPS = 20_000
SECTORS = 32768  # 16 MiB: TCG takes 20 seconds for them
PIECES = ["SeaBIOS to a boot sector", "10,000 blocks of code", "PAM flip", "BAR move", "16 MiB by IDE PIO"]
DMA = "dd if=/dev/sda of=/dev/null bs=1M count=64 iflag=direct 2>/dev/null"
# At most so many times TCG's; input and output ahead of it.
BOUNDS = {"SeaBIOS to a boot sector": 2, "PAM flip": 1, "BAR move": 1, "16 MiB by IDE PIO": 1}


def machine(bench, name, disk, forward=""):
    """pc.yaml without SeaBIOS's screen on the serial port, on which a boot sector is to be alone; the disk stays as it is."""
    text = (ROOT / "machines/pc.yaml").read_text()
    for old, new in ((" serial-console: 0x3f8,", ""), ('path: "${disk}" }', f'path: {disk}, mode: snapshot }}'), ("engine: auto", "engine: soft")):
        if old not in text:
            raise bench.skip(f"machines/pc.yaml has no '{old}' any more")
        text = text.replace(old, new)
    settings = {"firmware": SEABIOS / "bios-256k.bin", "vga-bios": SEABIOS / "vgabios-stdvga.bin", "memory": "512MiB", "forward": forward}
    return [bench.build / "backplane", "run", bench.file(f"{name}.yaml", text),
            *(word for setting, value in settings.items() for word in ("--set", f"{setting}={value}"))]


def qemu(disk, forward=""):
    # tcp:PORT:22
    network = "user" + "".join(f",hostfwd=tcp:127.0.0.1:{port}-:22" for port in forward.split(":")[1:2])
    return ["qemu-system-x86_64", "-M", "pc", "-cpu", "qemu64", "-accel", "tcg", "-m", "512", "-display", "none", "-monitor", "none", "-snapshot",
            "-drive", f"file={disk},format=raw,if=ide", "-vga", "std", "-serial", "stdio", "-bios", SEABIOS / "bios-256k.bin", "-L", SEABIOS,
            "-device", "e1000,netdev=lan,romfile=", "-netdev", f"{network},id=lan"]


def need(bench):
    bench.need("qemu-system-x86_64")
    if not SEABIOS.exists():
        raise bench.skip("scripts/check-pc.py --fetch gets SeaBIOS")


# ---- The boot sector's pieces


def pieces(command, environment):
    """CPU seconds of each."""
    # On a dumb one the backend `screen` does nothing: what comes is the serial port's.
    with Child(command, environment, on_terminal=True, terminal="dumb") as child:
        before, times = 0, []
        for _ in PIECES:
            begin = len(child.seen)
            while MARK not in child.seen[begin:]:
                if b"\x02" in child.seen[begin:]:
                    raise Ended("the disk cannot be read")
                child.read()
            now = child.cpu_time
            times.append((now - before) / 1e9)
            before = now
            os.write(child.reader, b"\n")
        return times


def board(bench):
    need(bench)
    image = bench_soft.assemble(bench, "board.asm", "board", f"FLIPS={FLIPS}", f"SECTORS={SECTORS}")
    with open(image, "r+b") as disk:
        disk.truncate((SECTORS + 64) * 512)
    ours, theirs = machine(bench, "board", image), qemu(image)
    samples = [(pieces(ours, bench.environment), pieces(theirs, None)) for _ in range(max(3, bench.rounds // 2))]
    bench.report.details["board"] = samples
    for number, name in enumerate(PIECES):
        mine, other = (statistics.median(side[number] for side in sides) for sides in zip(*samples))
        each = FLIPS if name in ("PAM flip", "BAR move") else 1
        shown = [f"{seconds / each * 1e6:.2f} us" if each > 1 else f"{seconds:.2f} s" for seconds in (mine, other)]
        bench.report.add(f"PC, {name}, against TCG", mine / other, BOUNDS.get(name), "x", f"CPU time {shown[0]} and {shown[1]}")


# ---- Debian from its disk


def answers(port, child):
    """Until sshd says its name."""
    end = time.monotonic() + bench_soft.SECONDS
    while time.monotonic() < end:
        if child.process.poll() is not None:
            raise Ended(f"{child.process.args[0]} ended")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.settimeout(5)
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise Ended("sshd does not answer")


def debian_run(command, port, environment):
    """CPU seconds: to sshd, of 64 MiB by DMA; seconds of 8 MiB by ssh; CPU seconds in an idle second."""
    with Child(command, environment) as child:
        answers(port, child)
        times = [child.cpu_time / 1e9]
        ssh = SSH(port).command
        # What the login costs is not the disk's: a turn without it comes first.
        used = []
        for what in ("true", "true", DMA):
            before = child.cpu_time
            if subprocess.run([*ssh, what], stdin=subprocess.DEVNULL, capture_output=True, timeout=bench_soft.SECONDS).returncode != 0:
                raise Ended(f"'{what}' by ssh fails")
            used.append((child.cpu_time - before) / 1e9)
        times.append(used[2] - used[1])
        begin = time.monotonic()
        if subprocess.run([*ssh, "cat >/dev/null"], input=bytes(8 << 20), capture_output=True, timeout=bench_soft.SECONDS).returncode != 0:
            raise Ended("8 MiB by ssh fail")
        times.append(time.monotonic() - begin)
        time.sleep(5)
        before = child.cpu_time
        time.sleep(10)
        return [*times, (child.cpu_time - before) / 1e10]


def debian(bench):
    need(bench)
    if not DEBIAN.exists():
        raise bench.skip("scripts/make-debian-disk.sh makes Debian's disk, as root")
    samples = []
    for _ in range(3):
        port = free_port()
        mine = debian_run(machine(bench, "debian", DEBIAN, f"tcp:{port}:22"), port, bench.environment)
        samples.append((mine, debian_run(qemu(DEBIAN, f"tcp:{port}:22"), port, None)))
    bench.report.details["debian"] = samples
    rows = (("Debian's disk to sshd", "s", 2), ("64 MiB by IDE DMA", "s", 1), ("8 MiB by ssh into the guest", "s of the wall clock", 1), ("an idle second", "ms", 1))
    for number, (name, unit, bound) in enumerate(rows):
        mine, other = (statistics.median(side[number] for side in sides) for sides in zip(*samples))
        factor = 1000 if unit == "ms" else 1
        bench.report.add(f"PC, {name}, against TCG", mine / other if other > 0 else 0, bound, "x", f"{mine * factor:.2f} {unit} and {other * factor:.2f} {unit}")


MEASUREMENTS = [("pc board", board), ("pc with Debian", debian)]
