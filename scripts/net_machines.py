"""check-net.py's networks: guests of one process on the backend `hub`, with a router between two of them, `capture` and `tap`."""

import json
import os
import re
import subprocess
import time

from pc_machines import DEBIAN, PATIENCE, ROOT, SSH, NetworkTools, Screen, free_port

NETWORKS = {"west": "10.1.0", "east": "10.2.0"}
TAP = f"bp-check-{os.getpid() % 10000}"


class Guest:
    """A machine of microvm.yaml, with one more card on each network that it is on."""

    def __init__(self, name, number, networks, capture=None, tap=None):
        self.name, self.number, self.networks, self.capture, self.tap = name, number, networks, capture, tap
        self.port = free_port()
        self.ssh = SSH(self.port)

    def file(self):
        devices, backends = [], ["{ id: disk, mode: snapshot }"]
        for place, network in enumerate([*self.networks, *(["tap"] if self.tap else [])]):
            wire = network if network == "tap" else f"{network}.0"
            if network == "tap":
                backends.append(f"{{ id: tap, plugin: tap, name: {self.tap} }}")
            else:
                backends.append(f"{{ id: {network}, plugin: hub, name: {network} }}")
            if self.capture and place == 0:
                backends.append(f"{{ id: seen, plugin: capture, path: {self.capture}, net: {wire} }}")
                wire = "seen"
            devices += [
                f"{{ id: slot-{network}, plugin: virtio-mmio, at: {0xfed00600 + 0x200 * place:#x}, irq: gsi.{19 + place} }}",
                f"{{ id: card-{network}, plugin: virtio-net, transport: slot-{network}, net: {wire}, mac: {self.mac(network)} }}"]
        lines = [f"extends: {ROOT}/machines/microvm.yaml", f"machine: {self.name}", "devices:", *(f"  - {line}" for line in devices),
                 "backends:", *(f"  - {line}" for line in backends)]
        return "\n".join(lines) + "\n"

    def mac(self, network):
        return f"52:54:00:00:{[*NETWORKS, 'tap'].index(network):02x}:{self.number:02x}"

    def address(self, network):
        return f"{NETWORKS[network]}.{self.number}"

    def set_up(self, network, address):
        self.ssh.run(
            f"for d in /sys/class/net/*; do if grep -qi {self.mac(network)} $d/address; then "
            f"ip address add {address}/24 dev ${{d##*/}} && ip link set ${{d##*/}} up; fi; done")


