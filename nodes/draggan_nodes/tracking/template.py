"""A tracker whose templates adapt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from draggan_nodes.tracking.base import Found, Points, Tracker
from draggan_nodes.tracking.level import Array, Level
from draggan_nodes.tracking.nearest import square
from draggan_runtime.box_set import bounds
from draggan_runtime.node import Need

#: The places of the patch that is remembered, px at 512: the point, and to each side of it.
REACH = 12.0
PATCH = np.array([(0, 0), (REACH, 0), (-REACH, 0), (0, REACH), (0, -REACH)])
#: The likeness below which a point is lost, and the most that a template takes of what was found.
LOST, RATE = 0.5, 0.1


class TemplateTracker(Tracker):
    """Finds a patch of features by L1 distance, as the paper finds one vector, and lets its template follow slowly.

    After FreeDrag's adaptive templates (Ling et al. 2023, "FreeDrag: Feature Dragging for Reliable Point-based Image
    Editing"): the better the match, the more of it a weighted mean takes into the template. A lost point keeps its
    template and stays, until it is found again. Confidence is the cosine similarity of template and find.
    """

    @classmethod
    def needs(cls, params: Any) -> Mapping[str, Need]:
        return {"features": Need(params.level, params.radius + REACH)}

    def remember(self, level: Level, positions: Array) -> torch.Tensor:
        return level.sample(level.inside(positions[:, None] + PATCH * level.scale))

    def find(self, level: Level, points: Points) -> Found:
        reach = self.params.radius * level.scale
        low, high = (level.inside(points.positions + way)[:, None] for way in (-reach, reach))
        around = level.inside(points.positions[:, None] + PATCH * level.scale * (1 + self.params.radius / REACH))
        level.covering(*((x0, y0, x1, y1) for x0, y0, x1, y1 in bounds(around).tolist()))  # all that is read, at once
        centre, row = points.positions, np.arange(len(points.positions))
        for half_width, spacing in (self.params.radius, 2.0), (2.0, 1 / 2), (1 / 2, 1 / 8):
            window = (centre[:, None] + square(half_width, spacing) * level.scale).clip(low, high)
            places = level.inside(window[:, None] + PATCH[:, None] * level.scale)  # [P, 5, K, 2]
            distances = level.distances(places.reshape(-1, *window.shape[1:]), points.templates.flatten(0, 1))
            best = distances.view(len(window), len(PATCH), -1).sum(dim=1).argmin(dim=1)
            centre = window[row, best.cpu().numpy()]
        found, old = self.remember(level, centre), points.templates
        old = old.to(found)
        likeness = torch.cosine_similarity(found.flatten(1), old.flatten(1), dim=1).clamp(0, 1)
        share = RATE * ((likeness - LOST) / (1 - LOST)).clamp_min(0)
        templates = old.lerp(found, share[:, None, None])
        confidence = likeness.cpu().double().numpy()
        positions = np.where(confidence[:, None] >= LOST, centre, points.positions)
        return Found(positions, confidence, templates)
