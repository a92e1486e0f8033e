"""The software engine's measurements of `scripts/bench.py`, beside Bochs and QEMU's TCG in the same run.

Images of Guests/bench run in all three. They write a mark again and again, and what lies between two marks is a slice; CPU time
of the process is taken at the marks, so that another process on the host does not count.
"""
import lzma
import os
import pty
import re
import select
import shutil
import statistics
import struct
import subprocess
import time
import tty
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GUESTS = ROOT / "Guests/bench"
LINUX = ROOT / ".build/guests/linux/amd64"
MARK = b"\x01"
SLICES = 6
SECONDS = 300  # for any one thing to be waited for
COMMAND_LINE = "console=ttyS0 noapic nolapic acpi=off pci=off reboot=k"
TCG = ["qemu-system-x86_64", "-M", "isapc", "-cpu", "max,-apic", "-accel", "tcg", "-display", "none", "-monitor", "none"]
# Turns of a slice: about 30 million instructions; unit and what is the same in all of a mix's lines.
MIXES = {"integer": (1_000_000, "MIPS"), "strings": (1_500, "million elements/s"), "sse": (400_000, "MIPS"),
         "x87": (400_000, "MIPS")}
PORTS = {"out 0x80": 1, "in 0x61": 2, "out 0x3f8": 3}
PORT_TURNS = 300_000
BOCHS_LEAST = 2.5  # times as fast on the integer mix

MIX_MACHINE = """\
machine: mix
cpu: {{ engine: soft, interrupts: pic }}
memory: 16MiB
boot: {{ plugin: flat, image: {image} }}
devices:
  - {{ id: pic, plugin: pic8259 }}
  - {{ id: pit, plugin: pit8254, irq: pic.0 }}
  - {{ id: com1, plugin: uart16550, at: 0x3f8, irq: pic.4, stream: nothing }}
  - {{ id: mark, plugin: debug-console, stream: term }}
backends:
  - {{ id: nothing, plugin: "null" }}
  - {{ id: term, plugin: terminal }}
"""

# The devices are those of machines/linux.yaml; its loader's properties are others.
LINUX_MACHINE = """\
machine: linux-elf
cpu: {{ engine: soft, interrupts: pic }}
memory: 256MiB
boot: {{ plugin: elf, kernel: {kernel}, modules: {initrd}, command-line: "{command_line}" }}
devices:
  - {{ id: pic, plugin: pic8259 }}
  - {{ id: pit, plugin: pit8254, irq: pic.0 }}
  - {{ id: rtc, plugin: rtc146818, irq: pic.8 }}
  - {{ id: com1, plugin: uart16550, at: 0x3f8, irq: pic.4, stream: term }}
  - {{ id: reset, plugin: reset-control }}
backends:
  - {{ id: term, plugin: terminal }}
"""

BOCHS_FILE = """\
megs: 32
romimage: file={rom}
vgaromimage: file={vga}
cpu: count=1, ips=50000000, reset_on_triple_fault=0
port_e9_hack: enabled=1
display_library: term
log: {log}
panic: action=fatal
plugin_ctrl: biosdev=0, speaker=0, e1000=0, es1370=0, sb16=0, gameport=0, parallel=0
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
"""


class Ended(Exception):
    """A process ended, or did not say what it should have said in time."""


# ---- Processes


