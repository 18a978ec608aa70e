"""One drag of one session, step by step."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from draggan_runtime.execution.course import Course
from draggan_runtime.messages import (
    XY,
    Begin,
    FeatureGradient,
    Goal,
    Handles,
    Latent,
    NodeFailure,
    Progress,
    Stopped,
)

if TYPE_CHECKING:
    from draggan_runtime.execution.action import DragAction

FEW_POINTS = 5
#: The share of points that may be lost, since the others still tell where the face goes: one of four.
MOST_LOST = 0.25


def arrival_distance(points: int, arrived: float | None, height: int) -> float:
    """Within how many px of the full output a point has arrived: 1 px at 512 for up to 5 points, else 2.

    Paper, sections 3.2 and 4.1.
    """
    at_512 = arrived if arrived is not None else (1.0 if points <= FEW_POINTS else 2.0)
    return at_512 * height / 512


class Run:
    """One drag of one session, step by step: :meth:`begin`, then :meth:`report` and a step in turn.

    Where an interrupted drag goes on, ``drag_steps`` and ``seconds`` are those made before, and ``state`` is what
    :meth:`snapshot` told.
    """

    def __init__(
        self,
        action: DragAction,
        session: str,
        drag_steps: int = 0,
        seconds: float = 0.0,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.action = action
        self.router = action.router
        self.session = session
        self.received = action.received(session)
        self.started = time.monotonic() - seconds
        self.drag_steps = drag_steps
        self.course = Course() if state is None else Course.of(session, state)
        self._targets: dict[int, XY] | None = None

    def snapshot(self) -> dict[str, Any]:
        """What this knows of the steps made, beside their number, as data."""
        return self.course.snapshot()

    @property
    def params(self) -> Any:
        """The drag's parameters, the session's own where it has any."""
        return self.action.tuned.get(self.session, self.action.params)

    @property
    def wanted(self) -> bool:
        """False once every point has been taken away."""
        return bool(self.received["goal"].points)

    def begin(self, resume: bool = False) -> None:
        """Ask for the features of the current latent. ``resume``: of an interrupted drag whose states are restored."""
        latent: Any = self.received.get("latent")
        self.received.pop("handles", None)
        self.received.pop("gradient", None)
        step = latent.step if latent else 0
        self.router.emit(self.action.node_id, "begin", Begin(session=self.session, step=step, resume=resume))
        self.router.settle()

    def gradient(self) -> FeatureGradient:
        """The gradient of this step, to be let through; a step more is counted."""
        self.drag_steps += 1
        gradient: FeatureGradient = self.received.pop("gradient")
        return gradient

    def report(self) -> Progress:
        """How far it is; ``stopped`` is set if it cannot or need not go on.

        A drag that lost its point, or comes no nearer to its targets, goes back to where it was nearest.
        """
        progress = self._progress()
        if progress.stopped in (None, "max_steps", "reached"):
            self.course.see(progress, self.received["handles"].size[1])
        if progress.stopped == "reached" and self._settling():
            progress = replace(progress, stopped=None)
        elif progress.stopped is None and self._gives_up():
            progress = replace(progress, stopped="out_of_reach" if self.course.arrived_at is None else "reached")
            return self._go_back(progress)
        return self._go_back(progress) if progress.stopped == "lost" else progress

    def _settling(self) -> bool:
        """All points have arrived: True if the latent may still settle, where anything was moved."""
        if self.drag_steps == 0 or self.drag_steps >= self.params.max_steps:
            return False
        if self.course.arrived_at is None:
            self.course.arrived_at = self.drag_steps
        settle: int = self.params.settle
        return self.drag_steps < self.course.arrived_at + settle

    def _gives_up(self) -> bool:
        course, settle, patience = self.course, int(self.params.settle), int(self.params.patience)
        if course.arrived_at is not None:  # at the brink, where the prior and the points' pull balance
            return self.drag_steps >= course.arrived_at + 2 * settle
        return patience > 0 and self.drag_steps - course.gained_at >= patience

    def _go_back(self, progress: Progress) -> Progress:
        best = self.course.best
        if best is None or best.w_plus is progress.w_plus or not self.action.can_go_back:
            return progress
        latent: Latent = self.received["latent"]
        back = replace(latent, step=latent.step + 1, values=best.w_plus)
        self.router.emit(self.action.node_id, "latent", back)
        self.router.settle()
        return replace(
            best,
            step=back.step,
            drag_steps=progress.drag_steps,
            seconds=progress.seconds,
            stopped=progress.stopped,
        )

    def _progress(self) -> Progress:
        failure = self._failure()
        latent: Latent | None = self.received.get("latent")
        handles: Handles | None = self.received.get("handles")
        gradient: FeatureGradient | None = self.received.get("gradient")
        goal: Goal | None = self.received.get("goal")
        targets = {p.id: p.target for p in goal.points} if goal else {}
        if self._targets not in (None, targets):
            self.course = Course(gained_at=self.drag_steps)
        self._targets = targets
        positions = handles.positions if handles else {}
        distances = {i: math.dist(xy, targets[i]) for i, xy in positions.items() if i in targets}
        return Progress(
            session=self.session,
            step=latent.step if latent else 0,
            drag_steps=self.drag_steps,
            handles=positions,
            distances=distances,
            confidence=handles.confidence if handles else {},
            loss=gradient.loss if gradient else math.nan,
            w_plus=latent.values if latent else np.empty((0, 0), np.float32),
            seconds=time.monotonic() - self.started,
            stopped=self._stopped(failure, handles, distances),
            failure=failure,
        )

    def _failure(self) -> NodeFailure | None:
        failures = self.router.take_failures(self.session)
        if failures:
            return failures[0]
        latent: Latent | None = self.received.get("latent")
        missing = [port for port in ("latent", "handles", "gradient") if port not in self.received]
        if not missing and latent is not None:
            missing = [p for p in ("handles", "gradient") if self.received[p].step != latent.step]
        if missing:
            return NodeFailure(self.action.node_id, "runtime/drag", self.session, f"no {missing[0]} came for this step")
        return None

    def _stopped(
        self, failure: NodeFailure | None, handles: Handles | None, distances: dict[int, float]
    ) -> Stopped | None:
        params = self.params
        if failure is not None or handles is None:
            return "failed"
        if not distances:
            return "cancelled"
        width, height = handles.size
        inside = all(0 <= x < width and 0 <= y < height for x, y in handles.positions.values())
        unsure = sum(c < params.min_confidence for c in handles.confidence.values())
        if not inside or unsure > MOST_LOST * len(handles.confidence):
            return "lost"
        within = arrival_distance(len(distances), params.arrived, handles.size[1])
        if max(distances.values()) <= within:
            return "reached"
        return "max_steps" if self.drag_steps >= params.max_steps else None
