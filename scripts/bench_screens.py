"""The screen's measurements of `scripts/bench.py`: machines/pc.yaml beside QEMU's TCG with `-M pc`, the same SeaBIOS and the same guest, Guests/bench/screen.asm,
looked at by the same client of RFB, by TCP and by a WebSocket. Time is CPU time of the process, so that the client and others on the host do not count.
"""
import base64
import os
import re
import socket
import statistics
import struct
import threading
import time
from pathlib import Path

import bench_pc
import bench_soft
from bench_soft import MARK, Child, Ended
from pc_machines import free_port

SIZE = 1024, 768
FRAMES = 20
WRITES = 4 << 20
IDLE = 10  # seconds
RAW, TIGHT, ZRLE = 0, 7, 16
NAMES = {RAW: "raw", TIGHT: "Tight", ZRLE: "ZRLE"}
DESKTOP_SIZE, COMPRESSION_2 = -223, -254  # noVNC asks for the latter


class Stream:
    """Bytes of a TCP connection."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), bench_soft.SECONDS)
        self.input = self.socket.makefile("rb", 1 << 20)

    def read(self, count):
        data = self.input.read(count)
        if len(data) < count:
            raise Ended("the server has closed the connection")
        return data

    def write(self, data):
        self.socket.sendall(data)


class WebStream(Stream):
    """Bytes of binary messages of a WebSocket (RFC 6455)."""

    def __init__(self, port, path):
        super().__init__(port)
        self.rest = bytearray()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: binary\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n".encode())
        if b" 101 " not in self.input.readline():
            raise Ended("the server takes no WebSocket")
        while self.input.readline() != b"\r\n":
            pass

    def read(self, count):
        while len(self.rest) < count:
            length = super().read(2)[1]
            if length >= 126:
                length = int.from_bytes(super().read(2 if length == 126 else 8), "big")
            self.rest += super().read(length)
        data = bytes(self.rest[:count])
        del self.rest[:count]
        return data

    def write(self, data):
        """The mask is of zeros."""
        length = bytes([0x80 | len(data)]) if len(data) < 126 else struct.pack(">BH", 0x80 | 126, len(data))
        super().write(b"\x82" + length + bytes(4) + data)


class Client:
    """One who looks, and does nothing with it but count (RFC 6143)."""

    def __init__(self, stream, encoding):
        self.stream, self.bytes = stream, 0
        stream.read(12)
        stream.write(b"RFB 003.008\n")
        stream.read(stream.read(1)[0])
        stream.write(b"\x01")
        stream.read(4)
        stream.write(b"\x01")
        self.size = struct.unpack(">HH", stream.read(4))
        stream.read(16)
        stream.read(struct.unpack(">I", stream.read(4))[0])
        # 32 bits of which 24 count, as noVNC has them.
        stream.write(bytes([0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 0, 8, 16, 0, 0, 0]))
        encodings = [encoding, DESKTOP_SIZE, COMPRESSION_2]
        stream.write(struct.pack(f">BBH{len(encodings)}i", 2, 0, len(encodings), *encodings))

    def ask(self, incremental=True):
        self.stream.write(struct.pack(">BBHHHH", 3, incremental, 0, 0, *self.size))

    def update(self):
        """The pixels of one."""
        while (message := self.read(1)[0]) != 0:
            if message == 3:  # a text for the clipboard
                self.read(struct.unpack(">3xI", self.read(7))[0])
            elif message != 2:  # a bell
                raise Ended(f"the server says {message}")
        pixels = 0
        for _ in range(struct.unpack(">xH", self.read(3))[0]):
            _, _, width, height, encoding = struct.unpack(">HHHHi", self.read(12))
            if encoding == DESKTOP_SIZE:
                self.size = width, height
                continue
            pixels += width * height
            if encoding == RAW:
                self.read(4 * width * height)
            elif encoding == ZRLE:
                self.read(struct.unpack(">I", self.read(4))[0])
            elif encoding == TIGHT:
                self.tight(width, height)
            elif encoding >= 0:
                raise Ended(f"the server uses encoding {encoding}")
        return pixels

    def tight(self, width, height):
        control = self.read(1)[0]
        if control >> 4 == 8:
            return self.read(3)
        size = 3 * width * height
        if control >> 4 == 9:
            return self.read(self.compact())
        if control & 0x40 and self.read(1)[0] == 1:
            colors = self.read(1)[0] + 1
            self.read(3 * colors)
            size = (width + 7) // 8 * height if colors == 2 else width * height
        return self.read(size if size < 12 else self.compact())

    def compact(self):
        length = shift = 0
        while True:
            byte = self.read(1)[0]
            length |= (byte & 0x7F if shift < 14 else byte) << shift
            shift += 7
            if not byte & 0x80 or shift == 21:
                return length

    def read(self, count):
        self.bytes += count
        return self.stream.read(count)

    def frame(self, pixels):
        """Until so many have come."""
        while pixels > 0:
            self.ask()
            pixels -= self.update()

    def look(self):
        """On a thread, until the connection is closed: all of the first picture, then what changes."""
        try:
            self.ask(incremental=False)
            while True:
                self.update()
                self.ask()
        except (Ended, OSError, ValueError):
            pass

    def close(self):
        self.stream.socket.shutdown(socket.SHUT_RDWR)


class Guest:
    """One of the two, with how to look at it."""

    def __init__(self, child, address):
        self.child, self.address = child, address
        child.wait_for(MARK)

    def tell(self, letter):
        """CPU seconds until it has done it."""
        before, begin = self.child.cpu_time, len(self.child.seen)
        os.write(self.child.reader, letter)
        while MARK not in self.child.seen[begin:]:
            self.child.read()
        return (self.child.cpu_time - before) / 1e9


class Ours(Guest):
    def __init__(self, bench, disk, plugin):
        port = free_port()
        where = f"listen: 127.0.0.1:{port}" if plugin == "vnc" else f"port: {port}"
        text = "".join((f"extends: {bench_pc.machine(bench, 'screen-pc', disk)[2]}\n", "devices:\n  - { id: vga, display: [far] }\n", "backends:\n",
                        f"  - {{ id: far, plugin: {plugin}, {where} }}\n"))
        command = bench_pc.machine(bench, "screen-pc", disk)
        command[2] = bench.file("screen.yaml", text)
        child = Child(command, bench.environment, on_terminal=True, terminal="dumb")
        super().__init__(child, port)
        if plugin == "browser":
            self.path = "/screen?" + re.search(rb"token=\w+", child.seen)[0].decode()

    def client(self, encoding, web):
        return Client(WebStream(self.address, self.path) if web else Stream(self.address), encoding)


class Theirs(Guest):
    def __init__(self, disk):
        port, web = free_port(), free_port()
        command = [word for word in bench_pc.qemu(disk)]
        place = command.index("-display")
        command[place:place + 2] = ["-name", "debug-threads=on", "-vnc", f"127.0.0.1:{port - 5900},websocket={web}"]
        super().__init__(Child(command, on_terminal=True), (port, web))

    def client(self, encoding, web):
        return Client(WebStream(self.address[1], "/") if web else Stream(self.address[0]), encoding)


def shown_time(guest):
    """CPU seconds of all threads but the vCPU's: the guest's painting does not count."""
    total = 0
    for task in Path(f"/proc/{guest.child.process.pid}/task").iterdir():
        if (task / "comm").read_text().strip() not in ("vcpu0", "CPU 0/TCG"):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def frames(guest, encoding, web):
    """CPU milliseconds of a frame that is shown."""
    guest.tell(b"g")
    client = guest.client(encoding, web)
    client.ask(incremental=False)
    client.update()
    for number in range(FRAMES + 2):
        if number == 2:
            before = shown_time(guest)
        guest.tell(b"f")
        client.frame(SIZE[0] * SIZE[1])
    spent = shown_time(guest) - before
    client.close()
    return spent / FRAMES * 1000


def idle(guest, letter):
    """CPU milliseconds of a second in which a client of VNC waits for what changes: QEMU's text cursor blinks."""
    guest.tell(letter)
    client = guest.client(ZRLE, False)
    threading.Thread(target=client.look).start()
    time.sleep(3)
    before = guest.child.cpu_time
    time.sleep(IDLE)
    spent = (guest.child.cpu_time - before) / 1e6 / IDLE
    client.close()
    return spent