class Child:
    """A process whose terminal or pipe is read here; used in a `with`, at whose end it is killed."""

    def __init__(self, command, environment=None, on_terminal=False, directory=None, terminal="xterm"):
        self.seen, self.begin = b"", time.monotonic()
        outer, inner = pty.openpty() if on_terminal else os.pipe()
        if on_terminal:
            tty.setraw(inner)
        self.reader = outer
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=inner if on_terminal else subprocess.DEVNULL, stdout=inner,
            stderr=subprocess.STDOUT if on_terminal else subprocess.DEVNULL, cwd=directory,
            env={**(environment or os.environ), "TERM": terminal})
        os.close(inner)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.reader)

    def read(self):
        ready, _, _ = select.select([self.reader], [], [], SECONDS)
        try:
            got = os.read(self.reader, 65536) if ready else b""
        except OSError:  # the other end of the terminal is closed
            got = b""
        if not got:
            raise Ended(f"{self.process.args[0]} ended or fell silent after: {self.seen[-300:]!r}")
        self.seen += got
        return got

    def wait_for(self, text):
        while text not in self.seen:
            self.read()

    def wait_for_mark(self):
        while MARK not in self.read():
            pass

    @property
    def cpu_time(self):
        """Nanoseconds of all its threads. The clock's number is that of clock_getcpuclockid(3)."""
        return time.clock_gettime_ns(~self.process.pid << 3 | 2)

    @property
    def memory(self):
        """What is resident in it and is not shared memory, in MiB. Guest RAM is a memfd in Backplane."""
        sizes = dict(re.findall(r"(\w+):\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text()))
        return (int(sizes["VmRSS"]) - int(sizes["RssShmem"])) / 1024


def slices(child):
    """Nanoseconds of a slice: the mean of some, after the first, in which pages and translations are made."""
    with child:
        for _ in range(2):
            child.wait_for_mark()
        begin = child.cpu_time
        for _ in range(SLICES):
            child.wait_for_mark()
        return (child.cpu_time - begin) / SLICES


# ---- The three that run an image


def rom(image):
    """64 KiB that end at 1 MiB: the reset vector jumps to what copies the boot sector to 0x7c00 and jumps there."""
    memory = bytearray(b"\xff" * 65536)
    copy = bytes.fromhex("fafc31c08ec00e1fbe0001bf007cb90001f3a5ea007c0000")
    memory[:len(copy)] = copy  # cli; cld; xor ax,ax; mov es,ax; push cs; pop ds; mov si,0x100; mov di,0x7c00; ...
    memory[0x100:0x300] = image.read_bytes()
    memory[0xFFF0:0xFFF5] = bytes([0xEA, 0, 0, 0, 0xF0])  # ljmp 0xf000:0
    return bytes(memory)


def backplane(bench, name, image):
    machine = bench.file(f"{name}.yaml", MIX_MACHINE.format(image=image))
    return Child([bench.build / "backplane", "run", machine], bench.environment)


def qemu(bench, name, image):
    return Child([*TCG, "-m", "16", "-nodefaults", "-serial", "null", "-bios", bench.file(f"{name}.rom", rom(image)),
                  "-debugcon", "stdio"])


def bochs(bench, name, image):
    """Debian's has the debugger, which is told to go on."""
    vga = bytearray(32768)
    vga[:4] = b"\x55\xaa\x40\xcb"  # a video BIOS that returns at once
    vga[-1] = -sum(vga) & 0xFF  # their sum is 0
    names = {"rom": bench.file(f"{name}.rom", rom(image)), "vga": bench.file("vga.rom", bytes(vga)),
             "log": bench.directory / "bochs.log"}
    setup, commands = bench.file("bochsrc", BOCHS_FILE.format(**names)), bench.file("bochs.rc", "c\n")
    return Child(["bochs", "-q", "-f", setup, "-rc", commands], on_terminal=True, directory=bench.directory)


RUNNERS = {"Backplane": backplane, "TCG": qemu, "Bochs": bochs}
PROGRAMS = {"TCG": "qemu-system-x86_64", "Bochs": "bochs"}


def assemble(bench, source, name, *definitions):
    image = bench.directory / f"{name}.img"
    bench.output([bench.need("nasm"), "-f", "bin", *(f"-D{text}" for text in definitions), "-I", f"{GUESTS}/", "-o", image,
                  GUESTS / source])
    return image


def count(image):
    """What a slice counts for: the image says it."""
    return struct.unpack_from("<Q", image.read_bytes(), 502)[0]


def measure(bench, name, image, runners):
    """Nanoseconds of one of what the image counts, by who runs it, a list of each; they take turns."""
    runners = [who for who in runners if who not in PROGRAMS or shutil.which(PROGRAMS[who])]
    times = {who: [] for who in runners}
    for _ in range(max(3, bench.rounds)):
        for who in runners:
            times[who].append(slices(RUNNERS[who](bench, name, image)) / count(image))
    bench.report.details[name] = times
    return {who: statistics.median(samples) for who, samples in times.items()}


# ---- The measurements


def mixes(bench):
    for mix, (turns, unit) in MIXES.items():
        image = assemble(bench, f"{mix}.asm", mix, f"TURNS={turns}")
        speed = {who: 1000 / ns for who, ns in measure(bench, mix, image, RUNNERS).items()}
        others = ", ".join(f"{who} {speed[who]:,.0f}" for who in speed if who != "Backplane")
        bench.report.add(f"soft engine, {mix}", speed["Backplane"], None, unit, f"{others} on the same image")
        if mix == "integer" and "Bochs" in speed:
            bench.report.add("soft engine, integer mix: Bochs' speed by ours", speed["Bochs"] / speed["Backplane"],
                             1 / BOCHS_LEAST, "x", f"{speed['Backplane'] / speed['Bochs']:.2f} times as fast as Bochs")


def ports(bench):
    for access, number in PORTS.items():
        name = f"port{number}"
        image = assemble(bench, "ports.asm", name, f"TURNS={PORT_TURNS}", f"ACCESS={number}")
        ns = measure(bench, name, image, ["Backplane", "TCG"])
        bench.report.add(f"soft engine, {access}", ns["Backplane"], ns.get("TCG"), "ns",
                         "with the loop around it; the bound is TCG's in this run")


def unpacked(bench):
    """The ELF file in the kernel, as `unpack: host` finds it."""
    image = (LINUX / "vmlinuz").read_bytes()
    offset, length = struct.unpack_from("<II", image, 0x248)  # boot protocol 2.08: payload_offset, payload_length
    payload = image[((image[0x1F1] or 4) + 1) * 512 + offset:][:length]
    if payload[:6] != b"\xfd7zXZ\0":
        raise bench.skip("this kernel is not packed with xz")
    return bench.file("vmlinux", lzma.LZMADecompressor().decompress(payload))


def need_linux(bench):
    if not (LINUX / "vmlinuz").exists():
        raise bench.skip("scripts/fetch-linux.sh gets the kernel")


def linux_commands(bench, initrd=LINUX / "initramfs.cpio", append=""):
    """Of each pair: ours and QEMU's, by what is booted, and how often QEMU's time ours may be."""
    kernel, command_line = unpacked(bench), COMMAND_LINE + append
    names = {"kernel": kernel, "initrd": initrd, "command_line": command_line}
    elf = bench.file("linux-elf.yaml", LINUX_MACHINE.format(**names))
    run, file = [bench.build / "backplane", "run", "--engine", "soft"], ROOT / "machines/linux.yaml"
    ours = ["--set", f"kernel={LINUX / 'vmlinuz'}", "--set", f"initrd={initrd}", "--set", f"cmdline={command_line}"]

    def theirs(kernel):
        return [*TCG, "-m", "256", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd, "-append", command_line]

    return {"the ELF": ([*run, elf], theirs(kernel), 5),
            "bzImage, unpack: host": ([*run, file, *ours], theirs(kernel), None),
            "bzImage, unpack: guest": ([*run, file, *ours, "--set", "unpack=guest"], theirs(LINUX / "vmlinuz"), 7)}


def boot(command, environment):
    """Seconds to the kernel's first line about user space, of the wall clock and of CPU time."""
    with Child(command, environment) as child:
        child.wait_for(b"Run /init as init process")
        return time.monotonic() - child.begin, child.cpu_time / 1e9


def linux_boot(bench):
    bench.need("qemu-system-x86_64")
    need_linux(bench)
    for name, (ours, theirs, bound) in linux_commands(bench).items():
        times = [(boot(ours, bench.environment), boot(theirs, None)) for _ in range(3)]
        bench.report.details[f"boot, {name}"] = times
        (wall, cpu), (their_wall, their_cpu) = ([statistics.median(pair) for pair in zip(*side)] for side in zip(*times))
        ratio = statistics.median(mine[0] / other[0] for mine, other in times)
        bench.report.add(f"Debian to user space, {name}, against TCG", ratio, bound, "x",
                         f"wall {wall:.2f} s and {their_wall:.2f} s, CPU time {cpu:.2f} s and {their_cpu:.2f} s")


def linux_shell(bench):
    """At the prompt: memory, and CPU time of 10 idle seconds, ours and QEMU's meanwhile."""
    bench.need("qemu-system-x86_64")
    need_linux(bench)
    prompt = b":/root# "
    (ours, theirs, _), idle = linux_commands(bench)["bzImage, unpack: host"], []
    with Child(ours, bench.environment, on_terminal=True) as mine, Child(theirs, on_terminal=True) as other:
        for child in (mine, other):
            child.wait_for(prompt)
        time.sleep(3)  # what the shell still does
        memory = mine.memory
        for _ in range(3):
            before = mine.cpu_time, other.cpu_time
            time.sleep(10)
            idle.append([(mine.cpu_time - before[0]) / 1e7, (other.cpu_time - before[1]) / 1e7])  # ms of 10 s
    bench.report.details["idle"] = idle
    bench.report.add("memory at Linux's shell, without guest RAM", memory, 64, "MiB", "VmRSS - RssShmem")
    used, bound = (statistics.median(side) for side in zip(*idle))
    bench.report.add("idle shell, CPU time in 1 s", used, bound, "ms", "the bound is TCG's with the same guest meanwhile")


MEASUREMENTS = [("soft engine, instruction mixes", mixes), ("soft engine, port accesses", ports),
                ("Debian to user space", linux_boot), ("Linux's shell", linux_shell)]
