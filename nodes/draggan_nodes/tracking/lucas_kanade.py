"""A tracker by sparse optical flow."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from pydantic import Field

from draggan_nodes.tracking.crops import Grey
from draggan_nodes.tracking.level import Array
from draggan_nodes.tracking.picture import PictureParams, PictureTracker

#: Side of the patch, cells; how often the picture is halved; the least eigenvalue, low because the picture is blurred.
SIDE, HALVED, LEAST = 21, 2, 1e-6
STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.003)


class LucasKanadeParams(PictureParams):
    blur: float = Field(1.5, gt=0, le=8, description="standard deviation of the blur, px at 512")


class LucasKanadeTracker(PictureTracker):
    """A point goes where the patch around it goes, from each picture to the next.

    Pyramidal Lucas-Kanade (Bouguet 2001), OpenCV's.
    """

    Params = LucasKanadeParams

    def follow(self, before: Grey, now: Grey) -> tuple[Array, float]:
        start = np.full((1, 1, 2), len(before) // 2, np.float32)
        there, found = _flow(before, now, start)
        back, found_back = _flow(now, before, there)
        miss = float(np.linalg.norm(back - start)) if found and found_back else np.inf
        return (there - start)[0, 0].astype(np.float64), miss


def _flow(before: Grey, now: Grey, start: Any) -> tuple[Any, bool]:
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before, now, start, None, winSize=(SIDE, SIDE), maxLevel=HALVED, criteria=STOP, minEigThreshold=LEAST
    )
    return there, bool(found[0, 0])
