"""What check-net.py shows of disks and of virtio's smaller devices: kill -9, qcow2, resize, balloon, ports, a seed for cloud-init, input."""

import json
import os
import pathlib
import re
import socket
import subprocess
import time

from pc_machines import DEBIAN, PATIENCE, ROOT

DISKS = ("raw", "overlay", "qcow2")

# Three disks of one guest, each kept in another way.
KEPT = """
extends: {machines}/microvm.yaml
machine: microvm-disks
devices:
  - {{ id: slot-raw, plugin: virtio-mmio, at: 0xfed00600, irq: gsi.19 }}
  - {{ id: raw, plugin: virtio-blk, transport: slot-raw, block: raw-disk }}
  - {{ id: slot-overlay, plugin: virtio-mmio, at: 0xfed00800, irq: gsi.20 }}
  - {{ id: overlay, plugin: virtio-blk, transport: slot-overlay, block: changes }}
  - {{ id: slot-qcow2, plugin: virtio-mmio, at: 0xfed00a00, irq: gsi.21 }}
  - {{ id: qcow2, plugin: virtio-blk, transport: slot-qcow2, block: image }}
backends:
  - {{ id: raw-disk, plugin: raw-file, path: raw.img }}
  - {{ id: base, plugin: raw-file, path: base.img, mode: read-only }}
  - {{ id: changes, plugin: overlay, path: changes.overlay, base: base }}
  - {{ id: image, plugin: nbd, image: top.qcow2, format: qcow2 }}
"""

QCOW2 = """
extends: {machines}/server.yaml
machine: server-qcow2
backends:
  - {{ id: disk, plugin: nbd, path: ~, image: "${{disk}}", format: qcow2 }}
"""

DEVICES = """
extends: {machines}/server.yaml
machine: server-devices
devices:
  - {{ id: slot-data, plugin: virtio-pci, bus: pci.5 }}
  - {{ id: data, plugin: virtio-blk, transport: slot-data, block: data-disk }}
  - {{ id: slot-balloon, plugin: virtio-pci, bus: pci.6 }}
  - {{ id: balloon, plugin: virtio-balloon, transport: slot-balloon }}
  - {{ id: slot-console, plugin: virtio-pci, bus: pci.7 }}
  - {{ id: console, plugin: virtio-console, transport: slot-console, ports: [agent], names: [org.backplane.agent] }}
  - {{ id: slot-seed, plugin: virtio-pci, bus: pci.8 }}
  - {{ id: seed, plugin: virtio-blk, transport: slot-seed, block: cloud }}
  - {{ id: slot-keyboard, plugin: virtio-pci, bus: pci.9 }}
  - {{ id: keyboard, plugin: virtio-input, transport: slot-keyboard, kind: keyboard }}
backends:
  - {{ id: data-disk, plugin: raw-file, path: data.img }}
  - {{ id: agent, plugin: socket, path: agent.sock }}
  - {{ id: cloud, plugin: nocloud, hostname: cloudy, user-data: "#cloud-config\\npackages: [hello]\\n" }}
"""


def image(path, megabytes=64):
    """With an empty ext4."""
    with open(path, "wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", path], check=True)


def told(wanted, within=PATIENCE):
    """Until it holds, looked at now and then."""
    end = time.monotonic() + within
    while not wanted():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.5)


