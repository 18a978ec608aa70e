"""A tracker that asks a point's neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from pydantic import Field

from draggan_nodes.tracking.base import Found, Points, Tracker, TrackerParams
from draggan_nodes.tracking.level import Array, Level
from draggan_nodes.tracking.nearest import seek, square
from draggan_runtime.box_set import bounds
from draggan_runtime.node import Need

#: The likeness below which a point is lost, and stays where it was until it is found again.
LOST = 0.4


class VotesParams(TrackerParams):
    """Parameters of the votes; lengths in px at 512."""

    level: str = Field("128", description="feature level to read; 'rgb' is the picture itself")
    around: float = Field(12.0, gt=0, le=64, description="how far around a point its neighbours vote")


@cache
def neighbours(around: float) -> Array:
    """Offsets ``[13, 2]`` of a point and its neighbours: a grid of half ``around``, within a disc; the point first."""
    places = square(around, around / 2)
    inside: Array = places[(places**2).sum(axis=1) <= around**2 * (1 + 1e-9)]
    return inside


class VotesTracker(Tracker):
    """The point and its neighbours are each sought as :class:`NearestTracker` seeks one; it moved as the median did.

    A single feature vector changes as the face turns, and then its best match drifts; neighbours' errors differ, and
    the median, by coordinate, leaves out those that were mistaken or hidden. All are compared with the first picture,
    so that errors do not add up. Sought on grids of 4, 1 and 1/4 px at 512. Confidence is the cosine similarity of
    what was remembered and what is found, all of the vectors as one, 0 if negative; a lost point stays.
    """

    Params = VotesParams

    @classmethod
    def needs(cls, params: Any) -> Mapping[str, Need]:
        return {"features": Need(params.level, params.radius + params.around)}

    def remember(self, level: Level, positions: Array) -> torch.Tensor:
        return level.sample(self._around(level, positions))

    def find(self, level: Level, points: Points) -> Found:
        around = self._around(level, points.positions)  # [P, 13, 2]
        start, templates = around.reshape(-1, 2), points.templates.flatten(0, 1)
        radius, reach = self.params.radius, self.params.radius * level.scale
        read = level.inside(np.concatenate([around - reach, around + reach], axis=1))  # asked for at once, per point
        level.covering(*((x0, y0, x1, y1) for x0, y0, x1, y1 in bounds(read).tolist()))
        found_at = seek(level, start, templates, radius, ((radius, 4.0), (2.0, 1.0), (1 / 2, 1 / 4)))
        way = np.median((found_at - start).reshape(around.shape), axis=1)
        positions = level.inside(points.positions + way)
        found = level.sample(self._around(level, positions))
        likeness = torch.cosine_similarity(found.flatten(1), points.templates.to(found).flatten(1), dim=1)
        confidence = likeness.clamp(0, 1).cpu().double().numpy()
        return Found(np.where(confidence[:, None] >= LOST, positions, points.positions), confidence)

    def _around(self, level: Level, positions: Array) -> Array:
        return level.inside(positions[:, None] + neighbours(self.params.around) * level.scale)
