"""About a picture, for little: what a middle feature map shows, and detail of the last full picture where it holds."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from draggan_runtime.pictures import Pixels

RIDGE = 1e-3
CHANGED = 0.5
DETAIL = 512  # px: finer detail is not kept, it would cost more than the map


@dataclass(frozen=True)
class Readout:
    """A linear map from a cell's features to its colour: ``weights`` ``[3, C]``, ``offset`` ``[3]``."""

    weights: torch.Tensor
    offset: torch.Tensor

    def __call__(self, features: torch.Tensor) -> np.ndarray:
        """Colours ``[rows, columns, 3]``, 0 to 255 but not clamped, of a map ``[C, rows, columns]``."""
        colours = self.weights @ features.flatten(1) + self.offset[:, None]
        return np.ascontiguousarray(colours.reshape(3, *features.shape[1:]).permute(1, 2, 0).cpu().numpy())


def fit_readout(features: torch.Tensor, colours: torch.Tensor, ridge: float = RIDGE) -> Readout:
    """The map that gives ``colours`` ``[3, N]`` from ``features`` ``[C, N]``, by ridge regression.

    ``ridge`` is in units of the features' mean variance; the offset is free. (Hoerl and Kennard 1970.)
    """
    mean, level = features.mean(1), colours.mean(1)
    centred = features - mean[:, None]
    gram = (centred @ centred.T).double()
    gram.diagonal().add_(ridge * gram.diagonal().mean() + torch.finfo(torch.float64).tiny)
    both = (centred @ (colours - level[:, None]).T).double()
    weights = torch.cholesky_solve(both, torch.linalg.cholesky(gram)).T.to(features.dtype)
    return Readout(weights, level - weights @ mean)


class Preview:
    """Approximate pictures of latents on the way from one whose full picture is known.

    The map's cells are given their colours by a :class:`Readout` fitted to the full picture, and enlarged. What that
    leaves out of the full picture is put back as far as a cell's features are still what they were:
    by ``exp(-(d / 0.5)^2)``, d the root of their mean squared change over their variance. So what moves is soft and
    where it is, and what stays is sharp.
    """

    def __init__(self, features: torch.Tensor, image: Pixels) -> None:
        """``features`` ``[C, rows, columns]`` and the full picture ``image`` uint8 ``[H, W, 3]`` of the same latent."""
        height, width = image.shape[:2]
        rows, columns = features.shape[1:]
        cells = cv2.resize(image.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
        colours = torch.from_numpy(cells).to(features).permute(2, 0, 1)
        self.readout = fit_readout(features.flatten(1), colours.flatten(1))
        self._features = features
        self._variance = features.flatten(1).var(1).mean()
        self._full = (width, height)
        shrink = min(1.0, DETAIL / max(width, height))
        self._size = (round(width * shrink), round(height * shrink))
        small = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        self._detail = small - cv2.resize(self.readout(features), self._size, interpolation=cv2.INTER_CUBIC)

    def picture(self, features: torch.Tensor) -> Pixels:
        """About the picture uint8 ``[H, W, 3]`` of the latent whose map is ``features`` ``[C, rows, columns]``."""
        change = (features - self._features).square_().mean(0) / (self._variance * CHANGED**2)
        same = torch.exp(-change).cpu().numpy()
        kept = cv2.resize(same, self._size, interpolation=cv2.INTER_LINEAR)
        drawn = cv2.resize(self.readout(features), self._size, interpolation=cv2.INTER_CUBIC)
        drawn += kept[..., None] * self._detail
        small = np.clip(drawn + 0.5, 0, 255).astype(np.uint8)
        return np.asarray(cv2.resize(small, self._full, interpolation=cv2.INTER_LINEAR))
