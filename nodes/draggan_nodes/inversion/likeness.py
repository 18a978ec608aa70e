"""How unlike a picture and a photo are, as a loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn.functional import interpolate, mse_loss

from draggan_runtime.errors import UserError
from draggan_runtime.perception import vgg

Maps = Callable[[torch.Tensor], Sequence[torch.Tensor]]

#: Rows at which pictures are compared if nothing else is said: features and pixels; then, of coarser ones, pixels.
ROWS, COARSE = 128, (128, 32, 8)
#: The first blocks of the network, those that its perceptual distance reads too.
BLOCKS = 4
#: Weight of squared pixel differences, of values in [-1, 1], beside features; and of gradients, where there are none.
PIXELS, EDGES = 2.0, 20.0


class Likeness:
    """Compares pictures with ``photo`` float ``[1, 3, H, W]``, RGB in [-1, 1]; ``name`` says by what.

    ``perceptual``: squared distance of features as in :mod:`draggan_runtime.perception.vgg`, without which pixels
    and their gradients must do. ``rows``: see :data:`ROWS`. Raises UserError if the network cannot be had.
    """

    def __init__(self, photo: torch.Tensor, *, perceptual: bool, rows: int = ROWS) -> None:
        if perceptual:
            vgg.prepare()
        self.name = "hed-vgg16 and pixels" if perceptual else "pixels"
        self._perceptual, self._photo = perceptual, photo
        first = min(rows, photo.shape[-2])
        self._rows = [first, *(r for r in COARSE if r < first)]
        with torch.no_grad():
            self._scales = _scales(photo, self._rows)
            self._features = self._of(self._scales[0])

    def __call__(self, picture: torch.Tensor) -> torch.Tensor:
        """The loss of a picture of the photo's shape, differentiable."""
        scales = _scales(picture, self._rows)
        pixels = sum((mse_loss(a, b) for a, b in zip(scales, self._scales, strict=True)), start=torch.zeros(()))
        features = zip(self._of(scales[0]), self._features, strict=True)
        apart = sum(((a - b).square().sum(dim=1).mean() for a, b in features), start=torch.zeros(()))
        return apart * (1.0 if self._perceptual else EDGES) + PIXELS * pixels

    def pixels(self, picture: torch.Tensor) -> torch.Tensor:
        """Mean squared difference at full size, of which the loss sees nothing."""
        return mse_loss(picture, self._photo)

    def _of(self, picture: torch.Tensor) -> list[torch.Tensor]:
        if not self._perceptual:
            return [picture.diff(dim=2), picture.diff(dim=3)]
        maps = vgg.maps_of((picture.clamp(-1.5, 1.5) + 1) * 127.5, BLOCKS)
        return [m / (m.norm(dim=1, keepdim=True) + 1e-6) for m in maps]


def perceptual_or_not(wanted: str) -> tuple[bool, str]:
    """Whether to compare by features, as "auto", "yes" or "no" is ``wanted``, and what to tell the user.

    Raises UserError if "yes" is and the network cannot be had.
    """
    if wanted == "no":
        return False, ""
    try:
        vgg.prepare()
    except UserError as error:
        if wanted == "yes":
            raise
        return False, f"the photo is compared by pixels alone, for want of a network that looks: {error}"
    return True, ""


def _scales(picture: torch.Tensor, rows: Sequence[int]) -> list[torch.Tensor]:
    """The picture with so many ``rows``, fewer and fewer."""
    scales = []
    for r in rows:
        columns = max(1, round(r * picture.shape[-1] / picture.shape[-2]))
        picture = interpolate(picture, size=(r, columns), mode="area")
        scales.append(picture)
    return scales
