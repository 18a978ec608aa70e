"""Which parts of the feature maps a step's consumers read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from draggan_nodes.generation.protocol import Level, Window
from draggan_runtime.box_set import cell
from draggan_runtime.boxes import Region, around
from draggan_runtime.messages import XY, Box, NeedBoxes
from draggan_runtime.node import Need

#: By level, the px regions that are sent; None is the whole map.
Regions = dict[str, tuple[Region | None, ...]]


def regions_for(needs: Sequence[Need], handles: Iterable[XY], size: tuple[int, int], *, masked: bool) -> Regions:
    """By level, a square around each of ``handles`` (px), or the whole map.

    Its reach is the sum of all consumers' reaches (px at 512): the tracker looks around the handle, and the
    motion term, on whatever level, around the handle that the tracker will find.
    """
    reach = sum(need.reach for need in needs) * size[1] / 512
    squares = tuple(around(xy, reach) for xy in handles)
    whole_levels = {need.level for need in needs if need.whole_with_mask and masked}
    return {need.level: (None,) if need.level in whole_levels else squares for need in needs}


def with_more(regions: Regions, request: NeedBoxes) -> Regions:
    """``regions`` and those that a stage asks for besides."""
    return {**regions, request.level: (*regions.get(request.level, ()), *request.regions)}


def windows(regions: Regions, levels: Mapping[str, Level], size: tuple[int, int]) -> dict[str, list[Window]]:
    """By level, the cells of its map that bilinear reads within each region touch; ``size`` (W, H) px of the output.

    A region that an earlier window holds gets none. Regions of the same size get windows of the same size.
    """
    out: dict[str, list[Window]] = {}
    for name, wanted in regions.items():
        everything = whole_map(levels[name], size)
        columns, rows = everything.right, everything.bottom
        found: list[Window] = []
        for region in wanted:
            if region is None:
                found.append(everything)
                continue
            (top, bottom), (left, right) = (
                _cells(region[axis], region[axis + 2], levels[name].stride, count)
                for axis, count in ((1, rows), (0, columns))
            )
            if not any(w.top <= top and bottom <= w.bottom and w.left <= left and right <= w.right for w in found):
                found.append(Window(top, bottom, left, right))
        out[name] = found
    return out


def whole_map(level: Level, size: tuple[int, int]) -> Window:
    """All cells of a level's map; ``size`` (W, H) px of the output."""
    return Window(0, round(size[1] / level.stride), 0, round(size[0] / level.stride))


def _cells(low: float, high: float, stride: float, count: int) -> tuple[int, int]:
    """First cell and end, for reads from ``low`` to ``high`` px on a line of ``count`` cells.

    As many cells wherever the reads begin within a cell, and at the border too, where fewer would do.
    """
    length = min(math.ceil((high - low) / stride - 1e-6) + 2, count)
    first = math.floor(cell(np.asarray(low), stride))
    start = min(max(first, 0), count - length)
    return start, start + length


def box(values: torch.Tensor, window: Window, level: Level, size: tuple[int, int]) -> Box:
    """The box that a window's ``values`` ``[C, h, w]`` are; ``size`` (W, H) px of the output.

    Values are contiguous, as they are after a journey between processes: sums over them, whose rounding depends
    on the order in memory, then agree in every layout.
    """
    everything = whole_map(level, size)
    map_size = everything.right, everything.bottom
    return Box(values.detach().contiguous(), (window.left, window.top), level.stride, map_size)
