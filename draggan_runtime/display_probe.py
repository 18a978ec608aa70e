"""Is there a display a window can open on? Asked in a subprocess: without one, OpenCV's Qt aborts the
process.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from dataclasses import dataclass

_OPEN_A_WINDOW = """
import sys
try:
    import cv2
except ImportError as error:
    print(error)
    sys.exit(3)
try:
    cv2.namedWindow("probe", cv2.WINDOW_NORMAL | cv2.WINDOW_GUI_NORMAL)
    cv2.destroyAllWindows()
except cv2.error:
    sys.exit(4)
"""


@dataclass(frozen=True)
class Probe:
    """What a probe found: ``reason`` no window can open, or None; ``screen`` (W, H) px where it can be told."""

    reason: str | None
    screen: tuple[int, int] | None = None


_reached: dict[str, Probe] = {}


def probe(timeout: float = 30.0) -> Probe:
    """Try to open a window in a subprocess, for at most ``timeout`` seconds; a success is remembered."""
    display = os.environ.get("DISPLAY", "")
    if sys.platform.startswith("linux") and not display:
        return Probe("the environment variable DISPLAY is not set")
    if display not in _reached:
        reason = _probe(display, timeout) and _probe(display, timeout)  # twice: it may have been resetting
        if reason is not None:
            return Probe(reason)
        _reached[display] = Probe(None, _stay())
    return _reached[display]


def _stay() -> tuple[int, int] | None:
    """Open a connection that stays; the screen's size, where libX11 can tell.

    An X server whose last client leaves, as the probe just did, resets (Xvfb), and meanwhile refuses who comes.
    """
    try:
        x = ctypes.CDLL("libX11.so.6")
    except OSError:
        return None
    x.XOpenDisplay.restype = ctypes.c_void_p
    x.XDisplayWidth.argtypes = x.XDisplayHeight.argtypes = [ctypes.c_void_p, ctypes.c_int]
    for _ in range(50):
        if connection := x.XOpenDisplay(None):
            return x.XDisplayWidth(connection, 0), x.XDisplayHeight(connection, 0)
        time.sleep(0.1)
    return None


def _probe(display: str, timeout: float) -> str | None:
    """None if a subprocess could open a window, else the reason."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _OPEN_A_WINDOW], capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return f"display '{display}' did not answer within {timeout:.0f} s"
    if done.returncode == 0:
        return None
    if done.returncode == 3:
        return f"OpenCV cannot be imported ({done.stdout.strip()}); on Debian: apt install libgl1 libglib2.0-0"
    if done.returncode == 4:
        return (
            "this OpenCV has no windows (opencv-python-headless?): "
            "pip uninstall opencv-python-headless, then pip install --force-reinstall opencv-python"
        )
    return f"display '{display}' cannot be reached"


def display_reachable() -> str | None:
    """None if a window can be opened here, else the reason in one line."""
    return probe().reason


def window_open(name: str) -> bool:
    """True while OpenCV's window ``name`` is open; False before it opens and once it has been closed."""
    import cv2

    try:
        return bool(cv2.getWindowProperty(name, cv2.WND_PROP_VISIBLE) >= 1)
    except cv2.error:  # the Qt build raises when no window is left at all
        return False
