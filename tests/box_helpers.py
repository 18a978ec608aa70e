"""Feature boxes for tests, and bilinear values written down once more: one position at a time, from the whole map."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from draggan_runtime.boxes import around, crop, whole
from draggan_runtime.messages import Boxes

STRIDE = 16.0
ROWS, COLUMNS = 9, 7


def random_map(seed: int, channels: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).randn(channels, ROWS, COLUMNS))


def value(cells: Any, x: float, y: float) -> Any:
    """``[C]`` of a whole map ``[C, rows, columns]``, array or tensor, at a pixel, the border continued."""
    rows, columns = cells.shape[-2:]
    u = min(max((x + 0.5) / STRIDE - 0.5, 0), columns - 1)
    v = min(max((y + 0.5) / STRIDE - 0.5, 0), rows - 1)
    i, j = min(int(u), columns - 2), min(int(v), rows - 2)
    a, b = u - i, v - j
    above = (1 - a) * cells[:, j, i] + a * cells[:, j, i + 1]
    below = (1 - a) * cells[:, j + 1, i] + a * cells[:, j + 1, i + 1]
    return (1 - b) * above + b * below


def anywhere(least: int = 1, most: int = 6) -> st.SearchStrategy[np.ndarray]:
    """Positions ``[P, 2]`` px: inside, at borders and corners, on cell centres, in the same place."""
    x = st.sampled_from([0.0, 7.5, COLUMNS * STRIDE - 1]) | st.floats(0, COLUMNS * STRIDE - 1)
    y = st.sampled_from([0.0, 23.5, ROWS * STRIDE - 1]) | st.floats(0, ROWS * STRIDE - 1)
    return st.lists(st.tuples(x, y), min_size=least, max_size=most).map(np.array)


@st.composite
def boxes_for(draw: st.DrawFn, cells: torch.Tensor, positions: np.ndarray, reach: float) -> Boxes:
    """Boxes of odd sizes that together serve ``reach`` px around each position: crops, the whole map, or both."""
    room = draw(st.lists(st.floats(0, 30), min_size=len(positions), max_size=len(positions)))
    boxes = [crop(cells, around(xy, reach + more), STRIDE) for xy, more in zip(positions, room, strict=True)]
    with_whole = draw(st.sampled_from(["none", "too", "alone"]))
    if with_whole != "none":
        boxes = [whole(cells, STRIDE), *(boxes if with_whole == "too" else [])]
    return tuple(draw(st.permutations(boxes)))