class Process:
    """Three guests in one process: left and right, each on a network of its own, and the router on both."""

    def __init__(self, backplane, engine, folder):
        self.folder, self.capture, self.tap = folder, folder / "seen.pcapng", make_tap()
        self.left = Guest("left", 1, ["west"], self.capture, self.tap)
        self.router = Guest("router", 2, ["west", "east"])
        self.right = Guest("right", 3, ["east"])
        self.guests = [self.left, self.router, self.right]
        command = [str(backplane), "run", "--engine", engine]
        for guest in self.guests:
            (folder / f"{guest.name}.yaml").write_text(guest.file())
            command += [str(folder / f"{guest.name}.yaml"), "--set", f"{guest.name}:forward=tcp:{guest.port}:22"]
        settings = {"disk": DEBIAN, "kernel": DEBIAN.parent / "vmlinuz", "initrd": DEBIAN.parent / "initrd.img", "memory": "256MiB"}
        command += [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        self.screen = Screen(backplane, command, folder)

    def __enter__(self):
        self.screen.__enter__()
        try:
            tools = NetworkTools()
            for guest in self.guests:
                guest.ssh.wait()
                tools.give(guest.ssh)
                for network in guest.networks:
                    guest.set_up(network, guest.address(network))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.screen.__exit__()
        if self.tap:
            subprocess.run(["ip", "link", "delete", self.tap], capture_output=True)


def make_tap():
    """The name of a tap device of the host's with an address; None: this host gives none."""
    for words in (["tuntap", "add", "dev", TAP, "mode", "tap"], ["address", "add", "10.3.0.254/24", "dev", TAP], ["link", "set", TAP, "up"]):
        told = subprocess.run(["ip", *words], capture_output=True, text=True)
        if told.returncode != 0:
            print(f"tap is not checked: 'ip {' '.join(words)}' says {told.stderr.strip()}")
            return None
    return TAP


def guests_meet_on_a_hub(process):
    left, router = process.left, process.router
    told = router.ssh.run(f"{NetworkTools.PING} -c 20 -i 0.05 {left.address('west')}")
    assert re.search(r"20 packets transmitted, 20 received", told), told
    left.ssh.run(f"{NetworkTools.IPERF3} -s -D >/dev/null 2>&1")


def much_goes_both_ways(process):
    """And what that left of the capture has no block that is not whole."""
    left, router = process.left, process.router
    for direction in ("", "-R"):
        told = json.loads(router.ssh.run(f"{NetworkTools.IPERF3} -c {left.address('west')} -t 3 {direction} -J"))
        rate = told["end"]["sum_received"]["bits_per_second"] / 1e6
        print(f"     iperf3 {direction or '  '} on the hub: {rate:.0f} Mbit/s")
        assert rate > 1, told["end"]
    told = subprocess.run(["capinfos", "-c", "-M", process.capture], capture_output=True, text=True)
    assert told.returncode == 0 and not told.stderr, (told.stdout, told.stderr)


def a_connection_goes_through_a_router(process):
    left, router, right = process.left, process.router, process.right
    router.ssh.run("sysctl -qw net.ipv4.ip_forward=1")
    left.ssh.run(f"ip route add {NETWORKS['east']}.0/24 via {router.address('west')}")
    right.ssh.run(f"ip route add {NETWORKS['west']}.0/24 via {router.address('east')}")
    told = right.ssh.run(f"{NetworkTools.PING} -c 5 -i 0.1 {left.address('west')}")
    assert "5 received" in told and "ttl=63" in told, told
    told = json.loads(right.ssh.run(f"{NetworkTools.IPERF3} -c {left.address('west')} -n 4M -J"))
    # What is under way when the sender has sent all is not counted by the receiver.
    assert told["end"]["sum_sent"]["bytes"] == 4 << 20 and told["end"]["sum_received"]["bytes"] > 1 << 20, told["end"]


def tshark(path, *words):
    """What it prints, and that it complains of nothing."""
    told = subprocess.run(["tshark", "-n", "-r", str(path), *words], capture_output=True, text=True)
    complaints = [line for line in told.stderr.splitlines() if line.strip() and not line.startswith("Running as user")]
    assert told.returncode == 0 and not complaints, (told.returncode, complaints)
    return told.stdout


def a_capture_is_read_by_tshark(process):
    """While frames are written, and afterwards: what was said above is in it, in both directions. Few of them, since tshark starts from the beginning each time."""
    left, router = process.left, process.router
    writer = subprocess.Popen(
        [*router.ssh.command, f"{NetworkTools.IPERF3} -c {left.address('west')} -t 10 -b 2M"], stdout=subprocess.DEVNULL)
    counts = []
    while writer.poll() is None:
        counts.append(len(tshark(process.capture, "-T", "fields", "-e", "frame.number").splitlines()))
    assert writer.returncode == 0 and counts == sorted(counts) and len(counts) > 1, counts
    seen = tshark(process.capture, "-Y", "icmp", "-T", "fields", "-e", "icmp.type", "-e", "frame.packet_flags_direction")
    kinds = {line.split()[0]: int(line.split()[1], 0) for line in seen.splitlines()}
    # Requests come in to the left guest, and its answers go out.
    assert kinds == {"8": 1, "0": 2}, kinds
    told = process.screen.tell("machine", "left", "call", "seen", "counters")
    assert "lost 0" in told, told


def the_host_meets_a_guest_on_a_tap(process):
    if not process.tap:
        return
    process.left.set_up("tap", "10.3.0.1")
    told = subprocess.run(["ping", "-c", "5", "-i", "0.2", "10.3.0.1"], capture_output=True, text=True)
    assert "5 received" in told.stdout, told.stdout + told.stderr
    told = json.loads(subprocess.run(["iperf3", "-c", "10.3.0.1", "-t", "2", "-J"], check=True, capture_output=True).stdout)
    print(f"     iperf3 by the tap: {told['end']['sum_received']['bits_per_second'] / 1e6:.0f} Mbit/s")


def guests_leave(process):
    """A machine that ends takes its ports along, and the others go on."""
    router, left = process.router, process.left
    process.screen.tell("machine", "right", "system_powerdown")
    end = time.monotonic() + PATIENCE
    while re.search(r"\bright\b.*may run", process.screen.tell("info", "machines")):
        assert time.monotonic() < end, process.screen.tell("info", "machines")
        time.sleep(1)
    told = router.ssh.run(f"{NetworkTools.PING} -c 5 -i 0.1 {left.address('west')}; {NetworkTools.PING} -c 2 -W 1 {process.right.address('east')}; true")
    assert "5 received" in told and "0 received" in told, told
