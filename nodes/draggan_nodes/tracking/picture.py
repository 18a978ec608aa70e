"""What trackers share that follow a point in the picture itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from pydantic import Field

from draggan_nodes.tracking.base import Found, Points, Tracker
from draggan_nodes.tracking.crops import TAILS, Grey, grey_crops
from draggan_nodes.tracking.level import Array, Level
from draggan_runtime.node import Need, NodeParams

#: How much farther than a crop the needs reach, px at 512: the next crop is taken where the point has gone.
ROOM = 2.0
#: Below this confidence a point stays, and what is remembered of it stays too.
LOST = 0.4


class PictureParams(NodeParams):
    """Parameters of these trackers. They have no ``level``, so that a preset's for other trackers is left out."""

    window: int = Field(24, ge=16, le=128, description="half the side of the crop around a point, px at 512")
    blur: float = Field(2.5, gt=0, le=8, description="standard deviation of the blur, px at 512")

    @property
    def level(self) -> str:
        return "rgb"


class PictureTracker(Tracker):
    """Follows a point from each picture to the next.

    Pictures are blurred, because a generator's noise is fixed to the pixels: the fine texture of skin stays where it
    is while the face moves, and would hold the point there. Crops of the first picture would not drift, but soon
    serve no longer: when a drag has changed the face, the point is lost.

    Its template is a crop of the picture before, uint8 ``[n, n]``, grey, blurred, one cell a px at 512, the point in
    the middle. Confidence is exp(-e^2) times the correlation of the patches at the point before and now; e px at 512
    by which the way there and back misses the start (Kalal et al. 2010, "Forward-Backward Error"). A lost point stays
    where it was, and is sought with its last good crop.
    """

    Params: ClassVar[type[NodeParams]] = PictureParams

    @classmethod
    def needs(cls, params: Any) -> Mapping[str, Need]:
        return {"features": Need(params.level, params.window + TAILS * params.blur + ROOM)}

    def remember(self, level: Level, positions: Array) -> torch.Tensor:
        return torch.from_numpy(self._crops(level, positions, self.params.window))

    def find(self, level: Level, points: Points) -> Found:
        half = points.templates.shape[-1] // 2
        before = points.templates.cpu().numpy()
        now = self._crops(level, points.positions, half)
        followed = [self._trust(a, b) for a, b in zip(before, now, strict=True)]
        ways, confidence = np.array([way for way, _ in followed]), np.array([sure for _, sure in followed])
        found = confidence >= LOST
        moved = level.inside(points.positions + ways * level.scale)
        positions = np.where(found[:, None], moved, points.positions)
        templates = np.where(found[:, None, None], self._crops(level, positions, half), before)
        return Found(positions, confidence, torch.from_numpy(templates))

    def _trust(self, before: Grey, now: Grey) -> tuple[Array, float]:
        way, miss = self.follow(before, now)
        if not (np.isfinite(miss) and np.abs(way).max() <= len(before) / 4):
            return np.zeros(2), 0.0
        middle, side = (len(before) - 1) / 2, len(before) // 2
        was = cv2.getRectSubPix(before, (side, side), (middle, middle))
        is_now = cv2.getRectSubPix(now, (side, side), (middle + way[0], middle + way[1]))
        alike = float(cv2.matchTemplate(is_now, was, cv2.TM_CCOEFF_NORMED)[0, 0])
        return way, float(np.exp(-(miss**2)) * np.clip(alike, 0, 1))

    def follow(self, before: Grey, now: Grey) -> tuple[Array, float]:
        """Where the middle of ``before`` has gone in ``now``: its way ``[2]`` (x, y), and by how much the way back
        from there misses the middle, inf if there is none; cells."""
        raise NotImplementedError

    def _crops(self, level: Level, positions: Array, half: int) -> Grey:
        return grey_crops(level, positions, half, self.params.blur)
