"""The wheel, ctrl with a letter, and what is typed, straight from the X server.

OpenCV's Qt windows keep both for themselves: the wheel zooms their view, ctrl with a letter is dropped. So the window's
events of these few are asked for over a connection of our own (passive grabs: XGrabButton, XGrabKey), which takes
them away from Qt. Of all other keys Qt windows tell one at a time, and nothing of capitals, which is too little for a
line to be typed: while one is, all are asked for. Without an X server none of this is there, and everything else works
all the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_ubyte, c_uint, c_ulong, c_void_p
from typing import Any

#: Which key ctrl with a letter stands for; and with shift.
_MEANT = {"z": ("u", "y"), "y": ("y", "y"), "s": ("s", "s")}

_WHEEL = {4: "wheel up", 5: "wheel down"}
_KEY_PRESS, _BUTTON_PRESS = 2, 4
_SHIFT, _LOCK, _CONTROL, _ALT, _NUM_LOCK, _ANY = 1, 2, 4, 8, 16, 1 << 15
_PRESS_AND_RELEASE = 4 | 8
_ASYNC = 1
_CARDINAL = 6
_ANY_KEY = 0
_TYPED = {0x0D: "enter", 0x09: "tab", 0x08: "backspace", 0x7F: "backspace", 0x1B: "escape", 0x15: "ctrl+u"}
_UNICODE = 0x01000000  # key symbols from here on are characters


class _KeyOrButton(ctypes.Structure):
    """XKeyEvent and XButtonEvent as far as they are the same."""

    _fields_ = [
        ("type", c_int), ("serial", c_ulong), ("send_event", c_int), ("display", c_void_p), ("window", c_ulong),
        ("root", c_ulong), ("subwindow", c_ulong), ("time", c_ulong), ("x", c_int), ("y", c_int), ("x_root", c_int),
        ("y_root", c_int), ("state", c_uint), ("code", c_uint),
    ]  # fmt: skip


class _Event(ctypes.Union):
    _fields_ = [("press", _KeyOrButton), ("room", c_long * 24)]


class WindowEvents:
    """The wheel and ctrl keys of the window of this process whose title is ``name``; while ``typing``, all keys."""

    def __init__(self, name: str) -> None:
        """Raises OSError if there is no X server, or no such window on it."""
        self._x = _library()
        self._display = self._x.XOpenDisplay(None)
        if not self._display:
            raise OSError("no X server")
        self._letters = {self._x.XKeysymToKeycode(self._display, ord(c)): meant for c, meant in _MEANT.items()}
        with _forgiving(self._x):
            root = self._x.XDefaultRootWindow(self._display)
            window = next((w for w in self._windows(root) if self._is(w, name)), None)
            if window is not None:
                self._grab(window)
        if window is None:
            self.close()
            raise OSError(f"no window '{name}'")
        self._window, self._typing = window, False

    @property
    def typing(self) -> bool:
        """Whether all keys are heard here, and by nobody else in this process."""
        return self._typing

    @typing.setter
    def typing(self, typing: bool) -> None:
        if typing == self._typing or not self._display:
            return
        self._typing = typing
        x = self._x
        with _forgiving(x):
            if typing:
                x.XGrabKey(self._display, _ANY_KEY, _ANY, self._window, 0, _ASYNC, _ASYNC)
            else:
                x.XUngrabKey(self._display, _ANY_KEY, _ANY, self._window)
                self._grab(self._window)
            x.XSync(self._display, 0)

    def take(self) -> list[str]:
        """What came since the last call, as keys: "wheel up", "wheel down", and the letter that ctrl stands for.

        While ``typing``: characters, "enter", "tab", "backspace", "escape" and "ctrl+u"; after it too, of what was
        pressed before the keys were Qt's again.
        """
        names = []
        event = _Event()
        while self._display and self._x.XPending(self._display):
            self._x.XNextEvent(self._display, byref(event))
            press = event.press
            if press.type == _BUTTON_PRESS and press.code in _WHEEL:
                names.append(_WHEEL[press.code])
            elif press.type == _KEY_PRESS and (self._typing or not press.state & _CONTROL):
                names += self._typed(event)
            elif press.type == _KEY_PRESS and press.code in self._letters:
                names.append(self._letters[press.code][press.state & _SHIFT])
        return names

    def _typed(self, event: _Event) -> list[str]:
        """What a key types: nothing, or one."""
        letters, symbol = ctypes.create_string_buffer(8), c_ulong()
        count = self._x.XLookupString(byref(event), letters, len(letters), byref(symbol), None)
        if count == 1 and ord(letters[0]) in _TYPED:
            return [_TYPED[ord(letters[0])]]
        if event.press.state & (_CONTROL | _ALT):
            return []
        if count == 1:
            character = letters[0].decode("latin-1")
        elif _UNICODE < symbol.value < _UNICODE + 0x110000:
            character = chr(symbol.value - _UNICODE)
        else:
            return []
        return [character] if character.isprintable() else []

    def close(self) -> None:
        """Let the server go; the wheel and ctrl are Qt's again."""
        if self._display:
            self._x.XCloseDisplay(self._display)
            self._display = None

    def _grab(self, window: int) -> None:
        x = self._x
        for button in _WHEEL:
            x.XGrabButton(self._display, button, _ANY, window, 0, _PRESS_AND_RELEASE, _ASYNC, _ASYNC, 0, 0)
        for code in self._letters:
            for shift in (0, _SHIFT):
                for locks in (0, _LOCK, _NUM_LOCK, _LOCK | _NUM_LOCK):
                    x.XGrabKey(self._display, code, _CONTROL | shift | locks, window, 0, _ASYNC, _ASYNC)
        x.XSync(self._display, 0)

    def _windows(self, window: int) -> Iterator[int]:
        """``window`` and all below it."""
        yield window
        root, parent, count, children = c_ulong(), c_ulong(), c_uint(), POINTER(c_ulong)()
        if self._x.XQueryTree(self._display, window, byref(root), byref(parent), byref(children), byref(count)):
            below = [children[i] for i in range(count.value)]
            if children:
                self._x.XFree(children)
            for child in below:
                yield from self._windows(child)

    def _is(self, window: int, name: str) -> bool:
        title = c_char_p()
        self._x.XFetchName(self._display, window, byref(title))
        return title.value == name.encode() and self._process(window) == os.getpid()

    def _process(self, window: int) -> int:
        """The process a window belongs to, as it says itself; 0 if it does not."""
        atom = self._x.XInternAtom(self._display, b"_NET_WM_PID", 1)
        kind, form, count, more, data = c_ulong(), c_int(), c_ulong(), c_ulong(), POINTER(c_ulong)()
        self._x.XGetWindowProperty(
            self._display, window, atom, 0, 1, 0, _CARDINAL,
            byref(kind), byref(form), byref(count), byref(more), byref(data),
        )  # fmt: skip
        return int(data[0]) if count.value else 0


