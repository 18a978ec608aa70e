"""What is drawn over a picture: handles, targets, arrows, the mask, the brush.

Everything here takes uint8 RGB ``[H, W, 3]``. Points are px of the full output; ``scale`` is px of the drawn image per
px of the full output.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

import cv2
import numpy as np

from draggan_nodes.display.mask import coverage, edge_width, shaded
from draggan_runtime.messages import XY, Goal, Mask, PointPair
from draggan_runtime.pictures import Pixels

HANDLE = (228, 32, 40)
UNSURE = (255, 216, 40)
TARGET = (36, 92, 236)
ARROW = (255, 255, 255)
RIM = (20, 20, 20)

_SHIFT = 4  # OpenCV draws at 1/16 px


def scaled(image: Pixels, size: tuple[int, int]) -> Pixels:
    """``image`` at ``size`` (W, H): area-averaged where it becomes smaller, smooth where it becomes larger."""
    if size == (image.shape[1], image.shape[0]):
        return image
    how = cv2.INTER_AREA if size[0] < image.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=how), dtype=np.uint8)


def overlay(
    image: Pixels,
    goal: Goal | None = None,
    handles: Mapping[int, XY] | None = None,
    mask: Mask | None = None,
    *,
    from_start: bool = False,
    scale: float = 1.0,
) -> Pixels:
    """A copy of ``image`` with what may not move darkened, and each pair's handle (red), target (blue) and arrow.

    See :func:`draw_pairs`.
    """
    size = image.shape[1], image.shape[0]
    movable = coverage(mask, size)
    drawn = image.copy() if movable is None else shaded(image, movable, edge_width(size))
    draw_pairs(drawn, goal.points if goal else (), handles, from_start=from_start, scale=scale)
    return drawn


def draw_pairs(
    image: Pixels,
    pairs: Iterable[PointPair],
    handles: Mapping[int, XY] | None = None,
    *,
    from_start: bool = False,
    scale: float = 1.0,
    unsure: Collection[int] = (),
) -> None:
    """Draw pairs into ``image``. Dots and lines scale with it.

    ``handles`` are tracked positions by point id, where they differ from the pairs'. An arrow leads from the handle
    to the target; ``from_start``, it leads from where the pair has the handle, with a white dot there. Handles of
    ``unsure`` ids are yellow instead of red.
    """
    handles = handles or {}
    for pair in pairs:
        start = _at(pair.handle, scale) if from_start else None
        colour = UNSURE if pair.id in unsure else HANDLE
        _pair(image, _at(handles.get(pair.id, pair.handle), scale), _at(pair.target, scale), start, colour)


def draw_brush(image: Pixels, xy: XY, radius: float, scale: float) -> None:
    """Draw the brush's circle, of ``radius`` px of the full output, into ``image``."""
    unit = max(1, round(_unit(image)))
    around = max(1, round(radius * scale * 2**_SHIFT))
    for colour, width in ((RIM, 3 * unit), (ARROW, unit)):
        cv2.circle(image, _fixed(_at(xy, scale)), around, colour, width, cv2.LINE_AA, _SHIFT)


def draw_box(image: Pixels, box: tuple[int, int, int, int]) -> None:
    """Draw a box (left, top, right, bottom; the last two excluded, px of ``image``) with corners to take it by."""
    unit = _unit(image)
    left, top, right, bottom = box[0], box[1], box[2] - 1, box[3] - 1
    for colour, width in ((RIM, round(3 * unit)), (ARROW, max(1, round(unit)))):
        cv2.rectangle(image, (left, top), (right, bottom), colour, width)
    side = round(5 * unit)
    for x in (left, right):
        for y in (top, bottom):
            for colour, half in ((RIM, side + max(1, round(unit))), (ARROW, side)):
                cv2.rectangle(image, (x - half, y - half), (x + half, y + half), colour, -1)


def _unit(image: Pixels) -> float:
    return float(max(min(image.shape[:2]), 256) / 512)


def _at(xy: XY, scale: float) -> XY:
    return (xy[0] + 0.5) * scale - 0.5, (xy[1] + 0.5) * scale - 0.5


def _fixed(xy: XY) -> tuple[int, int]:
    return round(xy[0] * 2**_SHIFT), round(xy[1] * 2**_SHIFT)


def _pair(image: Pixels, handle: XY, target: XY, start: XY | None, colour: tuple[int, int, int]) -> None:
    unit = _unit(image)
    radius, width = 5.5 * unit, 1.6 * unit
    tail = handle if start is None else start
    gap = math.dist(tail, target)
    if gap > 2 * radius:  # shorter, the dots themselves say it
        head = min(7 * unit, gap - radius)
        for shade, line in ((RIM, width + 1.6 * unit), (ARROW, width)):
            _arrow(image, tail, target, radius, max(1, round(line)), shade, head)
    if start is not None:
        _dot(image, start, 0.6 * radius, ARROW, unit)
    _dot(image, target, radius, TARGET, unit)
    _dot(image, handle, 0.65 * radius, colour, unit)  # smaller, so that a target reached shows around it


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
