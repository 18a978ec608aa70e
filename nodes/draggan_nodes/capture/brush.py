"""The brush: paints and erases the movable area of the mask, at full resolution."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from draggan_runtime.messages import XY
from draggan_runtime.pictures import Pixels

SMALLEST, LARGEST = 3.0, 400.0  # px of the full output
_FINER = 1.25


@dataclass
class Brush:
    """The mask (uint8 ``[H, W]``, 1 = may move; None = everything may), and the stroke under way.

    ``radius`` in px of the full output. Painting without a mask begins one of which nothing else may move, erasing
    one of which all else may.
    """

    movable: Pixels | None = None
    radius: float = 40.0
    stroke: tuple[XY, ...] = ()
    erases: bool = False

    def press(self, xy: XY, erases: bool) -> None:
        """Begin a stroke."""
        self.stroke, self.erases = (xy,), erases

    def move(self, xy: XY) -> None:
        """Go on with the stroke, if one is under way."""
        if self.stroke and self.stroke[-1] != xy:
            self.stroke = (*self.stroke, xy)

    def lift(self, size: tuple[int, int]) -> bool:
        """End the stroke on a picture of ``size`` (W, H); True if there was one, and the mask is a new array."""
        if not self.stroke:
            return False
        if self.movable is None:
            self.movable = np.full((size[1], size[0]), 1 if self.erases else 0, np.uint8)
        movable = self.movable.copy()
        way = [(round(x), round(y)) for x, y in self.stroke]
        width = max(1, round(2 * self.radius))
        for start, end in zip(way, way[1:] or way, strict=False):
            cv2.line(movable, start, end, 0 if self.erases else 1, width)
        self.movable = movable if movable.any() and not movable.all() else None
        self.stroke = ()
        return True

    def drop(self) -> None:
        """Give the stroke up."""
        self.stroke = ()

    def clear(self) -> None:
        """No mask: everything may move."""
        self.movable, self.stroke = None, ()

    def resize(self, finer: bool) -> None:
        """The next smaller or larger brush."""
        factor = 1 / _FINER if finer else _FINER
        self.radius = min(LARGEST, max(SMALLEST, self.radius * factor))
