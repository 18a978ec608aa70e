"""What is drawn over and under a picture: handles, targets, arrows, the mask, the status bar.

Everything here takes and gives uint8 RGB ``[H, W, 3]`` and leaves its inputs as they are. Points are px of
the full output; ``scale`` is px of the drawn image per px of the full output.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from draggan_runtime.messages import XY, Goal, Mask, Progress
from draggan_runtime.pictures import Pixels

HANDLE = (228, 32, 40)
TARGET = (36, 92, 236)
ARROW = (255, 255, 255)
RIM = (20, 20, 20)
BAR = (28, 28, 30)
TEXT = (236, 236, 236)
DIM_TEXT = (150, 150, 154)

_SMALLEST = 9  # px, of letters
_SHIFT = 4  # OpenCV draws at 1/16 px

_STATES = {
    None: "dragging",
    "reached": "arrived",
    "max_steps": "stopped at the step limit",
    "cancelled": "stopped",
    "lost": "lost the point",
    "failed": "failed",
}


def shrink(image: Pixels, scale: float) -> Pixels:
    """``image`` at ``scale`` times its size, area-averaged."""
    if scale == 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def overlay(
    image: Pixels,
    goal: Goal | None = None,
    handles: Mapping[int, XY] | None = None,
    mask: Mask | None = None,
    *,
    preview: Goal | None = None,
    from_start: bool = False,
    scale: float = 1.0,
) -> Pixels:
    """``image`` with what may not move darkened, and each pair's handle (red), target (blue) and arrow.

    ``handles`` are tracked positions by point id, where they differ from the goal's. An arrow leads from the handle
    to the target; ``from_start``, it leads from where the goal has the handle, with a white dot there. ``preview`` is
    drawn the same way. Dots and lines scale with the image.
    """
    drawn = _shaded(image, mask)
    handles = handles or {}
    for pairs in (goal, preview):
        for pair in pairs.points if pairs else ():
            start = _at(pair.handle, scale) if from_start else None
            _pair(drawn, _at(handles.get(pair.id, pair.handle), scale), _at(pair.target, scale), start)
    return drawn


def _shaded(image: Pixels, mask: Mask | None) -> Pixels:
    if mask is None or mask.movable is None:
        return image.copy()
    height, width = image.shape[:2]
    movable = np.asarray(mask.movable, dtype=np.float32)
    if movable.shape != (height, width):
        movable = cv2.resize(movable, (width, height), interpolation=cv2.INTER_AREA)
    shade = 0.4 + 0.6 * movable[..., None]
    return (image * shade + 0.5).astype(np.uint8)


def _at(xy: XY, scale: float) -> XY:
    return (xy[0] + 0.5) * scale - 0.5, (xy[1] + 0.5) * scale - 0.5


def _fixed(xy: XY) -> tuple[int, int]:
    return round(xy[0] * 2**_SHIFT), round(xy[1] * 2**_SHIFT)


def _pair(image: Pixels, handle: XY, target: XY, start: XY | None) -> None:
    unit = max(min(image.shape[:2]), 256) / 512
    radius, width = 5.5 * unit, 1.6 * unit
    tail = handle if start is None else start
    gap = math.dist(tail, target)
    if gap > 2 * radius:  # shorter, the dots themselves say it
        head = min(7 * unit, gap - radius)
        for colour, line in ((RIM, width + 1.6 * unit), (ARROW, width)):
            _arrow(image, tail, target, radius, max(1, round(line)), colour, head)
    if start is not None:
        _dot(image, start, 0.6 * radius, ARROW, unit)
    _dot(image, target, radius, TARGET, unit)
    _dot(image, handle, 0.65 * radius, HANDLE, unit)  # smaller, so that a target reached shows around it


def _dot(image: Pixels, xy: XY, radius: float, colour: tuple[int, int, int], unit: float) -> None:
    for r, fill in ((radius + 0.9 * unit, RIM), (radius + 0.5 * unit, ARROW), (radius - 0.2 * unit, colour)):
        cv2.circle(image, _fixed(xy), round(r * 2**_SHIFT), fill, -1, cv2.LINE_AA, _SHIFT)


def _arrow(
    image: Pixels, tail: XY, tip: XY, stop: float, width: int, colour: tuple[int, int, int], head: float
) -> None:
    """A line from ``tail`` that ends ``stop`` px before ``tip``, with a head of ``head`` px."""
    length = math.dist(tail, tip)
    ux, uy = (tip[0] - tail[0]) / length, (tip[1] - tail[1]) / length
    end = (tip[0] - ux * stop, tip[1] - uy * stop)
    cv2.line(image, _fixed(tail), _fixed(end), colour, width, cv2.LINE_AA, _SHIFT)
    for side in (-1, 1):
        c, s = math.cos(side * 0.5), math.sin(side * 0.5)
        back = (end[0] - head * (ux * c - uy * s), end[1] - head * (uy * c + ux * s))
        cv2.line(image, _fixed(back), _fixed(end), colour, width, cv2.LINE_AA, _SHIFT)


def status_text(progress: Progress | None, goal: Goal | None = None) -> str:
    """State, steps, steps per second, distance of the farthest handle in px, and the loss, in one line."""
    if progress is not None and progress.stopped and goal and not _about(progress, goal):
        progress = None  # the points are others by now
    if progress is None:
        count = len(goal.points) if goal else 0
        return f"ready, {count} point{'' if count == 1 else 's'}"
    state = _STATES[progress.stopped]
    if progress.failure is not None:
        return f"{state}: {progress.failure}"
    parts = [state, f"{progress.drag_steps} steps", f"{progress.steps_per_second:.1f} steps/s"]
    if progress.distances:
        parts.append(f"{max(progress.distances.values()):.1f} px left")
    if math.isfinite(progress.loss):
        parts.append(f"loss {progress.loss:.3g}")
    return "   ".join(parts)


def _about(progress: Progress, goal: Goal) -> bool:
    return progress.failure is not None or {p.id for p in goal.points} == set(progress.handles)


def bar_height(width: int) -> int:
    """Height of the status bar under a picture ``width`` px wide."""
    return 2 * _line_height(width) + _line_height(width) // 2


def _line_height(width: int) -> int:
    return max(13, min(24, round(width * 0.027)))


@functools.lru_cache(maxsize=2)
def status_bar(width: int, text: str, hint: str = "") -> Pixels:
    """A bar ``[bar_height, width, 3]`` with ``text`` and, dimmer, ``hint`` below; a long line is set smaller."""
    line = _line_height(width)
    bar = Image.new("RGB", (width, bar_height(width)), BAR)
    draw = ImageDraw.Draw(bar)
    room = width - line
    for y, words, size, colour in (
        (line // 6, text, round(line * 0.86), TEXT),
        (line // 6 + round(line * 1.1), hint, round(line * 0.76), DIM_TEXT),
    ):
        while size > _SMALLEST and draw.textlength(words, font=_font(size)) > room:
            size -= 1
        draw.text((line // 2, y), words, font=_font(size), fill=colour)
    return np.array(bar)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
