"""Pictures and places at a height of 512 px, the scale at which edits are judged, as in the paper."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from draggan_runtime.messages import XY
from draggan_runtime.pictures import Pixels

Array = np.ndarray[Any, np.dtype[np.float64]]

#: Height, px.
AT = 512


def at_512(image: Pixels) -> Pixels:
    """A picture, uint8 ``[H, W, 3]``, at a height of 512 px, by area."""
    height, width = image.shape[:2]
    return np.asarray(Image.fromarray(image).resize((round(width * AT / height), AT), Image.Resampling.BOX))


def from_512(points: Array, size: tuple[int, int]) -> list[XY]:
    """Points ``[P, 2]`` px at 512 in px of a picture of ``size`` (W, H); those outside of it at its border."""
    inside = ((points + 0.5) * size[1] / AT - 0.5).clip(0, np.array(size) - 1)
    return [(x, y) for x, y in inside.tolist()]


def to_512(points: Array, size: tuple[int, int]) -> Array:
    """Points ``[P, 2]`` px of a picture of ``size`` (W, H) in px at 512."""
    return np.asarray((points + 0.5) * AT / size[1] - 0.5)


def squared_error(first: Pixels, second: Pixels) -> float:
    """Mean squared error of two pictures, uint8 ``[512, W, 3]``, of values from -1 to 1."""
    return float(np.square((first.astype(np.float64) - second) / 127.5).mean())


def apart(first: Array, second: Array) -> float:
    """Mean distance of points ``[P, 2]`` from each other."""
    return float(np.linalg.norm(first - second, axis=1).mean())
