"""What surrounds the picture in the window: the status bar, notices, the help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from draggan_nodes.display.notices import ShownNotice
from draggan_nodes.display.text import Colour, fitted, fitted_end, key_list, line_height, tint, width_of, wrapped, write
from draggan_runtime.pictures import Pixels

BAR = (28, 28, 30)
TEXT = (238, 238, 238)
DIM_TEXT = (158, 158, 164)
PROBLEM = (255, 150, 60)
GOOD = (120, 220, 150)
RECORDING = (236, 56, 48)
KEY = (255, 206, 110)
PANEL = (16, 16, 20)


@dataclass(frozen=True)
class Bar:
    """The status bar: what the session does, its figures, and what could be done next.

    ``typed``: the first line is being typed, its end counts. ``done``: how much is done of what goes on, 0 to 1.
    """

    headline: str
    figures: str = ""
    hint: str = ""
    problem: bool = False
    recording: bool = False
    typed: bool = False
    done: float | None = None


def text_size(side: int) -> int:
    """px of letters in a window whose shorter side is ``side`` px."""
    return max(13, min(34, round(side * 0.019)))


def bar_height(size: int) -> int:
    """px that the status bar is high, with letters of ``size`` px."""
    return 3 * line_height(size) + size // 2


def draw_bar(canvas: Pixels, bar: Bar, size: int) -> None:
    """Draw the status bar over all of ``canvas``, in place: three lines, each as large as fits."""
    canvas[:] = BAR
    width = canvas.shape[1]
    left, top, step = size // 2, size // 4, line_height(size)
    room = width - size
    if bar.recording:
        mark = width_of("recording", size)
        write(canvas, "recording", size, (width - left - mark, top), RECORDING)
        spot = (width - left - mark - round(0.7 * size), top + step // 2)
        cv2.circle(canvas, spot, round(0.3 * size), RECORDING, -1, cv2.LINE_AA)
        room -= mark + round(1.6 * size)
    if bar.done is not None:
        canvas[: max(2, size // 4), : round(width * bar.done)] = GOOD
    first = fitted_end(bar.headline, size, room) if bar.typed else bar.headline
    for text, colour, space in (
        (first, PROBLEM if bar.problem else KEY if bar.typed else TEXT, room),
        (bar.figures, TEXT, width - size),
        (bar.hint, DIM_TEXT, width - size),
    ):
        words, smaller = fitted(text, size, space)
        write(canvas, words, smaller, (left, top + (step - line_height(smaller)) // 2), colour)
        top += step


def draw_notices(picture: Pixels, notices: Sequence[ShownNotice], size: int) -> None:
    """Write notices over the lower edge of the picture, in place, the newest lowest."""
    pad = size // 2
    step = line_height(size)
    bottom = picture.shape[0]
    for notice in reversed(notices):
        lines, opacity = wrapped(notice.text, size, picture.shape[1] - 3 * pad), notice.opacity
        top = bottom - len(lines) * step - pad
        if top < 0:
            return
        colour: Colour = PROBLEM if notice.problem else GOOD
        tint(picture[top:bottom], PANEL, 0.8 * opacity)
        tint(picture[top:bottom, : pad // 2], colour, opacity)
        for i, line in enumerate(lines):
            write(picture, line, size, (round(1.5 * pad), top + pad // 2 + i * step), TEXT, opacity)
        bottom = top


def draw_help(picture: Pixels, rows: tuple[tuple[str, str], ...], size: int) -> None:
    """Lay the list of keys over the picture, in place; it shines through."""
    tint(picture, PANEL, 0.82)
    key_list(picture, rows, round(size * 1.15), (KEY, TEXT))


def draw_middle(canvas: Pixels, text: str, size: int) -> None:
    """Write ``text`` into the middle of ``canvas``, in place."""
    words, size = fitted(text, size, canvas.shape[1])
    at = (canvas.shape[1] - width_of(words, size)) // 2, (canvas.shape[0] - line_height(size)) // 2
    write(canvas, words, size, at, DIM_TEXT)


def blank(width: int, height: int) -> Pixels:
    """An empty window."""
    return np.full((height, width, 3), 16, np.uint8)
