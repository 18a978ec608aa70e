"""A picture seen through a similarity, without aliasing: box filters reduce, cubic interpolation places."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Affine = NDArray[np.float64]
Image = NDArray[Any]


def inverse(matrix: Affine) -> Affine:
    """Of an affine map ``[2, 3]``, its inverse ``[2, 3]``."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.hstack([linear, -linear @ matrix[:, 2:]])


def mapped(matrix: Affine, points: NDArray[Any]) -> NDArray[np.float64]:
    """``points [n, 2]`` through ``matrix [2, 3]``."""
    result: NDArray[np.float64] = np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return result


def warped(image: Image, matrix: Affine, size: tuple[int, int], *, reflect: bool = False) -> Image:
    """``image`` (uint8 or float32 ``[H, W, C]``, C up to 4) through ``matrix``, as ``[h, w, C]`` of ``size`` (w, h).

    ``matrix [2, 3]``: a similarity from px of ``image`` to px of the result; whole numbers are centres of pixels. Where
    it shrinks, each pixel of the result is the mean of what it covers. Around ``image`` lies zero, or with ``reflect``
    its mirror image. Only the part of ``image`` that is seen is read.
    """
    scale = math.hypot(*matrix[:, 0])
    step = max(1, int(0.5 / scale + 1e-9))
    x0, y0, x1, y1 = _seen(matrix, size, margin=4 * step + 4)
    # On the grid of the whole image, so that halving it is exact wherever the crop begins.
    x0, y0 = x0 // step * step, y0 // step * step
    columns, rows = -(-(x1 - x0) // step), -(-(y1 - y0) // step)
    part = _cut(image, (x0, y0, x0 + columns * step, y0 + rows * step), reflect)
    if step > 1:
        part = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    fine = max(1, math.ceil(1 / (scale * step) - 1e-9))
    to_image = np.array([[step, 0, x0 + (step - 1) / 2], [0, step, y0 + (step - 1) / 2], [0, 0, 1]])
    to_fine = np.array([[fine, 0, (fine - 1) / 2], [0, fine, (fine - 1) / 2]])
    through = to_fine @ np.vstack([matrix, (0, 0, 1)]) @ to_image
    width, height = size
    result = cv2.warpAffine(
        part, through, (width * fine, height * fine), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    if fine > 1:
        result = cv2.resize(result, size, interpolation=cv2.INTER_AREA)
    return np.asarray(result).reshape(height, width, -1)


def _seen(matrix: Affine, size: tuple[int, int], margin: int) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom; px of the image) that the result shows, and ``margin`` around it."""
    width, height = size
    corners = np.array([(-0.5, -0.5), (width - 0.5, -0.5), (-0.5, height - 0.5), (width - 0.5, height - 0.5)])
    seen = mapped(inverse(matrix), corners)
    left, top = np.floor(seen.min(axis=0)).astype(int) - margin
    right, bottom = np.ceil(seen.max(axis=0)).astype(int) + margin + 1
    return int(left), int(top), int(right), int(bottom)


def _cut(image: Image, box: tuple[int, int, int, int], reflect: bool) -> Image:
    """The pixels of ``box``, which may reach out of ``image``."""
    height, width = image.shape[:2]
    left, top, right, bottom = box
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        return image[top:bottom, left:right]
    if reflect:
        rows, columns = _mirrored(np.arange(top, bottom), height), _mirrored(np.arange(left, right), width)
        return np.asarray(image[rows[:, None], columns])
    result = np.zeros((bottom - top, right - left, *image.shape[2:]), image.dtype)
    inner = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    result[max(-top, 0) :, max(-left, 0) :][: inner.shape[0], : inner.shape[1]] = inner
    return result


def _mirrored(index: NDArray[Any], length: int) -> NDArray[Any]:
    """Of each index the one inside ``0 .. length - 1`` that it mirrors; the border's pixel is not doubled."""
    if length == 1:
        return np.zeros_like(index)
    around = np.abs(index) % (2 * length - 2)
    mirrored: NDArray[Any] = np.minimum(around, 2 * length - 2 - around)
    return mirrored
