"""For check-pc.py: a page in a headless Chromium, by its DevTools protocol over a WebSocket (RFC 6455) of our own."""

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import time
import urllib.request

from pc_machines import PATIENCE, free_port


class Browser:
    """A browser with one page."""

    WORDS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1100,820", "--remote-allow-origins=*")
    KEYS = {" ": ("Space", " ", 32), "\n": ("Enter", "Enter", 13), "-": ("Minus", "-", 189), ";": ("Semicolon", ";", 186),
            "=": ("Equal", "=", 187), "_": ("Minus", "_", 189)}

    @staticmethod
    def is_there():
        return shutil.which("chromium") is not None

    def __init__(self, folder, address):
        self.port, self.number = free_port(), 0
        self.process = subprocess.Popen(
            ["chromium", *self.WORDS, f"--user-data-dir={folder}", f"--remote-debugging-port={self.port}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.connect(self.page())
            self.call("Page.enable")
            self.call("Page.navigate", url=address)
        except BaseException:
            self.__exit__()
            raise

    def page(self):
        """The path of the page's socket."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/json", timeout=PATIENCE) as answer:
                    for page in json.load(answer):
                        if page["type"] == "page":
                            return page["webSocketDebuggerUrl"].split("/", 3)[3]
            except OSError:
                time.sleep(0.1)
            assert self.process.poll() is None, "chromium has ended"
        raise AssertionError("chromium does not answer")

    # ---- The socket --------------------------------------------------------------------------------------------------------------

    def connect(self, path):
        self.socket = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.socket.sendall(
            f"GET /{path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n".encode())
        self.input = self.socket.makefile("rb")
        assert b" 101 " in self.input.readline()
        while self.input.readline() != b"\r\n":
            pass

    def send(self, text):
        """One frame; its mask is of zeros."""
        payload = text.encode()
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else struct.pack(">BH", 0x80 | 126, len(payload))
        self.socket.sendall(b"\x81" + length + bytes(4) + payload)

    def receive(self):
        message = b""
        while True:
            first, length = self.input.read(2)
            if length >= 126:
                length = int.from_bytes(self.input.read(2 if length == 126 else 8), "big")
            message += self.input.read(length)
            if first & 0x80:
                return json.loads(message)

    # ---- The page ----------------------------------------------------------------------------------------------------------------

    def call(self, method, **arguments):
        self.number += 1
        self.send(json.dumps({"id": self.number, "method": method, "params": arguments}))
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    def value(self, script):
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def type(self, text):
        """By the layout of the USA; of what has Shift only `_`."""
        for letter in text:
            code, key, number = self.KEYS.get(letter) or (
                f"Digit{letter}" if letter.isdigit() else f"Key{letter.upper()}", letter, ord(letter.upper()))
            shift = [("ShiftLeft", "Shift", 16)] if letter == "_" else []
            for kind, keys in (("rawKeyDown", [*shift, (code, key, number)]), ("keyUp", [(code, key, number), *shift])):
                for code, key, number in keys:
                    self.call("Input.dispatchKeyEvent", type=kind, code=code, key=key, windowsVirtualKeyCode=number)

    def ppm(self):
        """noVNC's canvas as screendump has a screen; nothing: there is none."""
        canvas = self.value(
            "(() => { const c = document.querySelector('#noVNC_container canvas'); if (!c || !c.width) return '';"
            " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let t = '';"
            " for (let i = 0; i < d.length; i += 4) t += String.fromCharCode(d[i], d[i + 1], d[i + 2]);"
            " return c.width + ' ' + c.height + ' ' + btoa(t) })()")
        if not canvas:
            return b""
        width, height, pixels = canvas.split(" ")
        return b"P6\n%d %d\n255\n" % (int(width), int(height)) + base64.b64decode(pixels)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
