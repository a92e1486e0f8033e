"""Checks of check-pc.py on screens that are looked at from elsewhere, by a VNC client that is not ours: vncdotool (PyPI), where `vncdo` is on the PATH."""

import shutil
import struct
import subprocess
import time

from pc_machines import PATIENCE, ROOT, Screen, free_port


def ppm_of(bmp):
    """A BMP of 24 bits, from the bottom up, as the PPM that a screendump is."""
    start, = struct.unpack_from("<I", bmp, 10)
    width, height = struct.unpack_from("<ii", bmp, 18)
    stride = (3 * width + 3) // 4 * 4
    pixels = bytearray(b"P6\n%d %d\n255\n" % (width, height))
    for line in reversed(range(height)):
        row = bmp[start + line * stride:][:3 * width]
        colors = bytearray(3 * width)
        colors[0::3], colors[1::3], colors[2::3] = row[2::3], row[1::3], row[0::3]
        pixels += colors
    return bytes(pixels)


class RemoteScreens:
    def __init__(self, backplane, engine, files, work):
        self.backplane, self.engine, self.files = backplane, engine, files
        self.work = work / "vnc"
        self.work.mkdir()

    def run(self, checks):
        if shutil.which("vncdo") is None:
            print("SKIPPED screens by VNC: no vncdo on the PATH (pip install vncdotool)")
            return
        checks.check("a VNC client sees GRUB's text and its graphics pixel by pixel as the monitor does, and types its commands", self.grub)

    def command(self, disk, port):
        machine_file = self.work / "vnc.yaml"
        machine_file.write_text(
            f"extends: {ROOT / 'machines/pc.yaml'}\ndevices:\n  - {{ id: vga, display: [screen, vnc] }}\n"
            f"backends:\n  - {{ id: vnc, plugin: vnc, listen: '127.0.0.1:{port}', keyboard: kbd.0, pointer: kbd.1 }}\n")
        seabios = self.files["seabios"]
        settings = {"firmware": seabios, "vga-bios": seabios.parent / "vgabios-stdvga.bin", "memory": "64MiB", "disk": disk}
        options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        return [str(self.backplane), "run", str(machine_file), "--engine", self.engine, *options]

    def client(self, port, *words):
        told = subprocess.run(
            ["vncdo", "-s", f"127.0.0.1::{port}", *map(str, words)], capture_output=True, text=True, timeout=PATIENCE)
        assert told.returncode == 0, (words, told.stdout, told.stderr)

    def compare(self, screen, port, size):
        """Once the screen has this size. The client's picture may lag behind the monitor's."""
        seen, dumped = self.work / "seen.bmp", self.work / "dumped.ppm"
        end = time.monotonic() + PATIENCE
        while True:
            screen.tell("screendump", str(dumped))
            self.client(port, "capture", seen)
            if dumped.read_bytes().startswith(b"P6\n%d %d\n" % size) and ppm_of(seen.read_bytes()) == dumped.read_bytes():
                return
            assert time.monotonic() < end, "the client's picture is not the monitor's"

    def grub(self):
        port = free_port()
        disk = self.work / "grub.img"
        shutil.copy(self.files["grub-rescue-pc"], disk)
        with Screen(self.backplane, self.command(disk, port), self.work) as screen:
            screen.wait_for(r"(?s)GNU GRUB +version.*executed automatically")
            self.compare(screen, port, (720, 400))
            self.client(port, "type", "c")
            screen.wait_for(r"grub>")
            # The letters of the first come by Shift.
            self.client(port, "type", "echo ABC-xyz", "key", "enter")
            screen.wait_for(r"\nABC-xyz")
            self.client(port, "type", "set gfxmode=1024x768x32; insmod all_video; terminal_output gfxterm; lspci", "key", "enter")
            self.compare(screen, port, (1024, 768))
            assert screen.quit() == 0
