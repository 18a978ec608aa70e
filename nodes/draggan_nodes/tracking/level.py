"""How a tracker reads a feature level, without knowing in which boxes it came."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from draggan_runtime.box_set import BoxSet, Reads, bounds
from draggan_runtime.box_table import Table
from draggan_runtime.boxes import Region
from draggan_runtime.messages import Box, Features

Array = np.ndarray[Any, np.dtype[np.float64]]

#: Values compared at once on a CPU: more of them leave its cache.
AT_ONCE = 1 << 19


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
        self._boxes = BoxSet(features.levels.get(name, ()))
        self._table: Table | None = None
        self.size = features.size
        self.scale = features.size[1] / 512

    def inside(self, positions: Array) -> Array:
        """``positions`` ``[..., 2]`` px, moved into the picture."""
        return positions.clip(0, np.array(self.size, dtype=np.float64) - 1)

    def covering(self, *regions: Region) -> list[Box]:
        """For each px region (x0, y0, x1, y1) a box that holds all of it; for trackers that read cells."""
        return [self._boxes.boxes[index] for index in self._covering(np.array(regions))]

    def sample(self, positions: Array) -> torch.Tensor:
        """Bilinear values ``[P, K, C]`` at ``positions`` ``[P, K, 2]`` px: K places for each of P points."""
        table, reads = self._read(positions)
        return table.read(reads)

    def distances(self, positions: Array, templates: torch.Tensor) -> torch.Tensor:
        """L1 distances ``[P, K]`` of the values at ``positions`` ``[P, K, 2]`` px from ``templates`` ``[P, C]``."""
        table, reads = self._read(positions)
        templates = templates.to(table.rows)[:, None]
        at_once = AT_ONCE if templates.is_cpu else 128 * AT_ONCE
        some = max(1, at_once // (positions.shape[1] * templates.shape[-1]))
        parts = (slice(i, i + some) for i in range(0, len(positions), some))
        return torch.cat([table.read(reads[part]).sub_(templates[part]).abs_().sum(dim=2) for part in parts])

    def _read(self, positions: Array) -> tuple[Table, Reads]:
        reads = self._boxes.reads(self._covering(bounds(positions)), positions)
        # Searches narrow down, so the cells of the first one mostly serve those that follow.
        if self._table is None or not self._table.holds(reads):
            self._table = Table(self._boxes, reads)
        return self._table, reads

    def _covering(self, regions: Array) -> Array:
        found = self._boxes.covering(regions)
        missing = regions[found < 0].tolist()
        if missing:
            raise NotCoveredError(tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in missing))
        return found
