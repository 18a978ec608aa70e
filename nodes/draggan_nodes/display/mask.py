"""How a mask looks: what stays is dim and bluish, and a line runs along the edge of what may move."""

from __future__ import annotations

import cv2
import numpy as np

from draggan_runtime.messages import XY, Mask
from draggan_runtime.pictures import Pixels

EDGE = (255, 196, 64)
_DIM = 0.38
_TINT = (2, 6, 16)


def coverage(mask: Mask | None, size: tuple[int, int]) -> Pixels | None:
    """How much may move, 0 to 255, at each px of a drawn picture of ``size`` (W, H); None without a mask."""
    if mask is None or mask.movable is None:
        return None
    movable = np.asarray(mask.movable, np.uint8) * np.uint8(255)
    if movable.shape == (size[1], size[0]):
        return movable
    smaller = size[0] < movable.shape[1]
    resized = cv2.resize(movable, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def edge_width(size: tuple[int, int]) -> int:
    """px of the edge's line on a drawn picture of ``size``."""
    return max(1, round(min(size) / 400))


def dimmed(image: Pixels) -> Pixels:
    """A copy of ``image`` as what stays is shown."""
    return np.asarray(cv2.add(cv2.convertScaleAbs(image, alpha=_DIM), (*_TINT, 0)), np.uint8)


def shaded(image: Pixels, movable: Pixels, line: int) -> Pixels:
    """A copy of ``image`` under a mask of :func:`coverage`, with an edge ``line`` px wide to either side.

    A px depends on those within ``line`` px of it, so a part can be done by itself.
    """
    drawn = dimmed(image)
    cv2.copyTo(image, (movable > 127).astype(np.uint8), drawn)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * line + 1, 2 * line + 1))
    edge = cv2.morphologyEx(movable, cv2.MORPH_GRADIENT, disc)
    rows, columns = np.nonzero(edge)
    if len(rows):
        share = edge[rows, columns, None].astype(np.float32) / 255
        below = drawn[rows, columns]
        drawn[rows, columns] = (below + (np.array(EDGE, np.float32) - below) * share + 0.5).astype(np.uint8)
    return np.asarray(drawn, np.uint8)


def brush_stroke(movable: Pixels, way: list[XY], radius: float, erases: bool) -> tuple[slice, slice]:
    """Paint a way of the brush into ``movable``, in place; the rows and columns that it touched. All px of it."""
    places = [(round(x * 16), round(y * 16)) for x, y in way]
    for start, end in zip(places, places[1:] or places, strict=False):
        cv2.line(movable, start, end, 0 if erases else 255, max(1, round(2 * radius)), cv2.LINE_AA, 4)
    reach = radius + 2
    xs, ys = [x for x, _ in way], [y for _, y in way]
    return (
        slice(max(0, int(min(ys) - reach)), max(0, int(max(ys) + reach) + 1)),
        slice(max(0, int(min(xs) - reach)), max(0, int(max(xs) + reach) + 1)),
    )
