"""Checks of check-pc.py on other boards than pc.yaml's whole one: Linux by a loader, a PC before PCI, memtest86+, a board of which each part is left
out once, two machines in one process."""

import hashlib
import os
import re
import subprocess
import time

from pc_machines import LASTING_SECTOR, PATIENCE, ROOT, Screen, boot_image

LINUX = ROOT / ".build/guests/linux/amd64"


class Boards:
    def __init__(self, backplane, engine, files, work):
        self.backplane, self.engine, self.files, self.work = backplane, engine, files, work

    def run(self, checks):
        checks.check("a PC before PCI: SeaBIOS writes to its shadow and boots GRUB, on the VGA and by keys", self.isa_board)
        checks.check("memtest86+ makes a pass over 16 MiB without an error", self.memtest)
        for part in self.parts():
            checks.check(f"without '{part}' the machine is refused by name or starts", lambda part=part: self.without(part))
        if (LINUX / "vmlinuz").exists():
            checks.check("Linux by a loader on the board: PCI, tables, I/O APIC, DMA, DHCP; its power-off ends it", self.linux_on_the_board)
            checks.check("a PC and a headless Linux in one process", self.two_machines)
        else:
            print("SKIPPED Linux by a loader: scripts/fetch-linux.sh gets it")

    def command(self, machine_file, **settings):
        options = [word for name, value in settings.items() for word in ("--set", f"{name.replace('_', '-')}={value}")]
        return [str(self.backplane), "run", str(machine_file), "--engine", self.engine, *options]

    @property
    def seabios(self):
        return self.files["seabios"].parent

    # ---- Boards with firmware ------------------------------------------------------------------------------------------------------

    def isa_board(self):
        command = self.command(
            ROOT / "machines/isapc.yaml", firmware=self.seabios / "bios.bin", vga_bios=self.seabios / "vgabios-isavga.bin",
            disk=self.files["grub-rescue-pc"], debug=self.work / "isapc.log")
        with Screen(self.backplane, command, self.work) as screen:
            screen.wait_for(r"(?s)GNU GRUB +version.*executed automatically")
            screen.tell("sendkey", "c")
            screen.wait_for(r"grub>")
            screen.type("ls\n")
            screen.wait_for(r"\(hd0\)")
            assert screen.quit() == 0
        words = (self.work / "isapc.log").read_text(errors="replace")
        for line in ("Detected non-PCI system", "Running option rom at c000:0003", "ata0-0: BACKPLANE DISK"):
            assert line in words, f"{line}: not in\n{words[-2000:]}"

    def pc(self, machine_file, disk, **more):
        return self.command(
            machine_file, firmware=self.files["seabios"], vga_bios=self.seabios / "vgabios-stdvga.bin", disk=disk, **more)

    def memtest(self):
        """From a disk that is GRUB and it, in GRUB's memory disk. All its tests but the last, which waits for eight minutes: fading bits."""
        folder = self.work / "memtest"
        folder.mkdir()
        (folder / "memtest.bin").write_bytes(self.files["memtest86+"].read_bytes())
        subprocess.run(["tar", "-C", str(folder), "-cf", str(folder / "disk.tar"), "memtest.bin"], check=True)
        (folder / "early.cfg").write_text("linux16 (memdisk)/memtest.bin\nboot\n")
        subprocess.run(
            ["grub-mkimage", "-O", "i386-pc", "-o", "core.img", "-p", "(memdisk)", "-m", "disk.tar", "-c", "early.cfg",
             "biosdisk", "memdisk", "tar", "linux16", "boot"], cwd=folder, check=True)
        sector = open("/usr/lib/grub/i386-pc/boot.img", "rb").read()
        (folder / "disk.img").write_bytes((sector + (folder / "core.img").read_bytes()).ljust(1 << 20, b"\0"))
        command = self.pc(ROOT / "machines/pc.yaml", folder / "disk.img", memory="16MiB")
        with Screen(self.backplane, command, self.work) as screen:
            screen.wait_for(r"Press <F1> to configure")
            for key, answer in (("f1", "Settings:"), ("f1", "Test Selection:"), ("f2", "est"), ("1", "1"), ("0", "10"), ("ret", r"\*\.\*{8}\."),
                                ("f10", "Settings:"),
                                # It may have waited long enough meanwhile, and begin by itself.
                                ("f10", "Press <F1> to configure|Status: (Testing|Pass)"), ("ret", "Status: (Testing|Pass)")):
                screen.tell("sendkey", key)
                screen.wait_for(answer)
            text = screen.wait_for(r"Pass: +[1-9]|Errors: +[1-9]")
            assert re.search(r"Pass: +[1-9][0-9]* +Errors: +0", text), text
            assert screen.quit() == 0

    # ---- A board without one of its parts ------------------------------------------------------------------------------------------

    def parts(self):
        text = (ROOT / "machines/pc.yaml").read_text()
        devices = text[text.index("\ndevices:"):text.index("\nbackends:")]
        return re.findall(r"- \{ id: (\w+),", devices)

    def without(self, part):
        """Its line is gone, and every wire to it. Either `check` says what now misses what, with status 2, or the machine starts: then it is
        still there when SeaBIOS has spoken, or after some seconds, and ends at a word."""
        machine_file = self.work / f"without-{part}.yaml"
        text = (ROOT / "machines/pc.yaml").read_text()
        text = re.sub(rf"(?m)^  - \{{ id: {part}, .*\n", "", text)
        wire = rf"{part}(?:\.[0-9.\-]+)?"
        text = re.sub(rf", [\w-]+: {wire}(?=[,\s}}])", "", text)
        text = re.sub(rf", [\w-]+: \[{wire}(?:, {wire})*\]", "", text)
        text = re.sub(rf"(?<=[\[ ]){wire}, |, {wire}(?=\])", "", text)
        machine_file.write_text(text)
        disk = self.work / "lasting.img"
        boot_image(disk, LASTING_SECTOR)
        log = self.work / f"without-{part}.log"
        command = self.pc(machine_file, disk, memory="32MiB", debug=log)
        told = subprocess.run(
            [command[0], "check", *command[2:]], capture_output=True, text=True, timeout=PATIENCE)
        if told.returncode != 0:
            assert told.returncode == 2 and f"{machine_file}:" in told.stderr, (told.returncode, told.stderr)
            return
        with Screen(self.backplane, command, self.work) as screen:
            end = time.monotonic() + 6
            while time.monotonic() < end and "Booting from" not in (log.read_text(errors="replace") if log.exists() else ""):
                # A machine that ends by itself says why: status 0 (halted for good) or an error in words.
                if screen.process.poll() is not None:
                    said = screen.process.communicate()[1]
                    assert screen.process.returncode in (0, 1, 3) and said, (screen.process.returncode, said)
                    return
                time.sleep(0.2)
            assert screen.quit() == 0

    # ---- Linux by a loader ---------------------------------------------------------------------------------------------------------

    def linux(self, machine, **more):
        return self.command(
            ROOT / f"machines/{machine}.yaml", kernel=LINUX / "vmlinuz", initrd=LINUX / "initramfs.cpio", **more)

    def linux_on_the_board(self):
        disk = self.work / "random.img"
        contents = os.urandom(16 << 20)
        disk.write_bytes(contents)
        command = self.linux(
            "pc-linux", modules=LINUX / "modules.cpio", disk=disk, append="backplane.disk backplane.selftest=board")
        told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=PATIENCE)
        said = told.stdout.replace("\r", "")
        assert told.returncode == 0, (told.returncode, said[-3000:], told.stderr)
        for line in ("pci 0000:00:00.0 8086:1237", "pci 0000:00:01.0 8086:7000", "pci 0000:00:01.1 8086:7010", "pci 0000:00:01.3 8086:7113",
                     "pci 0000:00:03.0 8086:100e", "product PC", "tables APIC DSDT FACP FACS", "complaints 0", "controllers IO-APIC",
                     f"disk {hashlib.sha256(contents).hexdigest()}", r"mode \S*DMA\S*", "address 10.0.2.15", "status 0"):
            assert re.search(rf"(?m)^selftest: {line} *$", said), f"{line}: not in\n{said[-3000:]}"

    def two_machines(self):
        desk = self.work / "desk.yaml"
        disk = self.work / "boot.img"
        settings = {"firmware": self.files["seabios"], "vga-bios": self.seabios / "vgabios-stdvga.bin", "disk": disk, "memory": "64MiB"}
        own = "\n".join(f"  {name}: {value}" for name, value in settings.items())
        (self.work / "first.yaml").write_text(f"extends: {ROOT / 'machines/pc.yaml'}\nparameters:\n{own}\n")
        kernel = f"  kernel: {LINUX / 'vmlinuz'}\n  initrd: {LINUX / 'initramfs.cpio'}\n  append: backplane.selftest=true"
        (self.work / "second.yaml").write_text(f"extends: {ROOT / 'machines/linux.yaml'}\nparameters:\n{kernel}\n")
        desk.write_text("host: desk\nguests:\n  - { file: first.yaml }\n  - { file: second.yaml }\n")
        told = subprocess.run(
            [str(self.backplane), "run", str(desk), "--engine", self.engine], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=PATIENCE)
        assert told.returncode == 0, (told.returncode, told.stdout[-3000:], told.stderr)
        for line in ("a boot sector is her", "selftest: status 0"):
            assert line in told.stdout, f"{line}: not in\n{told.stdout[-3000:]}"
