"""The course of a drag: the nearest it has come, and whether it still comes nearer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from draggan_runtime.messages import Progress

#: By how much the mean distance must have fallen to count as nearer, px at 512.
GAIN = 0.5

_KEPT = ("w_plus", "handles", "distances", "confidence", "loss")


@dataclass
class Course:
    """``best``: the step whose handles were nearest their targets, in the mean; ``now``: it is the last one.

    ``gained``: the mean distance, px, when it last had fallen by ``GAIN``, after ``gained_at`` steps of the drag.
    ``arrived_at``: after how many steps all points had first arrived, None: not yet.
    """

    best: Progress | None = None
    now: bool = False
    gained: float = float("inf")
    gained_at: int = 0
    arrived_at: int | None = None

    def see(self, progress: Progress, height: int) -> None:
        """A step has been made; ``height`` of the picture, px."""
        left = _left(progress)
        self.now = self.best is None or left < _left(self.best)
        if self.now:
            self.best = progress
        if left <= self.gained - GAIN * height / 512:
            self.gained, self.gained_at = left, progress.drag_steps

    def snapshot(self) -> dict[str, Any]:
        """What :meth:`of` needs, as data. A best step that is the last one is seen again where the drag goes on."""
        best = {name: getattr(self.best, name) for name in _KEPT} if self.best and not self.now else None
        return {"best": best, "gained": self.gained, "gained_at": self.gained_at, "arrived_at": self.arrived_at}

    @classmethod
    def of(cls, session: str, data: Mapping[str, Any]) -> Course:
        """The course that :meth:`snapshot` told."""
        best = data["best"] and Progress(session=session, step=0, drag_steps=0, seconds=0.0, **data["best"])
        return cls(best, gained=data["gained"], gained_at=data["gained_at"], arrived_at=data["arrived_at"])


def _left(progress: Progress) -> float:
    return sum(progress.distances.values()) / len(progress.distances)
