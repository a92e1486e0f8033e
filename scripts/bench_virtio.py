"""The virtio measurements of `scripts/bench.py`: machines/server.yaml and microvm.yaml on the software engine beside QEMU's TCG with the same parts, Debian and files.

Debian's disk is scripts/make-debian-disk.sh's; fio and git are this host's own, copied into the guest with their libraries. Time is CPU time of the process, so that
another process on the host does not count; what starting a program costs is taken off by a run that does nothing. The two take turns.
"""
import os
import re
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import bench_soft
from bench_pc import SEABIOS, answers
from bench_soft import ROOT, Child, Ended
from pc_machines import DEBIAN, SSH, free_port

DATA = 256 << 20
FILES, FOLDERS = 4000, 100
TOOLS = "export LD_LIBRARY_PATH=/opt/host; /opt/host/"
FIO = TOOLS + "fio --minimal --name=it --filename=/dev/disk/by-id/virtio-data --direct=1 --ioengine=libaio --fallocate=none --end_fsync=1 --io_size=4g "
# Words of fio, and operations, so many that fio's own start is little beside them: more than the disk has (io_size) begin anew at its start.
JOBS = {
    "fio, 128 KiB reads in order": ("--rw=read --bs=128k --iodepth=8 --number_ios={}", 8192),
    "fio, 128 KiB writes in order": ("--rw=write --bs=128k --iodepth=8 --number_ios={}", 8192),
    "fio, 4 KiB reads here and there": ("--rw=randread --bs=4k --iodepth=16 --number_ios={}", 32768),
    "fio, 4 KiB writes here and there": ("--rw=randwrite --bs=4k --iodepth=16 --number_ios={}", 32768),
    "fio, 4 KiB reads one by one": ("--rw=randread --bs=4k --iodepth=1 --number_ios={}", 32768),
}
STATUS = f"git status of {FILES} files on a share"
GIT = TOOLS + "git -c safe.directory=* -C /share/tree status --porcelain"
START = "microvm.yaml to /init"

MACHINE = """\
extends: {root}/machines/server.yaml
machine: bench-virtio
cpu: {{ engine: soft }}
devices:
  - {{ id: slot-data, plugin: virtio-pci, bus: pci.5 }}
  - {{ id: data, plugin: virtio-blk, transport: slot-data, block: {block} }}
  - {{ id: slot-share, plugin: virtio-pci, bus: pci.6 }}
  - {{ id: share, plugin: virtio-9p, transport: slot-share, path: {share} }}
backends:
  - {{ id: disk, mode: snapshot }}
{backends}
"""
MEDIA = {
    "raw": "  - {{ id: medium, plugin: raw-file, path: {data} }}",
    "overlay": "  - {{ id: base, plugin: raw-file, path: {data}, mode: read-only }}\n  - {{ id: medium, plugin: overlay, path: {data}.overlay, base: base }}",
    "qcow2": "  - {{ id: medium, plugin: nbd, image: {data}.qcow2, format: qcow2 }}",
}


def need(bench):
    for tool in ("qemu-system-x86_64", "qemu-img", "fio", "git"):
        bench.need(tool)
    if not SEABIOS.exists():
        raise bench.skip("scripts/check-pc.py --fetch gets SeaBIOS")
    if not DEBIAN.exists():
        raise bench.skip("scripts/make-debian-disk.sh makes Debian's disk, as root")


# ---- What both have


def tools(folder):
    """fio and git of this host, and the libraries that they need, for the share."""
    host = folder / "host"
    host.mkdir()
    for name in ("fio", "git"):
        program = shutil.which(name)
        shutil.copy(program, host / name)
        for path in re.findall(r"=> (/\S+)", subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout):
            if not re.match(r"(ld-linux|libc|libm|libpthread|libdl|librt)[-.]", Path(path).name):
                shutil.copy(path, host / Path(path).name)