_HANDLER = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p)


@contextlib.contextmanager
def _forgiving(x: Any) -> Iterator[None]:
    """Xlib ends the process on an error, such as a window that is gone or a key that another program has: not here."""
    handler = _HANDLER(lambda *_: 0)
    before = x.XSetErrorHandler(ctypes.cast(handler, c_void_p))
    try:
        yield
    finally:
        x.XSetErrorHandler(before)


def _library() -> Any:
    """Xlib with its types declared. Raises OSError if it is not there."""
    x: Any = ctypes.CDLL("libX11.so.6")
    display, window = c_void_p, c_ulong
    for name, result, arguments in (
        ("XOpenDisplay", c_void_p, [c_char_p]),
        ("XCloseDisplay", c_int, [display]),
        ("XDefaultRootWindow", window, [display]),
        ("XInternAtom", c_ulong, [display, c_char_p, c_int]),
        ("XSetErrorHandler", c_void_p, [c_void_p]),
        ("XPending", c_int, [display]),
        ("XSync", c_int, [display, c_int]),
        ("XFree", c_int, [c_void_p]),
        ("XKeysymToKeycode", c_ubyte, [display, c_ulong]),
        ("XFetchName", c_int, [display, window, POINTER(c_char_p)]),
        ("XNextEvent", c_int, [display, c_void_p]),
        ("XGrabButton", c_int, [display, c_uint, c_uint, window, c_int, c_uint, c_int, c_int, window, c_ulong]),
        ("XGrabKey", c_int, [display, c_int, c_uint, window, c_int, c_int, c_int]),
        ("XUngrabKey", c_int, [display, c_int, c_uint, window]),
        ("XLookupString", c_int, [c_void_p, c_char_p, c_int, c_void_p, c_void_p]),
    ):
        function = getattr(x, name)
        function.restype, function.argtypes = result, arguments
    x.XQueryTree.argtypes = [display, window, *[c_void_p] * 4]
    x.XGetWindowProperty.argtypes = [display, window, c_ulong, c_long, c_long, c_int, c_ulong, *[c_void_p] * 5]
    return x
