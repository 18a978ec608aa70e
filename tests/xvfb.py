"""A screen without a monitor, and a hand that uses it: Xvfb and xdotool.

with virtual_screen((1280, 1024)) as screen:
    app = subprocess.Popen([...], env=screen.env)
    window = screen.window("draggan")
    screen.click(window, 300, 400)
    screen.key(window, "space")
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import ImageGrab


@dataclass(frozen=True)
class Screen:
    """A running X server; ``display`` is its name, such as ":3"."""

    display: str

    @property
    def env(self) -> dict[str, str]:
        """The environment of a program that shall appear on this screen."""
        return {**os.environ, "DISPLAY": self.display}

    def xdotool(self, *words: object) -> str:
        """Run xdotool and return what it says."""
        command = ["xdotool", *map(str, words)]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout

    def window(self, name: str, timeout: float = 30.0) -> str:
        """The id of the window whose title holds ``name``, once it is there."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = subprocess.run(
                ["xdotool", "search", "--onlyvisible", "--name", name],
                env=self.env, capture_output=True, text=True, timeout=20, check=False,
            ).stdout.split()  # fmt: skip
            if found:
                return found[-1]
            time.sleep(0.05)
        raise TimeoutError(f"no window '{name}' within {timeout:.0f} s")

    def move(self, window: str, x: int, y: int) -> None:
        """Put the pointer on pixel (x, y) of a window."""
        self.xdotool("mousemove", "--window", window, x, y)

    def click(self, window: str, x: int, y: int, button: int = 1) -> None:
        """Click on pixel (x, y) of a window."""
        self.xdotool("mousemove", "--window", window, x, y, "click", button)

    def stroke(self, window: str, *points: tuple[int, int]) -> None:
        """Draw from point to point of a window with the left button."""
        for i, (x, y) in enumerate(points):
            self.move(window, x, y)
            if i == 0:
                self.xdotool("mousedown", 1)
            time.sleep(0.1)  # the program looks every 10 ms
        self.xdotool("mouseup", 1)

    def key(self, window: str, key: str) -> None:
        """Press a key in a window, by its X name: "space", "n", "Escape"."""
        self.xdotool("key", "--window", window, key)

    def close(self, window: str) -> None:
        """Ask a window to close, as its close button does."""
        _ask_to_close(self.display, int(window))

    def grab(self) -> np.ndarray:
        """What the screen shows, uint8 RGB ``[H, W, 3]``."""
        return np.array(ImageGrab.grab(xdisplay=self.display).convert("RGB"))


@contextmanager
def virtual_screen(size: tuple[int, int] = (1280, 1024)) -> Iterator[Screen]:
    """Run an X server with a screen of ``size`` px on a free display number, reachable by local sockets only.

    Skips the test if Xvfb or xdotool is not installed.
    """
    missing = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed: apt install xvfb xdotool")
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", f"{size[0]}x{size[1]}x24", "-nolisten", "tcp"]
    command.append("-noreset")  # else it resets when its last client leaves, and refuses the next meanwhile
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        number = server.stdout.readline().strip()  # written when the server is ready
        if not number:
            raise RuntimeError("Xvfb did not start")
        yield Screen(f":{number}")
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        if server.stdout is not None:
            server.stdout.close()


def _ask_to_close(display: str, window: int) -> None:
    """Send WM_DELETE_WINDOW; no window manager runs on this screen to do it."""
    import ctypes

    class ClientMessage(ctypes.Structure):
        _fields_ = [
            ("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int),
            ("display", ctypes.c_void_p), ("window", ctypes.c_ulong), ("message_type", ctypes.c_ulong),
            ("format", ctypes.c_int), ("data", ctypes.c_long * 5), ("rest", ctypes.c_long * 12),
        ]  # fmt: skip

    x = ctypes.CDLL("libX11.so.6")  # xdotool brings it
    x.XOpenDisplay.restype = ctypes.c_void_p
    x.XCloseDisplay.argtypes = [ctypes.c_void_p]
    x.XInternAtom.restype = ctypes.c_ulong
    x.XInternAtom.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    x.XSendEvent.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
    connection = x.XOpenDisplay(display.encode())
    client_message = 33
    message = ClientMessage(type=client_message, window=window, format=32)
    message.message_type = x.XInternAtom(connection, b"WM_PROTOCOLS", 0)
    message.data[0] = x.XInternAtom(connection, b"WM_DELETE_WINDOW", 0)
    x.XSendEvent(connection, window, 0, 0, ctypes.byref(message))
    x.XCloseDisplay(connection)
