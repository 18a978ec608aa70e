"""A tracker by dense optical flow."""

from __future__ import annotations

import cv2
import numpy as np

from draggan_nodes.tracking.crops import Grey
from draggan_nodes.tracking.level import Array
from draggan_nodes.tracking.picture import PictureTracker


class FlowTracker(PictureTracker):
    """A point goes where the dense optical flow of the picture goes, from each picture to the next.

    Dense inverse search (Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search"), OpenCV's.
    """

    def follow(self, before: Grey, now: Grey) -> tuple[Array, float]:
        middle = len(before) // 2
        way = _flow(before, now)[middle, middle]
        x, y = (middle + way).clip(0, len(before) - 1)
        back = cv2.remap(_flow(now, before), np.array([[x]]), np.array([[y]]), cv2.INTER_LINEAR)[0, 0]
        return way.astype(np.float64), float(np.linalg.norm(way + back))


def _flow(before: Grey, now: Grey) -> Array:
    """``[n, n, 2]``."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    flow: Array = search.calc(before, now, None)
    return flow
