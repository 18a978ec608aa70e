"""Where a model's picture lies in a photo: FFHQ's alignment of faces, and plain boxes for models of other things.

Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks" (2019), appendix A; the
constants of its crop are those of the published FFHQ dataset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from draggan_nodes.inversion.warping import Affine, inverse, mapped, warped
from draggan_runtime.errors import UserError
from draggan_runtime.pictures import Pixels

# Of the 68 landmarks of iBUG 300-W.
_LEFT_EYE, _RIGHT_EYE, _MOUTH_CORNERS = slice(36, 42), slice(42, 48), [48, 54]

#: Beyond the photo's edge: where its mirror image is blurred in full, and where it has faded to one colour; in sides
#: of the crop. And how far it is blurred.
_BLURRED, _FADED, _SIGMA = 0.05, 0.3, 0.02
#: Of a photo's longer side: what is larger is no crop of it. Of a face that fills it one may have three.
_LARGEST = 4


@dataclass(frozen=True)
class Placement:
    """Where a crop lies in a photo.

    ``matrix``: a similarity, 2 rows of 3, from px of the photo to px of the crop. ``size``: of the crop, (W, H). Whole
    numbers are centres of pixels, as everywhere: the crop's edges lie at -0.5 and W - 0.5.
    """

    matrix: tuple[tuple[float, float, float], tuple[float, float, float]]
    size: tuple[int, int]

    @property
    def to_crop(self) -> Affine:
        """``[2, 3]``, px of the photo to px of the crop."""
        return np.array(self.matrix)

    @property
    def to_photo(self) -> Affine:
        """``[2, 3]``, px of the crop to px of the photo."""
        return inverse(self.to_crop)

    @property
    def corners(self) -> NDArray[np.float64]:
        """The crop's outer corners in px of the photo, ``[4, 2]``: top left, bottom left, bottom right, top right."""
        width, height = self.size
        edges = [(-0.5, -0.5), (-0.5, height - 0.5), (width - 0.5, height - 0.5), (width - 0.5, -0.5)]
        return mapped(self.to_photo, np.array(edges))

    @property
    def scale(self) -> float:
        """Px of the crop for a px of the photo."""
        return float(np.hypot(*self.to_crop[:, 0]))


def align(landmarks: NDArray[Any], size: int = 1024) -> Placement:
    """FFHQ's crop of the face with these ``landmarks [68, 2]`` (px of the photo), ``size`` px a side.

    Half a side is the larger of twice the distance of the eyes and 1.8 times that from eyes to mouth; the crop is
    turned by the mean of both directions, and its centre lies a tenth of the way from eyes to mouth. Raises UserError
    if the landmarks are those of no face.
    """
    left, right = landmarks[_LEFT_EYE].mean(axis=0), landmarks[_RIGHT_EYE].mean(axis=0)
    eyes, mouth = (left + right) / 2, landmarks[_MOUTH_CORNERS].mean(axis=0)
    across, down = right - left, mouth - eyes
    x, y = across + np.array([down[1], -down[0]])
    length = float(np.hypot(x, y))
    if not length > 0:
        raise UserError("eyes and mouth of this face lie in one place: choose another face")
    half = max(2.0 * float(np.hypot(*across)), 1.8 * float(np.hypot(*down)))
    return _placed(eyes + 0.1 * down, np.array([x, y]) / length, size / (2 * half), (size, size))


