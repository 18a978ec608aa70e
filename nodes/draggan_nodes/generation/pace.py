"""How large a step of the optimiser may be, by what is known of the points."""

from __future__ import annotations

import math

from draggan_runtime.messages import Goal, Handles

#: The least of the learning rate that is left near the targets.
SLOWEST = 0.3


def pace(goal: Goal | None, handles: Handles | None, near: float, sure: float) -> float:
    """The share of the learning rate to step with, above 0 and at most 1.

    ``near``: px at 512; handles nearer than this to their targets, in the mean, go slower by as much, down to
    ``SLOWEST``, so that they arrive without passing by. ``sure``: where trackers are less confident than this, in the
    mean, the step is smaller by as much. 0: never.
    """
    if goal is None or handles is None:
        return 1.0
    found = [p for p in goal.points if p.id in handles.positions]
    if not found:
        return 1.0
    share = 1.0
    if near:
        left = sum(math.dist(handles.positions[p.id], p.target) for p in found) / len(found) * 512 / handles.size[1]
        share = max(SLOWEST, min(1.0, left / near))
    if sure:
        confidence = sum(handles.confidence.get(p.id, 1.0) for p in found) / len(found)
        share *= max(0.01, min(1.0, confidence / sure))
    return share
