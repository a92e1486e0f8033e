"""Checks of check-pc.py on machines/pc-uefi.yaml: OVMF's shell by keys, variables in their flash, GRUB for EFI and Debian from a disk."""

import os
import subprocess

from pc_machines import DEBIAN, PATIENCE, ROOT, Machine
from pc_pixels import PixelFont, PixelScreen

VARIABLE = "Kept -guid 5ba5f5a9-9a64-4d5e-8f0e-6d6f6e6b6579"


class UEFI:
    def __init__(self, backplane, engine, files, work):
        self.backplane, self.engine = backplane, engine
        self.firmware = files["ovmf"]
        self.work = work / "uefi"
        self.work.mkdir()

    def run(self, checks):
        checks.check("OVMF comes to its shell by keys on the serial port; a variable that it sets is there when the machine runs again", self.shell)
        checks.check("OVMF boots GRUB for EFI from a disk's EFI system partition", self.grub)

    def command(self, disk, memory="256MiB", variables="vars.fd"):
        settings = {
            "firmware": self.firmware, "template": self.firmware.with_name("OVMF_VARS_4M.fd"), "variables": self.work / variables, "disk": disk,
            "memory": memory, "debug": self.work / "debug.log",
        }
        options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        return [str(self.backplane), "run", str(ROOT / "machines/pc-uefi.yaml"), "--engine", self.engine, *options]

    def enter(self, machine, line):
        os.write(machine.terminal, line.encode() + b"\r")

    def shell(self):
        disk = self.work / "empty.img"
        disk.write_bytes(bytes(1 << 20))
        with Machine(self.command(disk)) as machine:
            machine.wait_for(r"UEFI Interactive Shell")
            machine.wait_for(r"(?m)^Shell> *$")
            self.enter(machine, f"setvar {VARIABLE} -bs -nv =0x4b455054")
            self.enter(machine, f"setvar {VARIABLE}")
            machine.wait_for(r"54 50 45 4B")
            self.enter(machine, "reset -s")
            assert os.waitstatus_to_exitcode(os.waitpid(machine.pid, 0)[1]) == 0, "reset -s did not end the machine with 0"
            machine.pid = 0
        with Machine(self.command(disk)) as machine:
            machine.wait_for(r"(?m)^Shell> *$")
            self.enter(machine, f"setvar {VARIABLE}")
            machine.wait_for(r"54 50 45 4B")
            assert machine.quit() == 0

    def tool(self, *words):
        told = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd=self.work)
        assert told.returncode == 0, (words, told.stdout, told.stderr)

    def grub(self):
        disk = self.work / "esp.img"
        with open(disk, "wb") as image:
            image.truncate(64 << 20)
        (self.work / "grub.cfg").write_text("set told=by-$grub_platform\n")
        self.tool("grub-mkstandalone", "-O", "x86_64-efi", "-o", "BOOTX64.EFI", "--modules=lspci normal", "boot/grub/grub.cfg=grub.cfg")
        self.tool("mformat", "-i", disk, "-F", "-T", (64 << 20) // 512, "-h", 16, "-s", 63, "::")
        self.tool("mmd", "-i", disk, "::/EFI", "::/EFI/BOOT")
        self.tool("mcopy", "-i", disk, "BOOTX64.EFI", "::/EFI/BOOT/BOOTX64.EFI")
        with Machine(self.command(disk)) as machine:
            # What its configuration says is cleared from the screen when the prompt comes.
            machine.wait_for(r"(?m)^grub> *$")
            self.enter(machine, "echo GRUB has come $told")
            machine.wait_for(r"GRUB has come by-efi")
            self.enter(machine, "lspci")
            machine.wait_for(r"00:01\.1 8086:7010")
            assert machine.quit() == 0

    def debian(self, disk):
        if not disk.exists():
            subprocess.run(["cp", "--sparse=always", str(DEBIAN), str(disk)], check=True)
        command = self.command(disk, "512MiB", "debian-vars.fd")
        with PixelScreen(self.backplane, command, self.work, PixelFont(DEBIAN.with_name("vmlinuz"))) as screen:
            # By the name that removable media have: the firmware knows no other.
            screen.wait_for_serial("GNU GRUB")
            screen.tell("sendkey", "ret")
            screen.log_in()
            screen.type("efibootmgr --create --part 2 --label debian --loader /efi/debian/grubx64.efi\n")
            screen.wait_for(r"BootOrder: (?s:.*)debian")
            screen.type("poweroff\n")
            assert screen.process.wait(PATIENCE) == 0, "Debian did not power off with status 0"
        with Machine(command) as machine:
            machine.wait_for(r"GNU GRUB")
            self.enter(machine, "c")
            machine.wait_for(r"(?m)^grub> *$")
            self.enter(machine, "echo $cmdpath")
            machine.wait_for(r"(?m)^\(hd0,msdos2\)/efi/debian *$")
            assert machine.quit() == 0
