#!/usr/bin/env python3
"""check-pc.py [--engine NAME] [--fetch] [BACKPLANE]: the PC of machines/pc.yaml boots what Debian has, from firmware on.

Gets SeaBIOS and GRUB's rescue image by apt into .build/guests/pc (no root needed), boots them on the software CPU or the engine that is named, reads
the serial console and types on it. BACKPLANE: the program (default: .build-tests/release/backplane). --fetch: gets the files, and that is all. Ends with
`N passed, N failed`; status 1 where one failed."""

import argparse
import os
import pathlib
import pty
import re
import select
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = {
    "seabios": "usr/share/seabios/bios-256k.bin",
    "grub-rescue-pc": "usr/lib/grub-rescue/grub-rescue-usb.img",
}
# A guest that hangs must not hang the check; a slow host has all of this.
PATIENCE = 300


def fetch(folder):
    """The files by the packages' names; those that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for package, path in PACKAGES.items():
        if (folder / path).exists():
            continue
        with tempfile.TemporaryDirectory() as work:
            subprocess.run(
                ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=work, check=True)
            for archive in pathlib.Path(work).glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True)
    return {package: folder / path for package, path in PACKAGES.items()}


class Machine:
    """A machine on a terminal of its own."""

    def __init__(self, command):
        self.text = ""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execv(command[0], command)

    def wait_for(self, pattern):
        """The text up to and with what matches; everything before is forgotten."""
        end = time.monotonic() + PATIENCE
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end():]
                return found.group(0)
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.terminal], [], [], left)[0]:
                raise AssertionError(f"{pattern!r} did not come; the last was {self.text[-400:]!r}")
            try:
                data = os.read(self.terminal, 65536)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"the machine ended before {pattern!r} came: {self.text[-400:]!r}")
            self.text += data.decode(errors="replace")

    def type(self, keys):
        """Key by key, each after the one before was echoed or had its time: firmware polls its serial console."""
        for key in keys:
            os.write(self.terminal, key.encode())
            time.sleep(0.7)

    def quit(self):
        """Ctrl-A x; the exit status."""
        os.write(self.terminal, b"\x01x")
        while True:
            try:
                if not os.read(self.terminal, 65536):
                    break
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


# xor ax, ax; mov ds, ax; mov si, text
# next: lodsb; test al, al; jz end; mov ah, 0eh; mov bx, 7; int 10h; jmp next
# end: cli; hlt
# text:
BOOT_SECTOR = bytes.fromhex("31c0 8ed8 be177c ac 84c0 7409 b40e bb0700 cd10 ebf2 fa f4") + b"a boot sector is here\r\n\0"


def boot_image(path):
    path.write_bytes(BOOT_SECTOR.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, outcome, body):
        try:
            body()
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            self.failed += 1
            print(f"FAILED {outcome}\n    {error}", flush=True)
        else:
            self.passed += 1
            print(f"ok     {outcome}", flush=True)


def main():
    words = argparse.ArgumentParser(usage=__doc__)
    words.add_argument("backplane", nargs="?", type=pathlib.Path, default=ROOT / ".build-tests/release/backplane")
    words.add_argument("--engine", default="soft")
    words.add_argument("--fetch", action="store_true")
    arguments = words.parse_args()
    backplane = arguments.backplane.resolve()
    files = fetch(ROOT / ".build/guests/pc")
    if arguments.fetch:
        return
    checks = Checks()
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        boot_image(work / "boot.img")

        def command(disk, *more):
            settings = {"firmware": files["seabios"], "disk": disk, "memory": "64MiB", "debug": work / "seabios.log"}
            options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
            return [str(backplane), "run", str(ROOT / "machines/pc.yaml"), "--engine", arguments.engine, *options, *more]

        def boots_a_sector():
            result = subprocess.run(
                command(work / "boot.img"), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
            assert result.returncode == 0, (result.returncode, result.stdout, result.stderr)
            # SeaBIOS holds a character back until it knows where the next one goes.
            assert "a boot sector is her" in result.stdout, result.stdout[-400:]

        def says_what_it_found():
            words = (work / "seabios.log").read_text(errors="replace")
            for line in (
                r"Running on QEMU \(i440fx\)", r"QEMU fw_cfg DMA interface supported",
                r"qemu/e820: addr 0x0000000000100000 len 0x0000000003f00000 \[RAM\]", r"Found 5 PCI devices",
                r"Using pmtimer, ioport 0x608",
                r"PCI: init bdf=00:01\.1 id=8086:7010", r"ata0-0: BACKPLANE DISK", r"Booting from 0000:7c00",
            ):
                assert re.search(line, words), f"{line}: not in\n{words[-2000:]}"

        def grub_is_driven():
            machine = Machine(command(files["grub-rescue-pc"]))
            machine.wait_for(r"GNU GRUB +version")
            machine.wait_for(r"executed automatically")
            machine.type("c")
            machine.wait_for(r"grub>")
            machine.type("lspci\r")
            for line in (r"00:00\.0 8086:1237", r"00:01\.0 8086:7000", r"00:01\.1 8086:7010", r"00:01\.3 8086:7113",
                         r"00:03\.0 8086:100e"):
                machine.wait_for(line)
            assert machine.quit() == 0, "Ctrl-A x did not end it with 0"

        checks.check("SeaBIOS boots a sector from an IDE disk, which speaks by INT 10h on the serial console", boots_a_sector)
        checks.check("SeaBIOS says on port 0x402 what it found: memory map, PCI, disk", says_what_it_found)
        checks.check("GRUB's rescue menu comes up and is driven by keys; its lspci sees the board", grub_is_driven)
    print(f"{checks.passed} passed, {checks.failed} failed")
    sys.exit(1 if checks.failed else 0)


main()