def tree(share):
    for number in range(FILES):
        path = share / f"folder-{number % FOLDERS}" / f"file-{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n" * 20)
    git = ["git", "-C", share, "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *words], check=True)


def data(folder, kind):
    path = folder / "data.img"
    if not path.exists():
        with open(path, "wb") as file:
            for _ in range(DATA >> 20):
                file.write(os.urandom(1 << 20))
    Path(f"{path}.overlay").unlink(missing_ok=True)
    if kind == "qcow2":
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", path, f"{path}.qcow2"], check=True)
    return path


def ours(bench, folder, kind, port):
    text = MACHINE.format(root=ROOT, share=folder / "share", block="medium", backends=MEDIA[kind].format(data=data(folder, kind)))
    settings = {"firmware": SEABIOS / "bios-256k.bin", "disk": DEBIAN, "forward": f"tcp:{port}:22"}
    return [bench.build / "backplane", "run", bench.file("virtio.yaml", text), *(word for name, value in settings.items() for word in ("--set", f"{name}={value}"))]


def theirs(folder, kind, port):
    path = data(folder, kind)
    medium = f"file={path}.qcow2,format=qcow2" if kind == "qcow2" else f"file={path},format=raw"
    return ["qemu-system-x86_64", "-M", "pc", "-cpu", "qemu64", "-accel", "tcg", "-m", "512", "-display", "none", "-monitor", "none", "-vga", "none",
            "-serial", "stdio", "-bios", SEABIOS / "bios-256k.bin", "-L", SEABIOS,
            "-drive", f"file={DEBIAN},format=raw,if=none,id=root,snapshot=on", "-device", "virtio-blk-pci,drive=root",
            "-drive", f"{medium},if=none,id=medium,discard=unmap", "-device", "virtio-blk-pci,drive=medium,serial=data",
            "-netdev", f"user,id=lan,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=lan,romfile=", "-device", "virtio-rng-pci",
            "-fsdev", f"local,id=share,path={folder / 'share'},security_model=none", "-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]


# ---- A guest's turn


def cpu_time(process):
    """Nanoseconds of all threads of a process, and of those processes that it has started and that are there: a qemu-nbd's work is its machine's. The clock's number
    is that of clock_getcpuclockid(3)."""
    children = [int(word) for path in Path(f"/proc/{process}/task").glob("*/children") for word in path.read_text().split()]
    return time.clock_gettime_ns(~process << 3 | 2) + sum(cpu_time(child) for child in children)


class Guest:
    def __init__(self, child, port):
        self.child, self.ssh = child, SSH(port).command

    def run(self, command):
        told = subprocess.run([*self.ssh, command], capture_output=True, timeout=bench_soft.SECONDS)
        if told.returncode != 0:
            raise Ended(f"'{command}' fails: {told.stderr[-300:]!r}")

    def cost(self, command):
        """CPU seconds of the machine, and seconds of the wall clock."""
        used, begin = cpu_time(self.child.process.pid), time.monotonic()
        self.run(command)
        return (cpu_time(self.child.process.pid) - used) / 1e9, time.monotonic() - begin

    def net_cost(self, command, nothing):
        without = self.cost(nothing)
        return tuple(max(a - b, 1e-3) for a, b in zip(self.cost(command), without))


def turn(command, port, environment, only):
    """By row, CPU seconds and seconds."""
    with Child(command, environment) as child:
        answers(port, child)
        guest = Guest(child, port)
        guest.run("mkdir /share && modprobe 9pnet_virtio && mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share /share && cp -r /share/host /opt/host")
        rows = {}
        for name, (words, count) in JOBS.items():
            if re.search(only, name):
                # Once before, so that nothing is the first.
                nothing = FIO + words.format(1)
                guest.run(nothing)
                rows[name] = guest.net_cost(FIO + words.format(count), nothing)
        if re.search(only, STATUS):
            guest.run(GIT)
            rows[STATUS] = guest.net_cost(GIT, TOOLS + "git --version")
        return rows


def compare(bench, kind, only=""):
    need(bench)
    folder = Path(bench.file(f"virtio-{kind}", "")).parent / f"virtio-{kind}-files"
    folder.mkdir()
    share = folder / "share"
    share.mkdir()
    tools(share)
    tree(share / "tree")
    samples = []
    for _ in range(min(3, bench.rounds)):
        port = free_port()
        mine = turn(ours(bench, folder, kind, port), port, bench.environment, only)
        samples.append((mine, turn(theirs(folder, kind, port), port, None, only)))
    bench.report.details[f"virtio {kind}"] = samples
    for name in samples[0][0]:
        (mine, wall), (other, other_wall) = (
            tuple(statistics.median(side[name][number] for side in sides) for number in (0, 1)) for sides in zip(*samples))
        bench.report.add(f"virtio, {kind}, {name}, against TCG", mine / other, 1, "x",
                         f"CPU time {mine:.2f} s and {other:.2f} s, {wall:.2f} s and {other_wall:.2f} s by the clock")


def start(bench):
    """From the process's start to the line that the kernel prints before it runs /init of Debian's initrd."""
    need(bench)
    append = "console=ttyS0 root=LABEL=debian ro net.ifnames=0 cryptomgr.notests"
    boot = {"kernel": DEBIAN.parent / "vmlinuz", "initrd": DEBIAN.parent / "initrd.img"}
    text = f"extends: {ROOT}/machines/microvm.yaml\nmachine: bench-start\ncpu: {{ engine: soft }}\nbackends:\n  - {{ id: disk, mode: snapshot }}\n"
    mine = [bench.build / "backplane", "run", bench.file("start.yaml", text),
            *(word for name, value in {**boot, "disk": DEBIAN}.items() for word in ("--set", f"{name}={value}"))]
    # With ACPI QEMU's microvm has no timer by which Linux could calibrate its TSC without KVM, and it hangs there.
    other = ["qemu-system-x86_64", "-M", "microvm,acpi=off,rtc=on,pit=on,pic=on", "-cpu", "qemu64", "-accel", "tcg", "-m", "512", "-nodefaults", "-no-user-config",
             "-display", "none", "-serial", "stdio", "-kernel", boot["kernel"], "-initrd", boot["initrd"], "-append", append,
             "-drive", f"file={DEBIAN},format=raw,if=none,id=root,snapshot=on", "-device", "virtio-blk-device,drive=root",
             "-netdev", "user,id=lan", "-device", "virtio-net-device,netdev=lan", "-device", "virtio-rng-device"]

    def once(command, environment):
        with Child(command, environment) as child:
            child.wait_for(b"Run /init as init process")
            return child.cpu_time / 1e9, time.monotonic() - child.begin

    samples = [(once(mine, bench.environment), once(other, None)) for _ in range(min(3, bench.rounds))]
    bench.report.details["virtio start"] = samples
    (mine, wall), (other, other_wall) = (
        tuple(statistics.median(side[number] for side in sides) for number in (0, 1)) for sides in zip(*samples))
    bench.report.add(f"virtio, {START}, against TCG", mine / other, 1, "x",
                     f"CPU time {mine:.2f} s and {other:.2f} s, {wall:.2f} s and {other_wall:.2f} s by the clock")


MEASUREMENTS = [
    ("virtio raw", lambda bench: compare(bench, "raw")), ("virtio overlay", lambda bench: compare(bench, "overlay", "fio")),
    ("virtio qcow2", lambda bench: compare(bench, "qcow2", "fio")), ("virtio start", start),
]