class Killed:
    """A guest that writes to three disks at once and is killed again and again. Each line of a file is on its disk before it is told."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.lines = dict.fromkeys(DISKS, 0)
        self.file = folder / "microvm-disks.yaml"
        self.file.write_text(KEPT.format(machines=ROOT / "machines"))
        for name in ("raw.img", "base.img", "backing.img"):
            image(folder / name)
        for name in ("changes.overlay", "top.qcow2"):
            (folder / name).unlink(missing_ok=True)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "backing.img", "top.qcow2"], cwd=folder, check=True)
        self.root = None

    def boot(self):
        machine = self.server(file=self.file, disk=self.root)
        self.root = machine.disk
        return machine

    def look(self, ssh):
        """What was told of is there, on file systems that are whole."""
        for disk in DISKS:
            ssh.run(f"mkdir -p /d/{disk} && mount /dev/disk/by-id/virtio-{disk} /d/{disk} && touch /d/{disk}/lines")
            found = ssh.run(f"cat /d/{disk}/lines").split("\n")
            expected = [f"line {number}" for number in range(1, self.lines[disk] + 1)]
            assert found[:len(expected)] == expected, (disk, len(expected), found[-5:])
            assert found[:-1] == [f"line {number}" for number in range(1, len(found))], (disk, found[-5:])

    def write_and_die(self, machine):
        writer = subprocess.Popen(
            [*machine.ssh.command,
             f"for d in {' '.join(DISKS)}; do (i=$(wc -l </d/$d/lines); while i=$((i + 1)); do echo line $i >>/d/$d/lines; "
             "sync /d/$d/lines || exit 1; echo $d $i; done) & done; wait"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        fresh = dict.fromkeys(DISKS, 0)
        for line in writer.stdout:
            words = line.split()
            if len(words) == 2 and words[0] in fresh and words[1].isdigit():
                self.lines[words[0]] = int(words[1])
                fresh[words[0]] += 1
            if min(fresh.values()) >= 10 and machine.screen.process.poll() is None:
                machine.screen.process.kill()
                machine.screen.process.wait()
        writer.wait()
        assert min(fresh.values()) >= 10, f"the guest stopped writing: {fresh}"

    def run(self, times):
        for _ in range(times):
            with self.boot() as machine:
                self.look(machine.ssh)
                self.write_and_die(machine)
        with self.boot() as machine:
            self.look(machine.ssh)
            for disk in DISKS:
                machine.ssh.run(f"umount /d/{disk} && e2fsck -fn /dev/disk/by-id/virtio-{disk}")
            machine.power_off()
        subprocess.run(["qemu-img", "check", "-q", "top.qcow2"], cwd=self.folder, check=True)


def qcow2_with_a_backing_file(server, folder):
    top, file = folder / "debian.qcow2", folder / "qcow2.yaml"
    top.unlink(missing_ok=True)
    file.write_text(QCOW2.format(machines=ROOT / "machines"))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", DEBIAN, top], check=True)
    before = DEBIAN.stat().st_mtime_ns
    with server(file=file, disk=top) as machine:
        ssh = machine.ssh
        ssh.run("dd if=/dev/urandom of=/root/room bs=1M count=64 conv=fsync 2>/dev/null && sync")
        large = top.stat().st_blocks * 512
        ssh.run("rm /root/room && sync && fstrim / && sync")
        told(lambda: large - top.stat().st_blocks * 512 > 48 << 20, within=30)
        machine.screen.tell("call", "disk", "resize", "2GiB")
        told(lambda: re.search(r"new size: 4194304 512-byte", ssh.run("dmesg")), within=60)
        ssh.run("echo grown >/root/grown && sync && echo 3 >/proc/sys/vm/drop_caches && grep -q grown /root/grown && dd if=/dev/zero of=/dev/vda bs=1M seek=2047 count=1 conv=fsync 2>&1")
        assert not re.search(r"(?i)i/o error", ssh.run("dmesg"))
        machine.power_off()
    assert DEBIAN.stat().st_mtime_ns == before, "the backing file has changed"
    subprocess.run(["qemu-img", "check", "-q", top], check=True)


def host_memory(machine):
    """Bytes that the host has given for the guest's RAM."""
    for link in pathlib.Path(f"/proc/{machine.screen.process.pid}/fd").iterdir():
        if os.readlink(link).startswith("/memfd:backplane-ram"):
            return link.stat().st_blocks * 512
    raise AssertionError("the machine has no RAM")


