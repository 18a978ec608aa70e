"""What all trackers share: which points there are, what is remembered of each, and the asking for boxes.

A new tracker is one file. It says how a point is remembered (:meth:`Tracker.remember`, by default its feature
vector) and how it is found again::

    class MyTracker(Tracker):
        def find(self, level: Level, points: Points) -> Found:
            window = level.inside(points.positions[:, None] + OFFSETS * level.scale)
            values = level.sample(window)  # [P, K, C]
            ...
            return Found(positions, confidence)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from draggan_nodes.tracking.level import Array, Level, NotCoveredError
from draggan_runtime.messages import XY, Features, Goal, Handles, NeedBoxes, PointPair
from draggan_runtime.node import Need, Node, NodeParams, Turn, latched, sync


@dataclass(frozen=True)
class Points:
    """The P points to find.

    ``positions`` ``[P, 2]`` where they were a step before, ``targets`` ``[P, 2]`` where they should go, px of
    the full output; ``templates`` ``[P, ...]`` what :meth:`Tracker.remember` made of each.
    """

    positions: Array
    targets: Array
    templates: torch.Tensor


@dataclass(frozen=True)
class Found:
    """Where the points are now: ``positions`` ``[P, 2]`` px, ``confidence`` ``[P]`` in [0, 1].

    ``templates`` ``[P, ...]`` replace what was remembered, for trackers that adapt.
    """

    positions: Array
    confidence: Array
    templates: torch.Tensor | None = None


@dataclass(frozen=True)
class Track:
    """One point: where the user put it, where it is, how sure that is, and its template.

    ``template`` None: another tracker found it there, and what this one remembers of it is still to be seen.
    """

    handle: XY
    position: XY
    confidence: float
    template: torch.Tensor | None


@dataclass
class Tracks:
    """A session's points by id: ``now``, at ``step``, and ``before``, one step earlier.

    Each step is tracked from ``before``, so that seeing a step again gives the same answer.
    """

    step: int = -1
    before: dict[int, Track] = field(default_factory=dict)
    now: dict[int, Track] = field(default_factory=dict)


class TrackerParams(NodeParams):
    """Parameters every tracker has."""

    level: str = Field("64", description="feature level to read; 'rgb' is the picture itself")
    radius: float = Field(
        12.0, gt=0, le=128, description="r2: how far from its last place a point is sought, px at 512"
    )


class Tracker(Node):
    """Base of all trackers (DragGAN, section 3.3)."""

    Params: ClassVar[type[NodeParams]] = TrackerParams
    State = Tracks
    inputs: ClassVar = {"features": sync(Features), "goal": latched(Goal)}
    outputs: ClassVar = {"handles": Handles, "boxes": NeedBoxes}
    threads = 1

    @classmethod
    def needs(cls, params: Any) -> Mapping[str, Need]:
        return {"features": Need(params.level, params.radius)}

    def remember(self, level: Level, positions: Array) -> torch.Tensor:
        """Templates ``[P, ...]`` of points seen for the first time, at ``positions`` ``[P, 2]`` px.

        By default the bilinear feature vectors ``[P, C]``.
        """
        return level.sample(positions[:, None])[:, 0]

    def find(self, level: Level, points: Points) -> Found:
        """Find the points again.

        May read ``level`` anywhere: what no box holds is asked for, and this runs again.
        """
        raise NotImplementedError

    def step(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            with turn.alone():
                self._track_or_ask(turn)

    def _track_or_ask(self, turn: Turn) -> None:
        try:
            self._track(turn)
        except NotCoveredError as missing:
            ask = NeedBoxes(session=turn.session, step=turn.step, level=self.params.level, regions=missing.regions)
            turn.emit("boxes", ask)

    def _track(self, turn: Turn) -> None:
        features: Features = turn["features"]
        tracks: Tracks = turn.state
        if features.reference:
            tracks.before = {}
        elif features.step != tracks.step:
            tracks.before = tracks.now
        tracks.step = features.step

        goal: Goal | None = turn.get("goal")
        points = goal.points if goal is not None else ()
        before = {p.id: t for p in points if (t := tracks.before.get(p.id)) is not None and t.handle == p.handle}
        known = [p for p in points if p.id in before and before[p.id].template is not None]
        old = {p.id for p in known}
        new = [p for p in points if p.id not in old]
        level = Level(features, self.params.level)
        tracks.now = self._begin(level, new, before) | self._follow(level, known, before)
        handles = Handles(
            session=turn.session,
            step=turn.step,
            size=features.size,
            positions={p.id: tracks.now[p.id].position for p in points},
            confidence={p.id: tracks.now[p.id].confidence for p in points},
        )
        turn.emit("handles", handles)

    def _begin(self, level: Level, points: Sequence[PointPair], before: Mapping[int, Track]) -> dict[int, Track]:
        if not points:
            return {}
        places = [before[p.id].position if p.id in before else p.handle for p in points]
        templates = self.remember(level, np.array(places, dtype=np.float64))
        return {p.id: Track(p.handle, at, 1.0, t) for p, at, t in zip(points, places, templates, strict=True)}

    def _follow(self, level: Level, points: Sequence[PointPair], before: Mapping[int, Track]) -> dict[int, Track]:
        if not points:
            return {}
        known = [t for p in points if (t := before[p.id].template) is not None]
        sought = Points(
            np.array([before[p.id].position for p in points], dtype=np.float64),
            np.array([p.target for p in points], dtype=np.float64),
            torch.stack(known),
        )
        found = self.find(level, sought)
        # Where they stay, the same objects, so that nobody takes them for changed.
        templates = known if found.templates is None else found.templates
        rows = zip(points, found.positions.tolist(), found.confidence.tolist(), templates, strict=True)
        return {p.id: Track(p.handle, (x, y), sure, template) for p, (x, y), sure, template in rows}

    def take_over(self, other: Node, state: Any) -> Tracks:
        """The points where the other tracker has them, each to be remembered anew."""
        if not isinstance(state, Tracks):
            state = super().take_over(other, state)
        there = {id: replace(track, template=None) for id, track in state.now.items()}
        return Tracks(state.step, there, there)

    def snapshot(self, state: Tracks) -> dict[str, Any]:
        def plain(tracks: Mapping[int, Track]) -> dict[int, dict[str, Any]]:
            return {id: dict(vars(t)) for id, t in tracks.items()}

        return {"step": state.step, "before": plain(state.before), "now": plain(state.now)}

    def restore(self, data: Mapping[str, Any]) -> Tracks:
        def tracks(plain: Mapping[int, Mapping[str, Any]]) -> dict[int, Track]:
            return {id: Track(**{**t, "template": template(t["template"])}) for id, t in plain.items()}

        def template(values: Any) -> torch.Tensor | None:
            return None if values is None else torch.as_tensor(values)

        return Tracks(data["step"], tracks(data["before"]), tracks(data["now"]))
