"""What check-pc.py and its like share: files of Debian's packages, machines on a terminal or looked at by the monitor, and the counting of checks."""

import os
import pathlib
import pty
import re
import select
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = {
    "seabios": "usr/share/seabios/bios-256k.bin",
    "grub-rescue-pc": "usr/lib/grub-rescue/grub-rescue-usb.img",
    "ipxe-qemu": "usr/lib/ipxe/qemu/pxe-e1000.rom",
    "memtest86+": "boot/memtest86+x64.bin",
    "debian-installer-12-netboot-amd64": "usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/linux",
    "ovmf": "usr/share/OVMF/OVMF_CODE_4M.fd",
}
# What guests on networks are given: nothing of it is on the Debian disk.
NETWORK_TOOLS = {
    "iperf3": "usr/bin/iperf3",
    "libiperf0": "usr/lib/x86_64-linux-gnu/libiperf.so.0",
    "libsctp1": "usr/lib/x86_64-linux-gnu/libsctp.so.1",
    "iputils-ping": "bin/ping",
    "libidn2-0": "usr/lib/x86_64-linux-gnu/libidn2.so.0",
    "libunistring2": "usr/lib/x86_64-linux-gnu/libunistring.so.2",
}
DEBIAN = ROOT / ".build/guests/debian/disk.img"
# A guest that hangs must not hang the check; a slow host has all of this, and a host in a box (kvm-box.sh) more.
PATIENCE = 1200 if "BACKPLANE_BOX" in os.environ else 300


def fetch(folder, packages=PACKAGES):
    """The files by the packages' names; those that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for package, path in packages.items():
        if (folder / path).exists():
            continue
        with tempfile.TemporaryDirectory() as work:
            subprocess.run(
                ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=work, check=True)
            for archive in pathlib.Path(work).glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True)
    return {package: folder / path for package, path in packages.items()}


class NetworkTools:
    """iperf3 and ping for a Debian guest, by ssh: the lines of its shell that call them."""

    IPERF3 = "LD_LIBRARY_PATH=/opt/usr/lib/x86_64-linux-gnu /opt/usr/bin/iperf3"
    PING = "LD_LIBRARY_PATH=/opt/usr/lib/x86_64-linux-gnu /opt/bin/ping"

    def __init__(self):
        folder = ROOT / ".build/guests/network"
        fetch(folder, NETWORK_TOOLS)
        self.archive = subprocess.run(
            ["tar", "-C", str(folder), "--exclude=./usr/share", "-cz", "."], check=True, capture_output=True).stdout

    def give(self, ssh):
        subprocess.run([*ssh.command, "tar -C /opt -xz"], input=self.archive, check=True, capture_output=True, timeout=PATIENCE)


class TextTerminal:
    """25 lines of 80 columns, as SeaBIOS takes its serial console to be: it moves the cursor in the middle of words."""

    TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([^\x1b])", re.S)

    def __init__(self):
        self.lines = [[" "] * 80 for _ in range(25)]
        self.row = self.column = 0
        self.rest = ""

    @property
    def text(self):
        return "\n".join("".join(line).rstrip() for line in self.lines)

    def take(self, text):
        text = self.rest + text
        begun = re.search(r"\x1b(\[[0-9;?]*)?$", text)
        self.rest = begun.group(0) if begun else ""
        for numbers, control, character in self.TOKEN.findall(text[:begun.start()] if begun else text):
            if control:
                self.control(control, [int(number or 0) for number in numbers.split(";") if number.isdigit() or not number])
            else:
                self.put(character)

    def control(self, kind, numbers):
        if kind == "H":
            row, column = (numbers + [1, 1])[:2] if len(numbers) > 1 else (1, 1)
            self.row, self.column = min(max(row, 1), 25) - 1, min(max(column, 1), 80) - 1
        elif kind == "J":
            self.lines = [[" "] * 80 for _ in range(25)]

    def put(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.feed()
        elif character == "\b":
            self.column = max(self.column - 1, 0)
        elif character >= " ":
            if self.column == 80:
                self.column = 0
                self.feed()
            self.lines[self.row][self.column] = character
            self.column += 1

    def feed(self):
        if self.row == 24:
            self.lines = self.lines[1:] + [[" "] * 80]
        self.row = min(self.row + 1, 24)


class Machine:
    """A machine on a terminal of its own."""

    def __init__(self, command):
        self.screen = TextTerminal()
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            # A dumb one, on which the backend `screen` does not paint: what comes is the serial port's.
            os.execve(command[0], command, {**os.environ, "TERM": "dumb"})

    def wait_for(self, pattern):
        """Until it is on the screen."""
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.screen.text):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.terminal], [], [], left)[0]:
                raise AssertionError(f"{pattern!r} did not come; the screen was\n{self.screen.text}")
            try:
                data = os.read(self.terminal, 65536)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"the machine ended before {pattern!r} came; the screen was\n{self.screen.text}")
            self.screen.take(data.decode(errors="replace"))

    def type(self, keys):
        """Key by key, each after the one before was echoed or had its time: firmware polls its serial console."""
        for key in keys:
            os.write(self.terminal, key.encode())
            time.sleep(0.7)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def quit(self):
        """Ctrl-A x; the exit status."""
        os.write(self.terminal, b"\x01x")
        while True:
            try:
                if not os.read(self.terminal, 65536):
                    break
            except OSError:
                break
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        return status


class Screen:
    """A machine that is looked at and typed on by the monitor alone: its VGA and its PS/2 keyboard."""

    KEYS = {" ": "spc", "\n": "ret", "-": "minus", ".": "dot", "/": "slash", "=": "equal"}

    def __init__(self, backplane, command, folder, output=subprocess.DEVNULL):
        self.backplane, self.socket = backplane, folder / "screen.sock"
        self.process = subprocess.Popen(
            [*command, "--qmp", f"unix:{self.socket}"], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + PATIENCE
        while not self.socket.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"it did not start: {self.process.communicate()[1]}")
            time.sleep(0.1)

    def tell(self, *words):
        result = subprocess.run(
            [str(self.backplane), "ctl", str(self.socket), *words], capture_output=True, text=True, timeout=PATIENCE)
        assert result.returncode == 0, (words, result.stdout, result.stderr)
        return result.stdout

    def text(self):
        return self.tell("info", "display")

    def log_in(self):
        """As root of Debian's disk, by keys, to the shell's prompt."""
        for pattern, answer in ((r"debian login:", "root\n"), (r"Password:", "backplane\n")):
            self.wait_for(pattern)
            self.type(answer)
        self.wait_for(r"root@debian:~#")

    def wait_for(self, pattern):
        end, text = time.monotonic() + PATIENCE, ""
        while time.monotonic() < end:
            text = self.text()
            if re.search(pattern, text):
                return text
            assert self.process.poll() is None, f"the machine ended before {pattern!r} was shown:\n{text}"
            time.sleep(0.2)
        raise AssertionError(f"{pattern!r} was not shown; the screen was\n{text}")

    def type(self, text):
        for key in text:
            self.tell("sendkey", self.KEYS.get(key, key))

    def quit(self):
        self.tell("quit")
        return self.process.wait(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.socket.unlink(missing_ok=True)


class Tmux:
    """A shell in a window of tmux, for what a person would see."""

    def __init__(self, name):
        self.name = f"{name}-{os.getpid()}"
        self.tell("-f", "/dev/null", "new-session", "-d", "-s", "check", "-x", "90", "-y", "30", "env PS1='$ ' sh")

    def tell(self, *words):
        return subprocess.run(["tmux", "-L", self.name, *words], capture_output=True, text=True, check=True).stdout

    def type(self, *keys):
        """By tmux's names of keys."""
        self.tell("send-keys", "-t", "check", *keys)

    def wait_for(self, pattern, *options):
        end, text = time.monotonic() + PATIENCE, ""
        while time.monotonic() < end:
            text = self.tell("capture-pane", "-p", "-t", "check", *options)
            if re.search(pattern, text):
                return text
            time.sleep(0.2)
        raise AssertionError(f"{pattern!r} was not shown; the window was\n{text}")

    def wait_for_screen(self, is_alternate):
        """Until the window has its alternate screen, or has left it."""
        end = time.monotonic() + PATIENCE
        while self.tell("display", "-p", "-t", "check", "#{alternate_on}").strip() != str(int(is_alternate)):
            assert time.monotonic() < end, f"the alternate screen is not {'on' if is_alternate else 'left'}"
            time.sleep(0.2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["tmux", "-L", self.name, "kill-server"], capture_output=True)