def ask(machine, command, **arguments):
    """One of QMP's."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(machine.screen.socket))
        stream = line.makefile("rw")
        answers = []
        for call in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments, "id": 7}):
            stream.write(json.dumps(call) + "\n")
            stream.flush()
        while not any(answer.get("id") == 7 for answer in answers):
            answers.append(json.loads(stream.readline()))
        assert "return" in answers[-1], answers[-1]
        return answers[-1]["return"]


def disk_grows(machine, folder):
    ssh = machine.ssh
    ssh.run("mount /dev/disk/by-id/virtio-data /mnt && echo before >/mnt/file")
    machine.screen.tell("call", "data-disk", "resize", "96MiB")
    assert (folder / "data.img").stat().st_size == 96 << 20
    told(lambda: re.search(r"new size: 196608 512-byte", ssh.run("dmesg")), within=60)
    ssh.run("resize2fs /dev/disk/by-id/virtio-data 2>&1")
    ask(machine, "block_resize", device="data-disk", size=128 << 20)
    told(lambda: ssh.run("blockdev --getsize64 /dev/disk/by-id/virtio-data").strip() == str(128 << 20), within=60)
    ssh.run("resize2fs /dev/disk/by-id/virtio-data 2>&1 && dd if=/dev/urandom of=/mnt/large bs=1M count=80 conv=fsync 2>&1 && "
            "cat /mnt/file && umount /mnt && e2fsck -fn /dev/disk/by-id/virtio-data")


def memory_goes_back(machine):
    ssh, half = machine.ssh, 256 << 20
    # Free pages that were in use: reported to the host by themselves.
    ssh.run("mkdir -p /r && mount -t tmpfs -o size=300m none /r && dd if=/dev/urandom of=/r/x bs=1M count=200 2>/dev/null")
    full = host_memory(machine)
    assert full > 200 << 20, full
    ssh.run("umount /r")
    told(lambda: full - host_memory(machine) > 150 << 20, within=60)
    # What the balloon asks for.
    ssh.run("mount -t tmpfs -o size=300m none /r && dd if=/dev/urandom of=/r/x bs=1M count=100 2>/dev/null")
    ask(machine, "balloon", value=half)
    told(lambda: ask(machine, "query-balloon")["actual"] == half, within=120)
    assert host_memory(machine) < half + (8 << 20), host_memory(machine)
    assert "total" in machine.screen.tell("call", "balloon", "statistics")
    told(lambda: re.search(r"the guest: .*free \d+ KiB", machine.screen.tell("call", "balloon", "statistics")), within=30)
    ask(machine, "balloon", value=1 << 30)
    told(lambda: ask(machine, "query-balloon")["actual"] == 512 << 20, within=120)
    ssh.run("umount /r && dd if=/dev/zero of=/dev/shm/x bs=1M count=200 2>/dev/null && rm /dev/shm/x")


def bytes_by_ports(machine, folder):
    ssh, port = machine.ssh, "/dev/virtio-ports/org.backplane.agent"
    ssh.run(f"test -c {port}")
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(folder / "agent.sock"))
        line.settimeout(PATIENCE)
        # Linux lets one program at a time have a port open.
        ssh.run(f"exec 3<>{port}; cat <&3 >/root/heard 2>/dev/null & echo $! >/root/cat; echo to the host >&3")
        text = b""
        while b"\n" not in text:
            text += line.recv(100)
        assert text == b"to the host\n", text
        sent = os.urandom(200_000)
        line.sendall(sent)
        told(lambda: ssh.run("wc -c </root/heard").strip() == str(len(sent)), within=120)
    (folder / "heard").unlink(missing_ok=True)
    ssh.copy("guest:/root/heard", folder / "heard")
    assert (folder / "heard").read_bytes() == sent, "other bytes came"
    # Nobody is at the host's end any more: the guest's program reads the end.
    told(lambda: ssh.run("kill -0 $(cat /root/cat) 2>/dev/null; echo $?").strip() != "0", within=60)


def cloud_init_finds_its_seed(ssh):
    device = "/dev/disk/by-id/virtio-seed"
    text = ssh.run(f"blkid -p -o export {device}")
    assert re.search(r"^LABEL=cidata$", text, re.M) and re.search(r"^TYPE=iso9660$", text, re.M), text
    text = ssh.run(f"mount -o ro {device} /mnt && cd /mnt && ls && cat user-data meta-data; cd / && umount /mnt")
    assert re.fullmatch(r"meta-data\nuser-data\n#cloud-config\npackages: \[hello\]\ninstance-id: iid-[0-9a-f]+\nlocal-hostname: cloudy\n", text), text


def keys_arrive(machine):
    """A key of virtio's keyboard, read from /dev/input: 24 bytes an event (input_event), type 1, code 48 (KEY_B), down and up."""
    ssh = machine.ssh
    # Debian's minimal system loads virtio_input by its alias.
    find = "grep -l 'Backplane virtio keyboard' /sys/class/input/event*/device/name"
    told(lambda: "event" in ssh.run(find + "; true"), within=60)
    event = re.search(r"event\d+", ssh.run(find)).group(0)
    reader = subprocess.Popen([*ssh.command, f"timeout 60 head -c 96 /dev/input/{event} | od -An -v -t u2"], stdout=subprocess.PIPE, text=True)
    told(lambda: ssh.run(f"ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c input/{event}; true").strip() != "0", within=60)
    machine.screen.tell("sendkey", "b")
    numbers = reader.communicate(timeout=PATIENCE)[0].split()
    events = [tuple(int(number) for number in numbers[place + 8:place + 11]) for place in range(0, len(numbers), 12)]
    assert events == [(1, 48, 1), (0, 0, 0), (1, 48, 0), (0, 0, 0)], events


def add(checks, server, folder, kills):
    """`server`: makes a machine of a file, as check-net.py's Server does."""

    def smaller_devices():
        file = folder / "devices.yaml"
        file.write_text(DEVICES.format(machines=ROOT / "machines"))
        image(folder / "data.img")
        with server(file=file) as machine:
            disk_grows(machine, folder)
            bytes_by_ports(machine, folder)
            cloud_init_finds_its_seed(machine.ssh)
            keys_arrive(machine)
            memory_goes_back(machine)
            assert not re.search(r"(?i)call trace|i/o error|needs reset", machine.ssh.run("dmesg")), machine.ssh.run("dmesg")[-3000:]
            machine.power_off()

    checks.check(f"what was synced before kill -9, {kills} times, is on raw, overlay and qcow2 disks",
                 lambda: Killed(server, folder).run(kills))
    checks.check("a qcow2 image with a backing file as Debian's disk; fstrim makes it smaller, and it grows under its guest", lambda: qcow2_with_a_backing_file(server, folder))
    checks.check("a disk grows under its guest; a balloon and free pages give memory back; ports, cloud-init's seed, keys by virtio-input",
                 smaller_devices)
