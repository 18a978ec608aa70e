"""The motion supervision node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from draggan_nodes.motion.supervision import (
    Array,
    disc,
    fixed_cells,
    regions_read,
    steps_toward,
    supervise,
    whole_index,
)
from draggan_runtime.box_set import BoxSet
from draggan_runtime.boxes import Region
from draggan_runtime.errors import UserError
from draggan_runtime.messages import FeatureGradient, Features, Goal, Handles, Mask, NeedBoxes
from draggan_runtime.node import Need, Node, NodeParams, Turn, latched, sync

FEW_POINTS = 5


class MotionParams(NodeParams):
    """Parameters of motion supervision; lengths in px at 512."""

    level: str = Field("64", description="feature level the loss reads")
    radius: float = Field(3.0, ge=0, le=64, description="r1: radius of the disc around a handle")
    step: float = Field(1.0, gt=0, le=16, description="length of d, the way asked of a handle per step")
    arrived: float | None = Field(
        None, gt=0, description="a handle this near its target rests; unset: 1 up to 5 points, else 2"
    )
    min_confidence: float = Field(
        0.0, ge=0, le=1, description="a handle that its tracker is less sure of pulls nothing until it is found again"
    )
    mask_weight: float = Field(20.0, ge=0, description="lambda: weight of the mask term; depends on the model")


@dataclass
class Held:
    """What must stay of a session: ``reference`` F0 ``[C, rows, columns]``, None without a mask.

    ``cells``: the mask's array and what :func:`fixed_cells` made of it, since a mask seldom changes.
    """

    reference: torch.Tensor | None = None
    cells: tuple[Any, torch.Tensor] | None = None

    def fixed(self, movable: Any, map_size: tuple[int, int]) -> torch.Tensor:
        """1 - M ``[rows, columns]`` of ``movable`` ``[H, W]``."""
        if self.cells is None or self.cells[0] is not movable or tuple(self.cells[1].shape) != map_size[::-1]:
            self.cells = movable, fixed_cells(torch.as_tensor(movable), map_size)
        return self.cells[1]


class MotionSupervision(Node):
    """Gradient of the motion loss at the handles, and of the mask term if there is a mask (section 3.2)."""

    Params = MotionParams
    State = Held
    inputs: ClassVar = {
        "features": sync(Features),
        "handles": sync(Handles),
        "goal": latched(Goal),
        "mask": latched(Mask, optional=True),
    }
    outputs: ClassVar = {"gradient": FeatureGradient, "boxes": NeedBoxes}
    threads = 1

    @classmethod
    def needs(cls, params: MotionParams) -> Mapping[str, Need]:
        return {"features": Need(params.level, params.radius + params.step, whole_with_mask=True)}

    def step(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            with turn.alone():
                self._supervise(turn)

    def _supervise(self, turn: Turn) -> None:
        params: MotionParams = self.params
        features: Features = turn["features"]
        boxes = features.levels.get(params.level, ())
        width, height = features.size
        scale = height / 512
        positions, targets, confidence = _pairs(turn["handles"], turn.get("goal"))
        arrived = params.arrived or (1.0 if len(positions) <= FEW_POINTS else 2.0)
        steps = steps_toward(positions, targets, params.step * scale, arrived * scale)
        steps[confidence < params.min_confidence] = 0
        offsets = disc(params.radius) * scale

        mask: Mask | None = turn.get("mask")
        movable = None if mask is None else mask.movable
        if features.reference or movable is None:
            turn.state.reference = None
        if movable is None:
            turn.state.cells = None

        regions = regions_read(positions, steps, offsets)
        whole = whole_index(boxes)
        if movable is not None and whole is None:
            missing: tuple[Region, ...] = ((0.0, 0.0, width - 1.0, height - 1.0),)
        else:
            missing = tuple(map(tuple, regions[BoxSet(boxes).covering(regions) < 0].tolist()))
        if missing:
            ask = NeedBoxes(session=turn.session, step=turn.step, level=params.level, regions=missing)
            turn.emit("boxes", ask)
            return

        held = None
        if movable is not None and whole is not None:
            if tuple(movable.shape) != (height, width):
                have = "x".join(str(n) for n in reversed(movable.shape))
                raise UserError(f"the mask is {have}, the picture {width}x{height}: paint it at that size")
            if turn.state.reference is None:
                turn.state.reference = torch.as_tensor(boxes[whole].values).detach().clone()
            held = turn.state.reference, turn.state.fixed(movable, boxes[whole].map_size), params.mask_weight
        loss, gradients = supervise(boxes, positions, steps, offsets, held)
        levels: dict[str, Any] = {params.level: gradients}
        turn.emit("gradient", FeatureGradient(session=turn.session, step=turn.step, levels=levels, loss=loss))

    def snapshot(self, state: Held) -> dict[str, Any]:
        return {"reference": state.reference}

    def restore(self, data: Mapping[str, Any]) -> Held:
        reference = data["reference"]
        return Held(None if reference is None else torch.as_tensor(reference))


def _pairs(handles: Handles, goal: Goal | None) -> tuple[Array, Array, Array]:
    """Positions and targets ``[P, 2]`` and confidence ``[P]`` of the points that are both wanted and tracked."""
    points = [p for p in (goal.points if goal is not None else ()) if p.id in handles.positions]
    pairs = np.array([(handles.positions[p.id], p.target) for p in points], dtype=np.float64).reshape(-1, 2, 2)
    confidence = np.array([handles.confidence.get(p.id, 1.0) for p in points], dtype=np.float64)
    return pairs[:, 0], pairs[:, 1], confidence
