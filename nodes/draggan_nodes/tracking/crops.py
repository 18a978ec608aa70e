"""Grey crops of the picture around points."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch

from draggan_nodes.tracking.level import Array, Level
from draggan_runtime.boxes import crop
from draggan_runtime.messages import Box

Grey = np.ndarray[Any, np.dtype[np.uint8]]

#: How far a blur reaches, in its standard deviations.
TAILS = 3.0
LUMA = torch.tensor([0.299, 0.587, 0.114]) * 127.5  # of [-1, 1], to 8 bits


def grey_crops(level: Level, positions: Array, half: int, blur: float) -> Grey:
    """``[P, n, n]``, n = 2 ``half`` + 1: the picture around each of ``positions`` ``[P, 2]`` px, one cell a px at 512.

    ``blur``: its standard deviation, px at 512. The picture's border is continued.
    """
    reach = (half + TAILS * blur) * level.scale
    low, high = level.inside(positions - reach), level.inside(positions + reach)
    regions = np.concatenate([low, high], axis=1).tolist()
    boxes = level.covering(*((x0, y0, x1, y1) for x0, y0, x1, y1 in regions))
    return np.stack([_crop(*each, level.scale, half, blur) for each in zip(boxes, low, high, positions, strict=True)])


def _crop(box: Box, low: Array, high: Array, xy: Array, scale: float, half: int, blur: float) -> Grey:
    # Always the same part, whatever the box, so that the blur is the same at its edges.
    (x0, y0), (x1, y1) = low - box.origin, high - box.origin
    part = crop(torch.as_tensor(box.values), (x0, y0, x1, y1), 1.0)
    rgb = torch.as_tensor(part.values).float().cpu()
    grey = cv2.GaussianBlur((rgb.movedim(0, -1) @ LUMA + 127.5).numpy(), (0, 0), blur * scale)
    x, y = xy - box.origin - part.origin - half * scale
    there = np.array([[scale, 0, x], [0, scale, y]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cells = cv2.warpAffine(grey, there, (2 * half + 1, 2 * half + 1), flags=how, borderMode=cv2.BORDER_REPLICATE)
    out: Grey = cells.round().clip(0, 255).astype(np.uint8)
    return out