def turns(bench, name, make, measured):
    """Medians of both sides, which take turns."""
    samples = []
    for _ in range(max(1, bench.rounds // 2)):
        pair = []
        for start in make:
            guest = start()
            with guest.child:
                pair.append(measured(guest))
        samples.append(pair)
    bench.report.details[name] = samples
    return (statistics.median(side) for side in zip(*samples))


def screens(bench):
    bench_pc.need(bench)
    disk = bench_soft.assemble(bench, "screen.asm", "screen", f"WRITES={WRITES}")
    with open(disk, "r+b") as image:
        image.truncate(1 << 20)
    vnc, browser = (lambda: Ours(bench, disk, "vnc")), (lambda: Ours(bench, disk, "browser"))
    qemu = lambda: Theirs(disk)

    def row(name, unit, make, measured):
        mine, other = turns(bench, name, make, measured)
        bench.report.add(f"PC, {name}, against TCG", mine / other, 1, "x", f"CPU time {mine:.2f} and {other:.2f} {unit}")

    for encoding in (RAW, ZRLE, TIGHT):
        row(f"a frame of 1024x768 to a VNC client, {NAMES[encoding]}", "ms", (vnc, qemu), lambda guest: frames(guest, encoding, False))
    row("a frame of 1024x768 to a browser, Tight", "ms", (browser, qemu), lambda guest: frames(guest, TIGHT, True))
    each = lambda letter: lambda guest: guest.tell(letter) * 1e9 / WRITES
    row("a planar write", "ns", (vnc, qemu), each(b"p"))
    row("a planar write by REP STOSW", "ns of a byte", (vnc, qemu), each(b"q"))
    row("an idle text screen, shown by VNC", "ms in a second", (vnc, qemu), lambda guest: idle(guest, b"t"))
    row("an idle graphics screen, shown by VNC", "ms in a second", (vnc, qemu), lambda guest: idle(guest, b"g"))


MEASUREMENTS = [("pc screen", screens)]
