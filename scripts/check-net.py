#!/usr/bin/env python3
"""check-net.py [--engine NAME] [--only WORDS] [--kills N] [BACKPLANE]: Debian talks virtio on machines/server.yaml, server-mmio.yaml and microvm.yaml, and three of them
on networks of their own.

Boots the disk of make-debian-disk.sh, of which each machine has a copy of its own: SeaBIOS and GRUB read it by virtio, Linux brings the devices up, and its sshd is
reached from this host by a forwarded port. BACKPLANE: the program (default: .build-tests/release/backplane). Ends with `N passed, N failed`; status 1 where one
failed."""

import argparse
import errno
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

import net_devices
import net_machines
from pc_machines import DEBIAN, ROOT, SSH, Checks, Screen, fetch, free_port

MEGABYTES = 16


class Server:
    """A machine with a copy of the disk, reached by ssh."""

    def __init__(self, backplane, engine, firmware, folder, *settings, disk=None, file="server.yaml", words=()):
        self.disk = disk or folder / "disk.img"
        if not disk:
            subprocess.run(["cp", "--sparse=always", str(DEBIAN), str(self.disk)], check=True)
        port = free_port()
        self.log = folder / "seabios.log"
        options = {"disk": self.disk, "forward": f"tcp:{port}:22"}
        if pathlib.Path(file).name.startswith("microvm"):
            options |= {"kernel": DEBIAN.parent / "vmlinuz", "initrd": DEBIAN.parent / "initrd.img"}
        else:
            options |= {"firmware": firmware, "debug": self.log}
        words = [str(word) for word in words]
        words += [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
        words += [word for setting in settings for word in ("--set", setting)]
        self.screen = Screen(
            backplane, [str(backplane), "run", str(ROOT / "machines" / file), "--engine", engine, *words], folder)
        self.ssh = SSH(port)

    def __enter__(self):
        self.screen.__enter__()
        try:
            self.ssh.wait()
        except BaseException:
            self.screen.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.screen.__exit__()

    def power_off(self):
        self.screen.tell("system_powerdown")
        assert self.screen.process.wait(300) == 0, "Debian did not power off with status 0"


def find(patterns, text):
    for pattern in patterns:
        assert re.search(pattern, text), f"{pattern}: not in\n{text[-3000:]}"


def main():
    words = argparse.ArgumentParser(usage=__doc__)
    words.add_argument("backplane", nargs="?", type=pathlib.Path, default=ROOT / ".build-tests/release/backplane")
    words.add_argument("--engine", default="soft")
    words.add_argument("--kills", type=int, default=5, help="how often a guest that writes is killed")
    words.add_argument("--only", default="", help="checks whose words have this regular expression in them")
    arguments = words.parse_args()
    backplane = arguments.backplane.resolve()
    firmware = fetch(ROOT / ".build/guests/pc")["seabios"]
    if not DEBIAN.exists():
        sys.exit(f"check-net.py: there is no {DEBIAN}: scripts/make-debian-disk.sh makes it, as root")
    checks = Checks(arguments.only)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)

        def server(*settings, **more):
            return Server(backplane, arguments.engine, firmware, work, *settings, **more)

        def debian_talks_virtio():
            with server() as machine:
                devices_are_there(machine)
                a_file_goes_both_ways(machine.ssh)
                the_disk_keeps_what_is_written(machine.ssh)
                machine.power_off()

        def devices_are_there(machine):
            find([r"Found \d+ PCI devices", r"found virtio-blk at", r"Booting from Hard Disk"],
                 machine.log.read_text(errors="replace"))
            ssh = machine.ssh
            find([r"virtio_blk virtio\d+: .*\[vda\]", r"hwrng|virtio_rng"],
                 ssh.run("dmesg; cat /sys/class/misc/hw_random/rng_available"))
            find([r"10\.0\.2\.15/24"], ssh.run("ip -4 address show dev eth0"))
            find([r"virtio_net"], ssh.run("readlink /sys/class/net/eth0/device/driver"))
            find([r"^ +\d+: +\d+ .*virtio"], ssh.run("grep virtio /proc/interrupts"))
            assert ssh.run("cat /sys/block/vda/serial").strip() == "hd0"
            assert not re.search(r"(?i)call trace|i/o error|needs reset", ssh.run("dmesg")), ssh.run("dmesg")[-3000:]

        def a_file_goes_both_ways(ssh):
            there, back = work / "there", work / "back"
            there.write_bytes(os.urandom(MEGABYTES << 20))
            expected = hashlib.sha256(there.read_bytes()).hexdigest()
            ssh.copy(there, "guest:/root/there")
            assert ssh.run("sha256sum /root/there").split()[0] == expected, "the guest has another file"
            ssh.copy("guest:/root/there", back)
            assert hashlib.sha256(back.read_bytes()).hexdigest() == expected, "another file came back"

        def the_disk_keeps_what_is_written(ssh):
            told = ssh.run(
                "dd if=/dev/urandom of=/root/data bs=1M count=32 conv=fsync 2>/dev/null && sha256sum </root/data && "
                "sync && echo 3 >/proc/sys/vm/drop_caches && sha256sum </root/data")
            first, second = told.split("\n")[:2]
            assert first == second, told

        def debian_by_mmio():
            with server(file="server-mmio.yaml") as machine:
                ssh = machine.ssh
                find([r"LNRO0005:02"], ssh.run("ls /sys/bus/acpi/devices"))
                find([r"virtio_mmio|LNRO0005"], ssh.run("readlink -f /sys/class/net/eth0/device /sys/block/vda/device"))
                a_file_goes_both_ways(ssh)
                the_disk_keeps_what_is_written(ssh)
                machine.power_off()

        def without_firmware():
            with server(file="microvm.yaml") as machine:
                a_file_goes_both_ways(machine.ssh)
                the_disk_keeps_what_is_written(machine.ssh)
                unused_room_is_given_back(machine)
                machine.power_off()

        def unused_room_is_given_back(machine):
            """fstrim makes holes in the disk's file where the guest has deleted what it wrote."""
            ssh = machine.ssh
            ssh.run("dd if=/dev/urandom of=/root/room bs=1M count=64 conv=fsync 2>/dev/null && fstrim / && sync")
            before = machine.disk.stat().st_blocks
            ssh.run("rm /root/room && sync && fstrim / && sync")
            after = machine.disk.stat().st_blocks
            assert (before - after) * 512 > 48 << 20, f"{before * 512 >> 20} MiB before, {after * 512 >> 20} MiB after"

        def legacy_and_modern():
            with server("legacy=off") as machine:
                find([r"0x1042"], machine.ssh.run("cat /sys/bus/pci/devices/0000:00:02.0/device"))
                machine.power_off()

        def a_folder_is_shared():
            shared, outside = work / "shared", work / "outside"
            for folder in (shared, outside):
                folder.mkdir()
                (folder / "name").write_text(folder.name)
            os.mkfifo(shared / "pipe")
            (shared / "away").symlink_to(outside)
            subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{ROOT}", shared / "clone"], check=True)
            with server(words=["--share", shared, "--share", f"{shared}:look,ro"]) as machine:
                ssh = machine.ssh
                ssh.run("mkdir /s /l && for s in share:/s look:/l; do "
                        "mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 ${s%:*} ${s#*:} || exit 1; done")
                a_clone_is_copied(ssh, shared)
                names_lead_nowhere_else(ssh, shared, outside)
                renames_during_walks(ssh, shared, outside)
                told = ssh.run("cd /l && cat name; touch new 2>&1; rm -r clone/docs 2>&1; echo x >>name; true")
                assert told.startswith("shared") and told.count("Read-only file system") > 1, told
                assert (shared / "clone/docs").exists() and (shared / "name").read_text() == "shared"
                ssh.run("umount /s /l")
                machine.power_off()

        def a_clone_is_copied(ssh, shared):
            """By cp and by tar, modes, times and links with it: git on the host finds nothing changed. Then something is made of it."""
            ssh.run("cd /s && cp -a clone copy && tar -cf copy.tar -C clone . && mkdir untarred && tar -xf copy.tar -C untarred && sync")
            for folder in ("copy", "untarred"):
                told = subprocess.run(["git", "-c", "safe.directory=*", "status", "--porcelain"], cwd=shared / folder, check=True, capture_output=True)
                assert told.stdout == b"", told.stdout
            ssh.run("cd /s/copy && find . -name '*.swift' | sort | while read f; do gzip -9n <$f >$f.gz && ln $f.gz $f.again && ln -s ${f##*/}.gz $f.link; done && "
                    "find . -name '*.link' | sort | xargs zcat -f >../all && rm -r ../untarred")
            sources = sorted(str(path.relative_to(shared / "copy")) for path in (shared / "copy").rglob("*.swift"))
            expected = b"".join((shared / "copy" / name).read_bytes() for name in sorted(f"./{name}" for name in sources))
            assert (shared / "all").read_bytes() == expected and not (shared / "untarred").exists()
            assert all((shared / "copy" / f"{name}.again").stat().st_nlink == 2 for name in sources)

        def names_lead_nowhere_else(ssh, shared, outside):
            """A link is the guest's to follow, among its own files; a pipe is the guest's own too, and nobody here waits at it."""
            assert "outside" not in ssh.run(f"cat /s/away/name {outside}/name /s/../../{outside}/name 2>/dev/null; true")
            ssh.run("ln -s /etc/hostname /s/host && cat /s/host | grep -qx debian && echo mine >/s/away 2>/dev/null; true")
            assert os.readlink(shared / "host") == "/etc/hostname" and (outside / "name").read_text() == "outside"
            ssh.run("(timeout 3 cat /s/pipe & timeout 3 sh -c 'echo x >/s/pipe' & sleep 1)")
            try:
                os.close(os.open(shared / "pipe", os.O_WRONLY | os.O_NONBLOCK))
                raise AssertionError("somebody on this host reads the pipe")
            except OSError as error:
                assert error.errno == errno.ENXIO, error
            told = ssh.run("cd /s && mkfifo fifo && mknod null c 1 3 2>&1; stat -c %F pipe fifo away name")
            assert "not permitted" in told and told.split("\n")[-5:-1] == ["fifo", "fifo", "symbolic link", "regular file"], told

        def renames_during_walks(ssh, shared, outside):
            """Directories that come and go under the guest's feet, and one that is a link out of the folder half of the time."""
            tree = shared / "tree"
            (tree / "a/b/c").mkdir(parents=True)
            (tree / "a/b/c/name").write_text("inner")
            ends = threading.Event()

            def swap():
                while not ends.is_set():
                    (tree / "a").rename(tree / "kept")
                    (tree / "a").symlink_to(outside)
                    (tree / "a").unlink()
                    (tree / "kept").rename(tree / "a")

            swapper = threading.Thread(target=swap)
            swapper.start()
            try:
                told = ssh.run("cd /s/tree; for i in $(seq 200); do cat a/b/c/name a/name; ls a/b; echo $i >a/new; done 2>/dev/null; true")
            finally:
                ends.set()
                swapper.join()
            assert "outside" not in told and "inner" in told, told[-2000:]
            assert sorted(path.name for path in outside.iterdir()) == ["name"], "something was made outside"

        def guests_on_networks():
            with net_machines.Process(backplane, arguments.engine, work) as process:
                net_machines.guests_meet_on_a_hub(process)
                net_machines.a_capture_is_read_by_tshark(process)
                net_machines.much_goes_both_ways(process)
                net_machines.a_connection_goes_through_a_router(process)
                net_machines.the_host_meets_a_guest_on_a_tap(process)
                net_machines.guests_leave(process)

        checks.check("Debian boots by SeaBIOS from a virtio disk to ssh; DHCP, entropy, a file by scp both ways, the disk keeps what is written; the power button ends it",
                     debian_talks_virtio)
        checks.check("the same by MMIO, which ACPI names: SeaBIOS boots from the disk, Linux has disk and network", debian_by_mmio)
        checks.check("microvm.yaml: without firmware and PCI, and fstrim makes holes in the disk's file", without_firmware)
        checks.check("it boots from devices that have no legacy interface", legacy_and_modern)
        checks.check("--share: a clone copied by cp and tar, links, pipes and renames lead nowhere else, read-only is", a_folder_is_shared)
        net_devices.add(checks, server, work, arguments.kills)
        checks.check("guests of one process on hubs: ping, iperf3, TCP through a third as router, a capture that tshark reads at any moment, a tap; one leaves",
                     guests_on_networks)
    print(f"{checks.passed} passed, {checks.failed} failed")
    sys.exit(1 if checks.failed else 0)


main()