def centre_crop(
    photo_size: tuple[int, int], crop_size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Placement:
    """For models of other things: an upright crop of ``crop_size`` (W, H) of a photo of ``photo_size`` (W, H).

    ``box``: left, top, right, bottom, edges in px of the photo (so the whole photo is 0, 0, W, H); without it, the
    largest one in the middle. A box of other proportions than the crop's grows to the crop's, is moved back into the
    photo, and shrinks if it does not fit. Raises UserError for a box that is empty or lies outside.
    """
    photo, crop = np.array(photo_size, float), np.array(crop_size, float)
    left, top, right, bottom = box if box is not None else (0.0, 0.0, *photo)
    if not (right > left and bottom > top and right > 0 and bottom > 0 and left < photo[0] and top < photo[1]):
        raise UserError(
            f"box {left:g},{top:g},{right:g},{bottom:g} holds nothing of the photo, which is "
            f"{photo_size[0]}x{photo_size[1]} px: give left,top,right,bottom"
        )
    # Photo px for a px of the crop: what holds the box, at most what fits.
    step = min(max((right - left) / crop[0], (bottom - top) / crop[1]), *(photo / crop))
    half = crop * step / 2
    centre = np.clip([(left + right) / 2, (top + bottom) / 2], half, photo - half)
    return _placed(centre - 0.5, np.array([1.0, 0.0]), 1 / step, crop_size)


def placed(matrix: Any, photo: Pixels, size: tuple[int, int]) -> Placement:
    """The crop of ``size`` (W, H) that ``matrix [2, 3]`` places in ``photo``, as :attr:`Placement.to_crop` gave it.

    Raises UserError for one that shows nothing of the photo, or is far larger: a file may say anything.
    """
    (a, b, x), (c, d, y) = np.asarray(matrix, np.float64).tolist()
    if (a, b) == (d, -c) and np.isfinite((a, b, x, y)).all() and np.hypot(a, b) > 1e-6:
        placement = Placement(((a, b, x), (c, d, y)), size)
        low, high = placement.corners.min(axis=0), placement.corners.max(axis=0)
        sides = np.array(photo.shape[1::-1])
        if (high > 0).all() and (low < sides).all() and (high - low).max() < _LARGEST * sides.max():
            return placement
    raise UserError("where the picture belongs in its photo makes no sense; invert the photo again")


def crop(photo: Pixels, placement: Placement) -> Pixels:
    """What ``placement`` shows of ``photo``: uint8 RGB ``[H, W, 3]``.

    Beyond the photo's edges lies its mirror image, more and more blurred and faded to one colour, as in FFHQ; what is
    in the photo stays sharp.
    """
    result = warped(photo, placement.to_crop, placement.size, reflect=True)
    away = beyond(photo, placement)
    if not away.any():
        return np.asarray(result, np.uint8)
    sharp = result.astype(np.float32)
    blurred = cv2.GaussianBlur(sharp, (0, 0), _SIGMA * max(placement.size))
    soft = sharp + (blurred - sharp) * np.clip(away / _BLURRED, 0, 1)[:, :, None]
    inside = result[away == 0] if (away == 0).any() else result.reshape(-1, 3)
    faded = soft + (np.median(inside, axis=0) - soft) * np.clip(away / _FADED, 0, 1)[:, :, None]
    return np.asarray(np.clip(np.rint(faded), 0, 255), np.uint8)


def beyond(photo: Pixels, placement: Placement) -> NDArray[np.float32]:
    """How far each pixel of a crop lies outside of ``photo``, ``[H, W]``, in sides of the crop; 0 inside."""
    columns, rows = (np.arange(n, dtype=np.float32) for n in placement.size)
    away = np.zeros(placement.size[::-1], np.float32)
    for (a, b, c), length in zip(placement.to_photo, reversed(photo.shape[:2]), strict=True):
        place = np.float32(a) * columns + np.float32(b) * rows[:, None] + np.float32(c)
        away = np.maximum(away, np.maximum(-0.5 - place, place - (length - 0.5)))
    return away * np.float32(placement.scale / max(placement.size))


def _placed(centre: NDArray[Any], along: NDArray[Any], scale: float, size: tuple[int, int]) -> Placement:
    """The crop with its centre at ``centre`` (px of the photo), whose rows run ``along`` (a unit vector)."""
    x, y = (along * scale).tolist()
    turn = np.array([[x, y], [-y, x]])
    offset = (np.array(size) - 1) / 2 - turn @ centre
    first, second = np.hstack([turn, offset[:, None]]).tolist()
    return Placement((tuple(first), tuple(second)), size)
