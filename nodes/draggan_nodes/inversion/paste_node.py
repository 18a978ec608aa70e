"""The photo with its edited piece back in place, as a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from draggan_nodes.inversion.alignment import Placement
from draggan_nodes.inversion.paste import paste
from draggan_runtime.messages import Frame, LatentRequest, Placed
from draggan_runtime.node import Node, Turn, event
from draggan_runtime.pictures import Pixels


@dataclass
class PasteState:
    """A session's photo, uint8 RGB ``[H, W, 3]``, and where its picture belongs; None if it has none."""

    photo: Pixels | None = None
    placed: Placed | None = None


class Paste(Node):
    """Of each picture on ``frame`` the photo that it was made from, with what was edited pasted in, on ``photo``.

    Nothing, while there is no photo: another picture on ``request`` takes it away, one with a ``placement`` leaves it
    or brings its own, for undoing and reopening ask for those.
    """

    State = PasteState
    inputs = {"request": event(LatentRequest), "placed": event(Placed), "frame": event(Frame)}
    outputs = {"photo": Frame}

    def step(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            with turn.alone():
                self._step(turn)

    def _step(self, turn: Turn) -> None:
        state: PasteState = turn.state
        if "request" in turn.inputs:
            request: LatentRequest = turn["request"]
            if request.photo is not None or request.placement is None:
                state.photo, state.placed = request.photo, None  # type: ignore[assignment]
        elif "placed" in turn.inputs:
            state.placed = turn["placed"]
        elif state.photo is not None and state.placed is not None and not turn["frame"].preview:
            image = _paste(state.photo, state.placed, turn["frame"].image)
            turn.emit("photo", Frame(session=turn.session, step=turn["frame"].step, image=image))

    def snapshot(self, state: PasteState) -> dict[str, Any]:
        """Nothing: the session keeps its photo."""
        return {}

    def restore(self, data: Mapping[str, Any]) -> PasteState:
        return PasteState()


def _paste(photo: Pixels, placed: Placed, edited: Any) -> Pixels:
    first, second = np.asarray(placed.matrix).tolist()
    picture = np.asarray(placed.picture)
    height, width = picture.shape[:2]
    return paste(photo, np.asarray(edited), picture, Placement((tuple(first), tuple(second)), (width, height)))
