"""An edited crop put back into its photo, so that nobody sees where.

Only what the edit changed is replaced. What the crop and the photo differ in otherwise (the inversion's error, the
light) is known around the change, and is carried into it smoothly, as by the membrane of Perez et al., "Poisson Image
Editing" (2003), here by push and pull over a pyramid (Gortler et al., "The Lumigraph", 1996, section 3.4).
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from draggan_nodes.inversion.alignment import Placement, beyond, crop
from draggan_nodes.inversion.warping import warped
from draggan_runtime.pictures import Pixels

Map = NDArray[np.float32]

#: Of half the crop's side: up to where the paste counts in full, and from where it does not count.
_FULL, _END = 0.78, 0.97
#: The window's corners: 2 is a circle, larger is squarer.
_POWER = 6
#: Mean difference in a neighbourhood, grey levels of 255: up to the first nothing was changed, from the second all was.
_SAME, _CHANGED = 2.0, 8.0
#: A neighbourhood's size and how far beyond a change its old outlines may lie, in sides of the crop.
_NEAR, _MARGIN = 0.008, 0.02
#: From about this difference of photo and crop on, grey levels, they show different things and not another light.
_OTHER = 20.0

_BAND = 256


def paste(photo: Pixels, edited: Pixels, reconstruction: Pixels | None, placement: Placement) -> Pixels:
    """``photo`` with ``edited`` in the place that ``placement`` says.

    Arguments:
        photo: uint8 RGB ``[H, W, 3]``, kept as it is.
        edited: uint8 RGB ``[h, w, 3]`` of the placement's size, the model's picture after the edit.
        reconstruction: the same before the edit; None if it was the photo's crop itself.

    Where the two do not differ the photo stays, detail and all; where nothing differs it stays bit for bit, and so it
    does outside of the crop. Raises ValueError for a picture of another size.
    """
    width, height = placement.size
    for picture in (edited, reconstruction):
        if picture is not None and picture.shape != (height, width, 3):
            raise ValueError(f"a picture of {width}x{height} px was to be pasted, not {list(picture.shape)}")
    original = crop(photo, placement).astype(np.float32)
    before = original if reconstruction is None else reconstruction.astype(np.float32)
    after = edited.astype(np.float32)
    window = _window(placement.size)
    change = _change(before, after)
    known = np.where(beyond(photo, placement) > 0, np.float32(0), np.float32(1))
    fitted = after + _carried(original, before, after, (1 - change) * known, (1 - window) * known)
    replaced = window * change
    # The photo's own detail, finer than the crop's, goes where the change comes.
    layer = window[:, :, None] * (fitted - original) + replaced[:, :, None] * original
    return _laid(photo, np.dstack([layer, replaced]), placement)


def _laid(photo: Pixels, layer: Map, placement: Placement) -> Pixels:
    """``photo`` x (1 - last channel) + the others, in bands, so that a large photo needs little more than itself."""
    result = photo.copy()
    left, top, right, bottom = _box(photo, placement)
    for y in range(top, bottom, _BAND):
        rows = slice(y, min(y + _BAND, bottom))
        to_band = placement.to_photo - np.array([[0, 0, left], [0, 0, y]])
        seen = warped(layer, to_band, (right - left, rows.stop - y))
        old = photo[rows, left:right].astype(np.float32)
        new = old * (1 - seen[:, :, 3:]) + seen[:, :, :3]
        result[rows, left:right] = np.clip(np.rint(new), 0, 255)
    return result


def _box(photo: Pixels, placement: Placement) -> tuple[int, int, int, int]:
    """The crop's bounding box in the photo: left, top, right, bottom, ends excluded."""
    corners = placement.corners
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0).tolist()
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, photo.shape[1::-1]).tolist()
    return left, top, right, bottom


def _window(size: tuple[int, int]) -> Map:
    """1 in the middle, 0 before the border, round corners: ``[H, W]``."""
    x, y = (np.abs((np.arange(n, dtype=np.float32) * 2 + 1) / n - 1) ** _POWER for n in size)
    return _smooth((_END - (x + y[:, None]) ** (1 / _POWER)) / (_END - _FULL))


def _smooth(value: NDArray[Any]) -> Map:
    """0 below 0, 1 above 1, and a step without a corner between."""
    t = np.clip(value, 0, 1)
    return np.asarray(t * t * t * (t * (6 * t - 15) + 10), np.float32)


def _change(before: Map, after: Map) -> Map:
    """Where an edit changed something, 0 to 1, ``[H, W]``."""
    side = max(before.shape[:2])
    # Old outlines of what has moved go as well.
    reach = 2 * math.ceil(_MARGIN * side) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    difference = cv2.GaussianBlur(np.abs(after - before).mean(axis=2), (0, 0), max(_NEAR * side, 0.5))
    change = _smooth((difference - _SAME) / (_CHANGED - _SAME))
    if not change.any():
        return change
    return np.asarray(cv2.GaussianBlur(cv2.dilate(change, disc), (0, 0), max(_MARGIN * side / 2, 0.5)))


def _carried(original: Map, before: Map, after: Map, unchanged: Map, border: Map) -> Map:
    """What to add to ``after``, ``[H, W, 3]``: the photo less the crop, as where nothing changed and at the border."""
    weight = unchanged + border
    share = np.where(weight > 0, unchanged / np.maximum(weight, 1e-6), 0)[:, :, None]
    off = original - after + share * (after - before)
    known = np.maximum(unchanged, border)
    # A curtain in the photo where the model has a wall says nothing about the light on the face.
    trust = 1 / (1 + (np.abs(off).max(axis=2) / _OTHER) ** 2)
    return _filled(off, known, known * trust)


def _filled(values: Map, known: Map, weight: Map) -> Map:
    """``values [H, W, C]`` where ``known [H, W]`` is 1, else their smooth continuation; ``weight`` says what counts."""
    height, width = known.shape
    if min(height, width) == 1:
        mean = (values * weight[:, :, None]).sum(axis=(0, 1)) / max(float(weight.sum()), 1e-6)
        return np.broadcast_to(mean, values.shape).astype(np.float32)
    weights = cv2.pyrDown(weight)
    sums = cv2.pyrDown(values * weight[:, :, None])
    there = np.minimum(1, 4 * weights)
    coarse = _filled(sums / np.maximum(weights, 1e-6)[:, :, None], there, there)
    below = cv2.pyrUp(coarse, dstsize=(width, height))
    return np.asarray(below + (values - below) * known[:, :, None], np.float32)
