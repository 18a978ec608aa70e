"""The picture under the points, at the window's size: frame and mask, redone only where they have changed."""

from __future__ import annotations

from draggan_nodes.display.draw import scaled
from draggan_nodes.display.mask import brush_stroke, coverage, edge_width, shaded
from draggan_runtime.messages import XY, Frame, Hand, Mask
from draggan_runtime.pictures import Pixels, pixels


class Layers:
    """A frame at a size, a mask over it, and a stroke of the brush that grows."""

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._size = (0, 0)
        self._base: Pixels | None = None
        self._mask: Mask | None = None
        self._movable: Pixels | None = None
        self._way: tuple[XY, ...] = ()
        self._shaded: Pixels | None = None

    def picture(self, frame: Frame, mask: Mask | None, hand: Hand | None, size: tuple[int, int]) -> Pixels:
        """The frame at ``size`` (W, H) under the mask and the stroke under way. Not to be written to."""
        if self._base is None or frame is not self._frame or size != self._size:
            self._base, self._shaded = scaled(pixels(frame.image), size), None
        way = hand.stroke if hand is not None else ()
        goes_on = way[: len(self._way)] == self._way
        if mask is not self._mask or size != self._size or not goes_on:
            self._movable, self._way, self._shaded = coverage(mask, size), (), None
        self._frame, self._mask, self._size = frame, mask, size
        if hand is not None and len(way) > len(self._way):
            self._paint(self._base, hand, size[0] / frame.image.shape[1])
        if self._movable is None:
            return self._base
        if self._shaded is None:
            self._shaded = shaded(self._base, self._movable, edge_width(size))
        return self._shaded

    def _paint(self, base: Pixels, hand: Hand, scale: float) -> None:
        """The part of the stroke that is new."""
        if self._movable is None:  # painting begins with nothing movable, erasing with everything
            self._movable, self._shaded = base[..., 0].copy(), None
            self._movable[:] = 255 if hand.erases else 0
        new = hand.stroke[max(0, len(self._way) - 1) :]
        self._way = hand.stroke
        way = [((x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5) for x, y in new]
        rows, columns = brush_stroke(self._movable, way, (hand.brush or 1.0) * scale, hand.erases)
        if self._shaded is None:
            return
        line = edge_width(self._size)
        inner = _grown(rows, line), _grown(columns, line)
        outer = _grown(rows, 2 * line), _grown(columns, 2 * line)
        part = shaded(base[outer], self._movable[outer], line)
        y, x = inner[0].start - outer[0].start, inner[1].start - outer[1].start
        target = self._shaded[inner]
        target[:] = part[y : y + target.shape[0], x : x + target.shape[1]]


def _grown(part: slice, by: int) -> slice:
    return slice(max(0, part.start - by), part.stop + by)
