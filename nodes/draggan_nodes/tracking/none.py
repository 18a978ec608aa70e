"""No tracking at all, to see what tracking is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from draggan_nodes.tracking.base import Found, Points, Tracker
from draggan_nodes.tracking.level import Array, Level
from draggan_runtime.node import Need


class NoTracker(Tracker):
    """Assumes that each handle moved as asked: one px at 512 toward its target per step.

    Reads no features. Takes the parameters every tracker has, so that it can stand in for any.
    """

    @classmethod
    def needs(cls, params: Any) -> Mapping[str, Need]:
        return {}

    def remember(self, level: Level, positions: Array) -> torch.Tensor:
        return torch.zeros(len(positions), 0)

    def find(self, level: Level, points: Points) -> Found:
        way = points.targets - points.positions
        distance = np.linalg.norm(way, axis=1, keepdims=True)
        moved = points.positions + way * np.minimum(1, level.scale / np.maximum(distance, 1e-12))
        return Found(moved, np.ones(len(moved)))
