"""The network's measurements of `scripts/bench.py`: machines/server.yaml on the software engine beside QEMU's TCG with the same parts - SeaBIOS, virtio disk and card on
PCI, the user network of libslirp - and the same Debian disk.

iperf3 between the guest and this host, and ping to the network's gateway. Throughput is in CPU time of the VMM for a number of bytes, so that another process on the host
does not count; what it is by the clock stands beside it. The two take turns.
"""
import json
import re
import statistics
import subprocess

import bench_pc
import bench_soft
from bench_soft import ROOT, Child, Ended
from pc_machines import DEBIAN, SSH, NetworkTools, free_port

BYTES = 64 << 20
PINGS = 200
WAYS = {"iperf3 from the guest": "", "iperf3 to the guest": "-R"}


def machine(bench, name, port):
    text = (ROOT / "machines/server.yaml").read_text()
    for old, new in (('path: "${disk}" }', f"path: {DEBIAN}, mode: snapshot }}"), ("engine: auto", "engine: soft")):
        if old not in text:
            raise bench.skip(f"machines/server.yaml has no '{old}' any more")
        text = text.replace(old, new)
    return [bench.build / "backplane", "run", bench.file(f"{name}.yaml", text), "--set", f"firmware={bench_pc.SEABIOS}/bios-256k.bin", "--set", f"forward=tcp:{port}:22"]


def qemu(port):
    return ["qemu-system-x86_64", "-M", "pc", "-cpu", "qemu64", "-accel", "tcg", "-m", "512", "-display", "none", "-monitor", "none", "-snapshot",
            "-drive", f"file={DEBIAN},format=raw,if=none,id=disk", "-device", "virtio-blk-pci,drive=disk", "-vga", "none", "-serial", "stdio",
            "-bios", bench_pc.SEABIOS / "bios-256k.bin", "-L", bench_pc.SEABIOS, "-device", "virtio-rng-pci",
            "-device", "virtio-net-pci,netdev=lan,romfile=", "-netdev", f"user,hostfwd=tcp:127.0.0.1:{port}-:22,id=lan"]


def told(ssh, command):
    done = subprocess.run([*ssh, command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=bench_soft.SECONDS)
    if done.returncode != 0:
        raise Ended(f"'{command}' by ssh fails: {done.stdout[-300:]} {done.stderr[-300:]}")
    return done.stdout


def transfer(child, ssh, server, way):
    """CPU seconds of the VMM, and Mbit/s by the clock. What the login and the connection cost is not the network's: a small transfer is taken off."""
    used, rates = [], []
    for count in (1 << 20, 1 << 20, BYTES):
        before = child.cpu_time
        result = json.loads(told(ssh, f"{NetworkTools.IPERF3} -c 10.0.2.2 -p {server} -n {count} {way} -J"))["end"]["sum_received"]
        used.append((child.cpu_time - before) / 1e9)
        rates.append(result["bits_per_second"] / 1e6)
    return used[2] - used[1], rates[2]


def run(command, port, environment, tools, server):
    with Child(command, environment) as child:
        bench_pc.answers(port, child)
        ssh = SSH(port)
        tools.give(ssh)
        ways = [transfer(child, ssh.command, server, way) for way in WAYS.values()]
        text = told(ssh.command, f"{NetworkTools.PING} -q -c {PINGS} -i 0.01 10.0.2.2")
        # "rtt min/avg/max/mdev": the mean is what a load on this host moves most.
        low, mean = re.search(r"= ([\d.]+)/([\d.]+)/", text).groups()
        return {"ways": ways, "ping": (float(low), float(mean))}


def network(bench):
    bench_pc.need(bench)
    bench.need("iperf3")
    if not DEBIAN.exists():
        raise bench.skip("scripts/make-debian-disk.sh makes Debian's disk, as root")
    tools, server = NetworkTools(), free_port()
    listener = subprocess.Popen(["iperf3", "-s", "-B", "127.0.0.1", "-p", str(server)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        samples = []
        for _ in range(max(2, bench.rounds // 2)):
            port = free_port()
            ours = run(machine(bench, "net", port), port, bench.environment, tools, server)
            samples.append((ours, run(qemu(port), port, None, tools, server)))
    finally:
        listener.kill()
        listener.wait()
    bench.report.details["network"] = samples
    for number, way in enumerate(WAYS):
        mine, other = ([side["ways"][number] for side in sides] for sides in zip(*samples))
        seconds, rates = zip(*((statistics.median(column) for column in zip(*side)) for side in (mine, other)))
        bench.report.add(
            f"{way}, against TCG", seconds[0] / seconds[1], 1, "x",
            f"CPU time of {BYTES >> 20} MiB {seconds[0]:.2f} s and {seconds[1]:.2f} s; by the clock {rates[0]:.0f} and {rates[1]:.0f} Mbit/s")
    low, mean = zip(*((statistics.median(column) for column in zip(*(side["ping"] for side in sides))) for sides in zip(*samples)))
    bench.report.add("ping of the gateway, against TCG", mean[0] / mean[1], 1, "x", f"mean {mean[0]:.3f} ms and {mean[1]:.3f} ms, least {low[0]:.3f} ms and {low[1]:.3f} ms")


MEASUREMENTS = [("network", network)]
