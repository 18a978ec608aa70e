"""How a tracker reads a feature level, without knowing in which boxes it came."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from draggan_runtime.boxes import Region, bounds, covering, sample
from draggan_runtime.messages import Box, Features

Array = np.ndarray[Any, np.dtype[np.float64]]


class NotCoveredError(Exception):
    """What was read lies outside every box: the base tracker asks for ``regions`` and tries again."""

    def __init__(self, regions: tuple[Region, ...]) -> None:
        super().__init__(f"{len(regions)} regions outside every box")
        self.regions = regions


class Level:
    """One level of a step's features, read at pixel positions.

    ``size`` (W, H) px of the full output; ``scale`` px of it per px at 512.
    """

    def __init__(self, features: Features, name: str) -> None:
        self._boxes = features.levels.get(name, ())
        self.size = features.size
        self.scale = features.size[1] / 512

    def inside(self, positions: Array) -> Array:
        """``positions`` ``[..., 2]`` px, moved into the picture."""
        return positions.clip(0, np.array(self.size, dtype=np.float64) - 1)

    def covering(self, *regions: Region) -> list[Box]:
        """For each px region (x0, y0, x1, y1) a box that holds all of it; for trackers that read cells."""
        found = [(region, covering(self._boxes, region)) for region in regions]
        missing = tuple(region for region, index in found if index is None)
        if missing:
            raise NotCoveredError(missing)
        return [self._boxes[index] for _, index in found if index is not None]

    def sample(self, positions: Array) -> torch.Tensor:
        """Bilinear values ``[P, K, C]`` at ``positions`` ``[P, K, 2]`` px: K places for each of P points."""
        boxes = self.covering(*(bounds(places) for places in positions))
        return torch.stack([sample(box, places) for box, places in zip(boxes, positions, strict=True)])
