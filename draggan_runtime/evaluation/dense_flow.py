"""Where the places of one picture are in another, by dense optical flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from draggan_runtime.evaluation.at_512 import Array
from draggan_runtime.pictures import Pixels

Grey = np.ndarray[Any, np.dtype[np.uint8]]

#: Standard deviation of the blur, px: the generator's noise is fixed to the pixels, and unblurred would hold the flow.
BLUR = 2.5
#: px by which the way there and back may miss its start.
MISS = 1.0
#: Side of the patch, px, in which there must be texture in all directions.
PATCH = 9


def matches(first: Pixels, second: Pixels, count: int, seeds: Sequence[int]) -> tuple[Array, Array] | None:
    """``count`` random places in ``first`` and where they are in ``second``, each ``[count, 2]`` px.

    Pictures: uint8 RGB ``[H, W, 3]`` of one size. Only where the flow there and back meets its start (Kalal et al.
    2010, "Forward-Backward Error") and texture is in the upper half by the least eigenvalue (Shi and Tomasi 1994,
    "Good Features to Track"). None if there are fewer such places.
    """
    greys = _grey(first), _grey(second)
    there, back = _flow(*greys), _flow(*reversed(greys))
    height, width = there.shape[:2]
    start = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    end = start + there
    inside = ((end >= 0) & (end <= (width - 1, height - 1))).all(axis=-1)
    returned = cv2.remap(back, end, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    texture = cv2.cornerMinEigenVal(greys[0], PATCH)
    good = inside & (np.linalg.norm(there + returned, axis=-1) <= MISS) & (texture > np.median(texture))
    places = np.argwhere(good)
    if len(places) < count:
        return None
    rows, columns = places[np.random.RandomState(list(seeds)).choice(len(places), count, replace=False)].T
    return start[rows, columns].astype(np.float64), end[rows, columns].astype(np.float64)


def _grey(picture: Pixels) -> Grey:
    grey: Grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (0, 0), BLUR)
    return grey


def _flow(first: Grey, second: Grey) -> np.ndarray[Any, np.dtype[np.float32]]:
    """``[H, W, 2]`` px: Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search", OpenCV's."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    flow: np.ndarray[Any, np.dtype[np.float32]] = search.calc(first, second, None)
    return flow