# xor ax, ax; mov ds, ax; mov si, text
# next: lodsb; test al, al; jz end; mov ah, 0eh; mov bx, 7; int 10h; jmp next
# end: cli; hlt
# text:
BOOT_SECTOR = bytes.fromhex("31c0 8ed8 be177c ac 84c0 7409 b40e bb0700 cd10 ebf2 fa f4") + b"a boot sector is here\r\n\0"


# The same with `sti; next: hlt; jmp next` at its end, so that the screen stays.
LASTING_SECTOR = BOOT_SECTOR.replace(b"\x17\x7c", b"\x19\x7c").replace(b"\xfa\xf4", b"\xfb\xf4\xeb\xfd")


def boot_image(path, sector):
    path.write_bytes(sector.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))


def free_port():
    """A TCP port that nobody listens at now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class SSH:
    """root of the Debian disk by a port of this host."""

    def __init__(self, port):
        self.options = [
            "-i", str(DEBIAN.parent / "id_ed25519"), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "LogLevel=ERROR", "-o", "ConnectionAttempts=30", "-o", "ConnectTimeout=60"]
        self.port = str(port)
        self.command = ["ssh", *self.options, "-p", self.port, "root@127.0.0.1"]

    def wait(self):
        """A guest on a slow host may need a while until its sshd answers: 255 is ssh's own failure."""
        end = time.monotonic() + PATIENCE
        while subprocess.run([*self.command, "true"], capture_output=True, timeout=PATIENCE).returncode == 255:
            assert time.monotonic() < end, "ssh by the forwarded port finds nobody"

    def run(self, command):
        """What it prints."""
        told = subprocess.run([*self.command, command], capture_output=True, text=True, timeout=PATIENCE)
        assert told.returncode == 0, (command, told.returncode, told.stdout[-2000:], told.stderr[-2000:])
        return told.stdout

    def copy(self, source, target):
        """scp; `guest:` in front of a path names the guest's."""
        place = lambda path: str(path).replace("guest:", "root@127.0.0.1:", 1)
        told = subprocess.run(
            ["scp", *self.options, "-P", self.port, place(source), place(target)], capture_output=True, text=True, timeout=PATIENCE)
        assert told.returncode == 0, told.stderr


class Checks:
    """`only`: those whose outcome's words have this regular expression in them."""

    def __init__(self, only=""):
        self.passed = self.failed = 0
        self.only = only

    def check(self, outcome, body):
        if not re.search(self.only, outcome):
            return
        begin = time.monotonic()
        try:
            body()
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            self.failed += 1
            print(f"FAILED {outcome}\n    {error}", flush=True)
        else:
            self.passed += 1
            print(f"ok     {outcome} ({time.monotonic() - begin:.0f} s)", flush=True)
