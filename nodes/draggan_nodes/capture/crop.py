"""The box of the piece of a photo that shall be inverted: moved and sized by hand, in the model's proportions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from draggan_runtime.messages import XY
from draggan_runtime.pictures import Pixels

Edges = tuple[float, float, float, float]

_SMALLEST = 16.0  # px of the photo, the box's shorter side
_LARGER = 1.1


@dataclass(frozen=True)
class _Grip:
    """Where the box was taken, ``at``, and how it lay.

    ``corner``: whether it was taken at a right corner, and at a lower one; None: as a whole.
    """

    at: XY
    box: Edges
    corner: tuple[bool, bool] | None


class Crop:
    """A box of ``proportions`` (W / H) inside ``photo``, uint8 RGB ``[H, W, 3]``.

    It begins as ``box``, else as the largest in the middle. Its edges are px of the photo, the whole of which is
    0, 0, W, H; the pointer's places are px too, whose whole numbers are centres of pixels.
    """

    def __init__(self, photo: Pixels, proportions: float, box: Edges | None = None) -> None:
        self.photo = photo
        self._size = photo.shape[1], photo.shape[0]
        self._proportions = proportions
        self._grip: _Grip | None = None
        left, top, right, bottom = box or (0.0, 0.0, *self._size)
        self._lay(((left + right) / 2, (top + bottom) / 2), right - left if box else math.inf)

    @property
    def box(self) -> Edges:
        """Left, top, right, bottom."""
        (x, y), width, height = self._centre, self._width, self._width / self._proportions
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2

    @property
    def held(self) -> bool:
        """True while it is in the hand."""
        return self._grip is not None

    def press(self, xy: XY, reach: float) -> None:
        """Take it at the corner within ``reach`` px of ``xy``, else as a whole, if that is inside."""
        left, top, right, bottom = self.box
        at = x, y = xy[0] + 0.5, xy[1] + 0.5
        corner = x > (left + right) / 2, y > (top + bottom) / 2
        nearest = right if corner[0] else left, bottom if corner[1] else top
        if math.dist(at, nearest) <= min(reach, (right - left) / 3, (bottom - top) / 3):
            self._grip = _Grip(at, self.box, corner)
        elif left <= x <= right and top <= y <= bottom:
            self._grip = _Grip(at, self.box, None)

    def move(self, xy: XY) -> None:
        """The pointer is over ``xy``, which may lie outside."""
        if self._grip is None:
            return
        left, top, right, bottom = self._grip.box
        x, y = xy[0] + 0.5 - self._grip.at[0], xy[1] + 0.5 - self._grip.at[1]
        if self._grip.corner is None:
            self._lay(((left + right) / 2 + x, (top + bottom) / 2 + y), right - left)
            return
        is_right, is_lower = self._grip.corner
        stays_x, stays_y = left if is_right else right, top if is_lower else bottom
        room = self._size[0] - left if is_right else right, self._size[1] - top if is_lower else bottom
        wide = right - left + (x if is_right else -x)
        high = bottom - top + (y if is_lower else -y)
        width = self._allowed((wide + high * self._proportions) / 2, room)
        height = width / self._proportions
        self._lay((stays_x + width / (2 if is_right else -2), stays_y + height / (2 if is_lower else -2)), width)

    def release(self) -> None:
        """Let it go."""
        self._grip = None

    def resize(self, larger: bool) -> None:
        """The next size, around its centre where there is room."""
        self._lay(self._centre, self._width * (_LARGER if larger else 1 / _LARGER))

    def _allowed(self, width: float, room: tuple[float, float]) -> float:
        """``width`` between the smallest and what fits into ``room`` (W, H)."""
        largest = min(room[0], room[1] * self._proportions)
        smallest = _SMALLEST * max(1.0, self._proportions)
        return min(max(width, smallest), largest)

    def _lay(self, centre: XY, width: float) -> None:
        """So wide and there, as far as it fits."""
        self._width = self._allowed(width, self._size)
        half = self._width / 2, self._width / self._proportions / 2
        x, y = (min(max(c, h), n - h) for c, h, n in zip(centre, half, self._size, strict=True))
        self._centre = x, y
