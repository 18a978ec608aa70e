"""Where the places of one picture are in another, by dense optical flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from draggan_runtime.evaluation.at_512 import Array
from draggan_runtime.pictures import Pixels

Grey = np.ndarray[Any, np.dtype[np.uint8]]
Flow = np.ndarray[Any, np.dtype[np.float32]]

#: Standard deviation of the blur, px: the generator's noise is fixed to the pixels, and unblurred would hold the flow.
BLUR = 2.5
#: px by which the way there and back may miss its start.
MISS = 1.0
#: Side of the patch, px, in which there must be texture in all directions.
PATCH = 9


def matches(first: Pixels, second: Pixels, count: int, seeds: Sequence[int]) -> tuple[Array, Array] | None:
    """``count`` random places in ``first`` and where they are in ``second``, each ``[count, 2]`` px.

    Pictures: uint8 RGB ``[H, W, 3]`` of one size. Only where the flow there and back meets its start and texture is in
    the upper half by the least eigenvalue (Shi and Tomasi 1994, "Good Features to Track"). None if there are fewer
    such places.
    """
    seen = grey(first)
    there, miss = there_and_back(seen, grey(second))
    height, width = seen.shape
    start = _pixels(seen)
    end = start + there
    inside = ((end >= 0) & (end <= (width - 1, height - 1))).all(axis=-1)
    texture = cv2.cornerMinEigenVal(seen, PATCH)
    good = inside & (miss <= MISS) & (texture > np.median(texture))
    places = np.argwhere(good)
    if len(places) < count:
        return None
    rows, columns = places[np.random.RandomState(list(seeds)).choice(len(places), count, replace=False)].T
    return start[rows, columns].astype(np.float64), end[rows, columns].astype(np.float64)


def grey(picture: Pixels, blur: float = BLUR) -> Grey:
    """A picture, uint8 RGB ``[H, W, 3]``, as flow wants it; ``blur``: standard deviation, px."""
    made: Grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (0, 0), blur)
    return made


def there_and_back(first: Grey, second: Grey) -> tuple[Flow, Flow]:
    """How far each pixel of ``first`` has gone in ``second``, ``[H, W, 2]`` (x, y) px, and how sure that is.

    The latter, ``[H, W]`` px, is by how much the flow back from there misses the pixel (Kalal et al. 2010,
    "Forward-Backward Error").
    """
    there, back = _flow(first, second), _flow(second, first)
    returned = cv2.remap(back, _pixels(first) + there, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return there, np.linalg.norm(there + returned, axis=-1)


def _pixels(picture: Grey) -> Flow:
    """``[H, W, 2]``: each pixel's own (x, y)."""
    height, width = picture.shape
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)


def _flow(first: Grey, second: Grey) -> Flow:
    """``[H, W, 2]`` px: Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search", OpenCV's."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    flow: Flow = search.calc(first, second, None)
    return flow
