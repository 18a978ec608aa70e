"""Where the boxes of a feature level lie, as arrays, so that questions about many points are answered at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from draggan_runtime.messages import Boxes

Array = np.ndarray[Any, np.dtype[Any]]


def cell(px: Array, stride: Any) -> Array:
    """Cell coordinate of a pixel coordinate (either axis)."""
    u: Array = (px + 0.5) / stride - 0.5
    return u


def span(low: Array, high: Array, stride: Any, count: Any) -> tuple[Array, Array]:
    """First cell and end (exclusive) that bilinear reads between pixels ``low`` and ``high`` touch."""
    first = np.floor(np.clip(cell(low, stride), 0, count - 1))
    last = np.floor(np.clip(cell(high, stride), 0, count - 1))
    return first.astype(np.int64), np.minimum(last + 2, count).astype(np.int64)


def bounds(points: Array) -> Array:
    """The smallest regions ``[..., 4]`` (x0, y0, x1, y1) that hold all N of ``points`` ``[..., N, 2]`` px."""
    p = np.swapaxes(np.asarray(points, dtype=np.float64), -1, -2).copy()  # Contiguous: ten times as fast.
    return np.concatenate([p.min(axis=-1), p.max(axis=-1)], axis=-1)


@dataclass(frozen=True)
class Reads:
    """``P x K`` bilinear reads, each of four ``cells`` ``[P, K, 4]``, numbered as in the BoxSet, by ``weights``."""

    cells: Array
    weights: Array

    def __getitem__(self, part: Any) -> Reads:
        return Reads(self.cells[part], self.weights[part])


class BoxSet:
    """B boxes of a level. Their cells are numbered box after box, row after row, from ``first`` ``[B]`` on."""

    def __init__(self, boxes: Boxes) -> None:
        self.boxes = boxes
        self._origin = np.array([box.origin for box in boxes], dtype=np.int64).reshape(-1, 2)
        self._size = np.array([box.values.shape[:-3:-1] for box in boxes], dtype=np.int64).reshape(-1, 2)
        self._map_size = np.array([box.map_size for box in boxes], dtype=np.int64).reshape(-1, 2)
        self._stride = np.array([box.stride for box in boxes], dtype=np.float64)[:, None]
        self.counts = self._size.prod(axis=1)
        self.first = self.counts.cumsum() - self.counts

    def covering(self, regions: Array) -> Array:
        """For each of ``regions`` ``[R, 4]`` (x0, y0, x1, y1 px) the first box that serves every read in it, or -1.

        Raises ValueError if one of them is not a number.
        """
        regions = np.asarray(regions, dtype=np.float64).reshape(-1, 1, 4)
        if np.isnan(regions).any():
            raise ValueError("a position is not a number")
        if not self.boxes:
            return np.full(len(regions), -1)
        low, high = span(regions[..., :2], regions[..., 2:], self._stride, self._map_size)
        serves: Array = np.all((self._origin <= low) & (high <= self._origin + self._size), axis=2)
        return np.where(serves.any(axis=1), serves.argmax(axis=1), -1)

    def reads(self, which: Array, positions: Array) -> Reads:
        """Bilinear reads at ``positions`` ``[P, K, 2]`` px; ``which`` ``[P]``: the box that covers each row of them."""
        x, y = np.moveaxis(positions, -1, 0)
        left, right, to_right = self._between(which, x, 0)
        above, below, to_below = self._between(which, y, 1)
        first, columns = self.first[which, None], self._size[which, :1]
        above, below = first + above * columns, first + below * columns
        to_left, to_above = 1 - to_right, 1 - to_below
        cells = above + left, above + right, below + left, below + right
        weights = to_above * to_left, to_above * to_right, to_below * to_left, to_below * to_right
        return Reads(np.stack(cells, axis=-1), np.stack(weights, axis=-1))

    def _between(self, which: Array, px: Array, axis: int) -> tuple[Array, Array, Array]:
        """Along an axis the two cells that each of ``px`` ``[P, K]`` lies between, and its way to the second."""
        last = self._size[which, axis, None] - 1
        # In a box that covers the position only the map's own border can be passed.
        u = np.clip(cell(px, self._stride[which]) - self._origin[which, axis, None], 0, last)
        low = u.astype(np.int64)
        return low, np.minimum(low + 1, last), u - low
