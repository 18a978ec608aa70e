"""Points that no tracker holds well, found before they are dragged.

Handles on texture-less ground drift (DragGAN, "Limitations"; it advises to choose points rich in texture). What counts
is what a tracker reads, the features: if those a little way off are as good as the point's own, the point slides there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from pydantic import ConfigDict, Field

from draggan_nodes.tracking.level import Array, Level
from draggan_runtime.messages import XY, Features, Goal, Notice, PointPair
from draggan_runtime.node import Need, Node, NodeParams, Turn, event, latched

_ANGLES = np.arange(16) * np.pi / 8
_RING = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def distinctness(level: Level, positions: Array, radius: float) -> Array:
    """How well each of ``positions`` ``[P, 2]`` px can be told from its surroundings: ``[P]``, 0 = not at all.

    The least L1 distance of its features from those on the ring of ``radius`` px (at 512) around it, so that an edge,
    along which a point slides, counts as little as plain ground; in units of the map's median distance between cells
    half a map apart. Reads the whole map.
    """
    ring = positions[:, None] + radius * level.scale * _RING
    inside = level.inside(ring)
    distances = level.distances(inside, level.sample(positions[:, None])[:, 0]).cpu().double().numpy()
    distances[(ring != inside).any(axis=2)] = np.inf
    least: Array = distances.min(axis=1) / _typical(level)
    return least


def _typical(level: Level) -> float:
    width, height = level.size
    [box] = level.covering((0.0, 0.0, width - 1.0, height - 1.0))
    values = torch.as_tensor(box.values)
    shift = values.shape[1] // 2, values.shape[2] // 2
    apart = (values - values.roll(shift, dims=(1, 2))).abs().sum(dim=0).median()
    return max(float(apart), 1e-12)


class TextureParams(NodeParams):
    model_config = ConfigDict(coerce_numbers_to_str=True)  # texture.level=64

    level: str = Field("64", description="feature level that points are judged by")
    radius: float = Field(8.0, gt=0, le=128, description="how far off they are compared, px at 512")
    least: float = Field(
        0.14, ge=0, description="how distinct a point must be, 1 being as different as places far apart; 0: never warn"
    )


@dataclass
class Judged:
    """The pairs that were there when points were last judged, by id, and the step of that latent."""

    step: int = -1
    pairs: dict[int, PointPair] = field(default_factory=dict)


class Texture(Node):
    """Says in one sentence which new points may drift. ``features``: whole maps, of when a goal came and no drag ran.

    A point is judged when it is new or the user has moved its handle; not again where a drag has carried it.
    """

    Params = TextureParams
    State = Judged
    inputs = {"features": event(Features, optional=True), "goal": latched(Goal)}
    outputs = {"notice": Notice}
    threads = 1

    @classmethod
    def needs(cls, params: Any) -> Mapping[str, Need]:
        return {"features": Need(params.level, params.radius)} if params.least else {}

    def step(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            with turn.alone():
                self._judge(turn)

    def _judge(self, turn: Turn) -> None:
        features: Features = turn["features"]
        goal: Goal | None = turn.get("goal")
        new = self._new(turn.state, features.step, goal.points if goal is not None else ())
        if not new or not self.params.least or self.params.level not in features.levels:
            return
        level = Level(features, self.params.level)
        handles = np.array([pair.handle for pair in new], dtype=np.float64)
        found = distinctness(level, handles, self.params.radius)
        if plain := [pair.handle for pair, d in zip(new, found, strict=True) if d < self.params.least]:
            turn.emit("notice", Notice(session=turn.session, step=turn.step, text=warning(plain), problem=True))

    def _new(self, judged: Judged, step: int, pairs: Sequence[PointPair]) -> list[PointPair]:
        def known(pair: PointPair) -> bool:
            before = judged.pairs.get(pair.id)
            carried = before is not None and before.target == pair.target and judged.step < step
            return before is not None and (before.handle == pair.handle or carried)

        if step < judged.step:  # of another picture
            judged.pairs = {}
        new = [pair for pair in pairs if not known(pair)]
        judged.step, judged.pairs = step, {pair.id: pair for pair in pairs}
        return new

    def snapshot(self, state: Judged) -> dict[str, Any]:
        """Nothing: that something is said twice does no harm."""
        return {}

    def restore(self, data: Mapping[str, Any]) -> Judged:
        return Judged()


def warning(handles: Sequence[XY]) -> str:
    """What is said of points, px, that look like their surroundings."""
    at = "; ".join(f"{x:.0f},{y:.0f}" for x, y in handles)
    if len(handles) == 1:
        return f"the point at {at} looks like its surroundings and may drift: a corner or a mark holds better"
    return f"the points at {at} look like their surroundings and may drift: corners or marks hold better"
