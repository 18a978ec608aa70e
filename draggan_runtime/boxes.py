"""Reading feature boxes at pixel positions.

The map is never resized to the picture: a value is sampled bilinearly where it is needed, at cell coordinate
``u = (x + 0.5) / stride - 0.5``. Beyond the outermost cell centres the map is continued by its border values.
"""

from __future__ import annotations

import numpy as np
import torch

from draggan_runtime.box_set import BoxSet, bounds, span
from draggan_runtime.box_table import Table
from draggan_runtime.messages import Box, Boxes

Region = tuple[float, float, float, float]


def crop(feature_map: torch.Tensor, region: Region, stride: float) -> Box:
    """The box of ``feature_map`` ``[C, rows, columns]`` that reads within ``region`` (x0, y0, x1, y1 px) touch."""
    map_size = feature_map.shape[-1], feature_map.shape[-2]
    low, high = span(np.array(region[:2]), np.array(region[2:]), stride, np.array(map_size))
    (x0, y0), (x1, y1) = low.tolist(), high.tolist()
    return Box(feature_map[:, y0:y1, x0:x1], (x0, y0), stride, map_size)


def whole(feature_map: torch.Tensor, stride: float) -> Box:
    """The box that is the whole of ``feature_map`` ``[C, rows, columns]``."""
    return Box(feature_map, (0, 0), stride, (feature_map.shape[-1], feature_map.shape[-2]))


def around(xy: tuple[float, float], reach: float) -> Region:
    """The square region within ``reach`` px of ``xy``."""
    return xy[0] - reach, xy[1] - reach, xy[0] + reach, xy[1] + reach


def covering(boxes: Boxes, region: Region) -> int | None:
    """Index of the first box that serves every bilinear read within ``region``, or None."""
    [index] = BoxSet(boxes).covering(np.array([region])).tolist()
    return None if index < 0 else index


def sample(box: Box, points: np.ndarray) -> torch.Tensor:
    """Bilinear values ``[N, C]`` of ``box`` at ``points`` ``[N, 2]`` px; differentiable in the box's values.

    Raises ValueError if the box does not cover the points.
    """
    boxes = BoxSet((box,))
    [which] = boxes.covering(bounds(points))
    if which < 0:
        raise ValueError(f"box at {box.origin} does not cover all points")
    reads = boxes.reads(np.array([which]), np.asarray(points)[None])
    return Table(boxes, reads).read(reads)[0]
