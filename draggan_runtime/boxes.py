"""Reading feature boxes at pixel positions.

The map is never resized to the picture: a value is sampled bilinearly where it is needed, at cell coordinate
``u = (x + 0.5) / stride - 0.5``. Beyond the outermost cell centres the map is continued by its border values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch

from draggan_runtime.messages import Box, Boxes

Region = tuple[float, float, float, float]


def cell(px: np.ndarray, stride: float) -> np.ndarray:
    """Cell coordinate of a pixel coordinate (either axis)."""
    return (np.asarray(px, dtype=np.float64) + 0.5) / stride - 0.5


def _span(low: float, high: float, stride: float, count: int) -> tuple[int, int]:
    """First cell and end (exclusive) that bilinear reads between pixels ``low`` and ``high`` touch."""
    u = np.clip(cell(np.array([low, high]), stride), 0, count - 1)
    return math.floor(u[0]), min(math.floor(u[1]) + 2, count)


def crop(feature_map: torch.Tensor, region: Region, stride: float) -> Box:
    """The box of ``feature_map`` ``[C, rows, columns]`` that reads within ``region`` (x0, y0, x1, y1 px) touch."""
    rows, columns = feature_map.shape[-2:]
    x0, x1 = _span(region[0], region[2], stride, columns)
    y0, y1 = _span(region[1], region[3], stride, rows)
    return Box(feature_map[:, y0:y1, x0:x1], (x0, y0), stride, (columns, rows))


def whole(feature_map: torch.Tensor, stride: float) -> Box:
    """The box that is the whole of ``feature_map`` ``[C, rows, columns]``."""
    return Box(feature_map, (0, 0), stride, (feature_map.shape[-1], feature_map.shape[-2]))


def around(xy: tuple[float, float], reach: float) -> Region:
    """The square region within ``reach`` px of ``xy``."""
    return xy[0] - reach, xy[1] - reach, xy[0] + reach, xy[1] + reach


def covering(boxes: Boxes, region: Region) -> int | None:
    """Index of the first box that serves every bilinear read within ``region``, or None."""
    for index, box in enumerate(boxes):
        columns, rows = box.map_size
        x0, x1 = _span(region[0], region[2], box.stride, columns)
        y0, y1 = _span(region[1], region[3], box.stride, rows)
        height, width = box.values.shape[-2:]
        left, top = box.origin
        if left <= x0 and top <= y0 and x1 <= left + width and y1 <= top + height:
            return index
    return None


def bounds(points: Iterable[Iterable[float]]) -> Region:
    """The smallest region that holds all ``points`` ``[N, 2]`` px."""
    p = np.asarray(points, dtype=np.float64)
    (x0, y0), (x1, y1) = p.min(axis=0), p.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def sample(box: Box, points: np.ndarray) -> torch.Tensor:
    """Bilinear values ``[N, C]`` of ``box`` at ``points`` ``[N, 2]`` px; differentiable in the box's values.

    Computed as one product with a weight matrix over the few cells the points touch, which is deterministic on every
    device. Raises ValueError if the box does not cover the points.
    """
    values = torch.as_tensor(box.values)
    if covering((box,), bounds(points)) is None:
        raise ValueError(f"box at {box.origin} does not cover all points")
    columns, rows = box.map_size
    u = np.clip(cell(points[:, 0], box.stride), 0, columns - 1) - box.origin[0]
    v = np.clip(cell(points[:, 1], box.stride), 0, rows - 1) - box.origin[1]
    x0, y0 = int(u.min()), int(v.min())
    x1, y1 = int(u.max()) + 2, int(v.max()) + 2
    part = values[:, y0:y1, x0:x1]
    # Tent functions are the bilinear weights; a column cut off at the border would have had weight zero.
    wx = np.clip(1 - np.abs(u[:, None] - np.arange(x0, x0 + part.shape[2])), 0, None)
    wy = np.clip(1 - np.abs(v[:, None] - np.arange(y0, y0 + part.shape[1])), 0, None)
    weights = (wy[:, :, None] * wx[:, None, :]).reshape(len(points), -1)
    return torch.as_tensor(weights, dtype=values.dtype, device=values.device) @ part.flatten(1).T
