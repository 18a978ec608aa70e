"""A hand that follows a script: plays an edit file, for tests, batches and machines without a screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import Field

from draggan_nodes.capture.edit import Edit, load_edit, point_pairs
from draggan_nodes.capture.ports import INPUTS, OUTPUTS
from draggan_runtime.messages import Command, Goal, LatentRequest, Mask, Progress
from draggan_runtime.node import Node, NodeParams, Turn
from draggan_runtime.pictures import load_mask


class ScriptParams(NodeParams):
    """Which edit is played, and what its points and masks must fit."""

    edit: str = Field("", description="path of the edit file (YAML or JSON); empty: do nothing")
    size: tuple[int, int] | None = Field(None, description="W, H of the full output, to check points and masks by")


@dataclass
class ScriptState:
    """Which drag is next, whether one is under way, and what had been heard of before it started."""

    next_drag: int = 0
    next_id: int = 0
    dragging: bool = False
    finished: bool = False
    heard: Progress | None = None


class ScriptedCapture(Node):
    """Plays the edit file ``edit``: asks for its picture, sets points and mask, starts the drag, and at its
    end plays the next one, then quits. A drag that failed or was cancelled ends the edit.
    """

    Params = ScriptParams
    State = ScriptState
    inputs = INPUTS
    outputs = OUTPUTS
    fixed = frozenset({"edit"})
    polls = True

    @classmethod
    def prepare(cls, params: Any) -> None:
        """Reads everything the edit names. Raises UserError before anything starts."""
        if not params.edit:
            return
        for number, drag in enumerate(load_edit(params.edit).all_drags):
            point_pairs(drag.points, 0, params.size, f"{params.edit}, drag {number + 1}")
            if drag.mask:
                load_mask(drag.mask, params.size)

    def configure(self) -> None:
        self.prepare(self.params)
        self._edit: Edit | None = load_edit(self.params.edit) if self.params.edit else None

    def snapshot(self, state: Any) -> dict[str, Any]:
        """Where in the edit it is."""
        return {**asdict(state), "heard": None}

    def restore(self, data: Mapping[str, Any]) -> ScriptState:
        return ScriptState(**data)

    def poll(self, turn: Turn) -> None:
        state: ScriptState = turn.state
        if self._edit is None or state.finished:
            return
        progress: Progress | None = turn.get("progress")
        if state.dragging:
            if progress is None or progress is state.heard or progress.stopped is None:
                return
            state.dragging = False
            if progress.stopped in ("failed", "cancelled"):
                state.next_drag = len(self._edit.all_drags)
        if state.next_drag == len(self._edit.all_drags):
            state.finished = True
            turn.emit("command", Command(session=turn.session, step=turn.step, verb="quit"))
            return
        self._play(turn, self._edit)
        state.dragging, state.heard = True, progress

    def _play(self, turn: Turn, edit: Edit) -> None:
        state: ScriptState = turn.state
        session, step = turn.session, turn.step
        drag = edit.all_drags[state.next_drag]
        if state.next_drag == 0 and edit.seed is not None:
            psi = edit.truncation_psi
            turn.emit("request", LatentRequest(session=session, step=step, seed=edit.seed, truncation_psi=psi))
        if drag.mask:
            mask = load_mask(drag.mask, self.params.size)
            turn.emit("mask", Mask(session=session, step=step, movable=mask))
        pairs = point_pairs(drag.points, state.next_id)
        turn.emit("goal", Goal(session=session, step=step, points=pairs))
        turn.emit("command", Command(session=session, step=step, verb="start"))
        state.next_drag += 1
        state.next_id += len(pairs)
