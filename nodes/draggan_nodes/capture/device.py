"""Mouse and keyboard of an OpenCV window, as plain events."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2

from draggan_nodes.capture.keys import key_name, typed_name
from draggan_nodes.capture.x11 import WindowEvents
from draggan_runtime.display_probe import window_open

_KINDS: dict[int, Literal["move", "left", "right", "up"]] = {
    cv2.EVENT_MOUSEMOVE: "move",
    cv2.EVENT_LBUTTONDOWN: "left",
    cv2.EVENT_LBUTTONDBLCLK: "left",  # what Qt makes of a quick second click
    cv2.EVENT_RBUTTONDOWN: "right",
    cv2.EVENT_RBUTTONDBLCLK: "right",
    cv2.EVENT_LBUTTONUP: "up",
    cv2.EVENT_RBUTTONUP: "up",
}
_BUTTONS = cv2.EVENT_FLAG_LBUTTON | cv2.EVENT_FLAG_RBUTTON


@dataclass(frozen=True)
class Mouse:
    """The mouse moved to, or a button went down or up on, pixel (x, y) of what the window shows.

    ``held``: a button is down.
    """

    kind: Literal["move", "left", "right", "up"]
    x: int
    y: int
    held: bool = False


class WindowDevice:
    """What comes from the window ``name``, which somebody else opens."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.attached = False
        self._mouse: deque[Mouse] = deque(maxlen=4096)
        self._wheel: list[str] = []
        self._events: WindowEvents | None = None

    def present(self) -> bool:
        """True while the window is open; listens to it from the first time on."""
        if not window_open(self.name):
            return False
        if not self.attached:
            self.attached = True
            cv2.setMouseCallback(self.name, self._hear)
            try:
                self._events = WindowEvents(self.name)
            except OSError:  # no X server here
                self._events = None
        return True

    def _hear(self, kind: int, x: int, y: int, flags: int, _: object) -> None:
        if kind in _KINDS:
            self._mouse.append(Mouse(_KINDS[kind], x, y, bool(flags & _BUTTONS)))
        elif kind == cv2.EVENT_MOUSEWHEEL:
            self._wheel.append("wheel up" if flags > 0 else "wheel down")

    def keys(self) -> list[str]:
        """The keys pressed since the last call; also lets OpenCV work off the window's events."""
        keys = []
        while (code := cv2.pollKey()) != -1:
            keys.append(key_name(code))
        wheel, self._wheel = self._wheel, []
        heard = self._events.take() if self._events is not None else []
        return keys + wheel + [key_name(ord(name)) if len(name) == 1 else name for name in heard]

    def typed(self) -> list[str]:
        """What has been typed since the last call: characters, "enter", "tab", "backspace", "escape", "ctrl+u"."""
        if self._events is not None:
            self._events.typing = True
        names = []
        while (code := cv2.pollKey()) != -1:  # small letters only where no X server says more
            names.append(typed_name(code))
        self._wheel = []
        heard = self._events.take() if self._events is not None else []
        return [name for name in names + heard if name and not name.startswith("wheel")]

    def typed_enough(self) -> None:
        """Keys are single keys again."""
        if self._events is not None:
            self._events.typing = False

    def mouse(self) -> Iterator[Mouse]:
        """What the mouse has done since the last call."""
        while self._mouse:
            yield self._mouse.popleft()

    def title(self, text: str) -> None:
        """Write a title on the window, if it is there."""
        if self.attached:
            cv2.setWindowTitle(self.name, text)

    def close(self) -> None:
        """Let go of the window."""
        if self._events is not None:
            self._events.close()
