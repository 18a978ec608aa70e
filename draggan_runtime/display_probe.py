"""Is there a display a window can open on? Asked in a subprocess: without one, OpenCV's Qt aborts the
process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

_OPEN_A_WINDOW = """
import ctypes, sys
try:
    import cv2
except ImportError as error:
    print(error)
    sys.exit(3)
try:
    cv2.namedWindow("draggan probe", cv2.WINDOW_NORMAL | cv2.WINDOW_GUI_NORMAL)
    cv2.destroyAllWindows()
except cv2.error:
    sys.exit(4)
try:
    x = ctypes.CDLL("libX11.so.6")
    x.XOpenDisplay.restype = ctypes.c_void_p
    x.XDisplayWidth.argtypes = x.XDisplayHeight.argtypes = [ctypes.c_void_p, ctypes.c_int]
    d = x.XOpenDisplay(None)
    print("screen", x.XDisplayWidth(d, 0), x.XDisplayHeight(d, 0))
except (OSError, AttributeError):
    pass
"""


@dataclass(frozen=True)
class Probe:
    """What a probe found: ``reason`` no window can open, or None; ``screen`` (W, H) px where it can be
    told.
    """

    reason: str | None
    screen: tuple[int, int] | None = None


_reached: dict[str, Probe] = {}


def probe(timeout: float = 30.0) -> Probe:
    """Try to open a window in a subprocess, for at most ``timeout`` seconds; a success is remembered."""
    display = os.environ.get("DISPLAY", "")
    if sys.platform.startswith("linux") and not display:
        return Probe("the environment variable DISPLAY is not set")
    if display not in _reached:
        found = _probe(display, timeout)
        if found.reason is not None:
            return found
        _reached[display] = found
    return _reached[display]


def _probe(display: str, timeout: float) -> Probe:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _OPEN_A_WINDOW], capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return Probe(f"display '{display}' did not answer within {timeout:.0f} s")
    words = done.stdout.split()
    if done.returncode == 0:
        return Probe(None, (int(words[1]), int(words[2])) if words[:1] == ["screen"] else None)
    if done.returncode == 3:
        return Probe(f"OpenCV cannot be imported ({done.stdout.strip()}); on Debian: apt install libgl1 libglib2.0-0")
    if done.returncode == 4:
        return Probe(
            "this OpenCV has no windows (opencv-python-headless?): "
            "pip uninstall opencv-python-headless, then pip install --force-reinstall opencv-python"
        )
    return Probe(f"display '{display}' cannot be reached")


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
