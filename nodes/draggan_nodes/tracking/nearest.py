"""The paper's tracker (DragGAN, section 3.3, equation 2)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch

from draggan_nodes.tracking.base import Found, Points, Tracker
from draggan_nodes.tracking.level import Array, Level


@cache
def square(half_width: float, spacing: float) -> Array:
    """A square grid ``[K, 2]`` of offsets, from the centre outwards: of equal matches the nearest wins."""
    n = int(half_width / spacing)
    y, x = np.mgrid[-n : n + 1, -n : n + 1].reshape(2, -1) * spacing
    order = np.argsort(x**2 + y**2, kind="stable")
    return np.stack([x, y], axis=1)[order]


def seek(
    level: Level, start: Array, templates: torch.Tensor, radius: float, grids: Sequence[tuple[float, float]]
) -> Array:
    """Where the features are nearest to each template, by L1 distance, at most ``radius`` px at 512 from ``start``.

    ``start``: ``[P, 2]`` px; ``templates``: ``[P, C]``. ``grids``: half widths and spacings, px at 512, each around
    what was best on the one before. Returns ``[P, 2]`` px.
    """
    low, high = (level.inside(start + way)[:, None] for way in (-radius * level.scale, radius * level.scale))
    centre, row = start, np.arange(len(start))
    for half_width, spacing in grids:
        window = (centre[:, None] + square(half_width, spacing) * level.scale).clip(low, high)
        best = level.distances(window, templates).argmin(dim=1)
        centre = window[row, best.cpu().numpy()]
    return centre


class NearestTracker(Tracker):
    """A point is where the features are nearest to its template, by L1 distance, within r2 of its last place.

    Sought on a grid of one px at 512, then around the best on grids of 1/4 and 1/16 px. Confidence is the
    cosine similarity of the template and what was found, 0 if negative.
    """

    def find(self, level: Level, points: Points) -> Found:
        grids = (self.params.radius, 1.0), (1.0, 1 / 4), (1 / 4, 1 / 16)
        centre = seek(level, points.positions, points.templates, self.params.radius, grids)
        values = level.sample(centre[:, None])[:, 0]
        similarity = torch.cosine_similarity(values, points.templates.to(values), dim=1)
        return Found(centre, similarity.clamp(0, 1).cpu().double().numpy())
