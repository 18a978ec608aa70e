"""What the window says of the session, in words."""

from __future__ import annotations

from collections.abc import Mapping

from draggan_runtime.messages import XY, Goal, Inverting, PointPair, Progress

_STATES = {
    None: "dragging",
    "reached": "arrived",
    "max_steps": "stopped at the step limit",
    "cancelled": "stopped",
    "out_of_reach": "out of reach, this is the nearest it came",
    "lost": "stopped: lost the point",
    "failed": "failed",
}
_SAME = 1e-3  # px
#: Confidence below which a handle is shown as unsure. The default preset gives a drag up below 0.4.
_SURE = 0.6


def headline(progress: Progress | None, goal: Goal | None, *, drawing: bool = False) -> str:
    """What the session does: dragging, arrived, failed and why, or ready with how many points.

    ``drawing``: the picture of the last step is not there yet.
    """
    if progress is None:
        count = len(goal.points) if goal else 0
        return f"ready, {count or 'no'} point{'' if count == 1 else 's'}"
    state = _STATES[progress.stopped]
    if progress.failure is not None:
        return f"{state}: {progress.failure}"
    return f"{state}, drawing the picture" if drawing and progress.stopped else state


def searching(inverting: Inverting | None) -> bool:
    """A photo's latent is being looked for."""
    return inverting is not None and not inverting.finished


def search_headline(inverting: Inverting) -> str:
    """How far the search for a photo's latent is."""
    return f"photo: step {inverting.done} of {inverting.of}"


def search_figures(inverting: Inverting) -> str:
    """How unlike the photo the best picture so far is."""
    return f"{inverting.distance:.3f} from the photo, by {inverting.by}"


def figures(progress: Progress | None, step_size: float | None = None) -> str:
    """Steps, steps per second, px left of the farthest handle, the lowest confidence, and the step size."""
    parts = []
    if progress is not None and progress.failure is None:
        steps = progress.drag_steps
        parts += [f"{steps} step{'s' * (steps != 1)}", f"{progress.steps_per_second:.1f} steps/s"]
        if progress.distances:
            parts.append(f"{max(progress.distances.values()):.1f} px left")
        if progress.confidence:
            parts.append(f"confidence {min(progress.confidence.values()):.2f}")
    if step_size is not None:
        parts.append(f"step size {step_size:g}")
    return "    ".join(parts)


def unsure(progress: Progress | None) -> frozenset[int]:
    """Ids of the handles that the tracker may be about to lose."""
    confidence = progress.confidence if progress is not None else {}
    return frozenset(id for id, sure in confidence.items() if sure < _SURE)


def still_true(ended: Progress, at_end: Goal | None, goal: Goal | None) -> bool:
    """True while what a drag's last progress says is about ``goal``.

    That is: while the points are those it ended with (``at_end``), or these with their handles where it left them.
    """
    if goal is at_end or ended.failure is not None:
        return True
    if goal is None or at_end is None:
        return False
    before: Mapping[int, PointPair] = {p.id: p for p in at_end.points}
    return {p.id for p in goal.points} == before.keys() and all(
        _same(p.target, before[p.id].target) and _same(p.handle, ended.handles.get(p.id, p.handle)) for p in goal.points
    )


def _same(a: XY, b: XY) -> bool:
    return abs(a[0] - b[0]) < _SAME and abs(a[1] - b[1]) < _SAME
