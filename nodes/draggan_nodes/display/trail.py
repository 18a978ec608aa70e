"""Where the handles were at which step, so that a picture is drawn with the handles that belong to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from draggan_runtime.messages import XY, Goal, Progress

_AHEAD = 3  # steps that a drag may be on before it knows of a handle moved by hand


class Trail:
    """The handles of the last ``keep`` steps of a drag."""

    def __init__(self, keep: int = 400) -> None:
        self.keep = keep
        self._by_step: OrderedDict[int, Mapping[int, XY]] = OrderedDict()
        self._goal: Goal | None = None
        self._step = 0
        self._known: dict[int, int] = {}  # by id, the step from which a handle moved by hand is tracked

    def add(self, progress: Progress) -> None:
        """Remember the handles of ``progress``. Steps that go back are another drag: what came after is forgotten."""
        for later in [s for s in self._by_step if s > progress.step]:
            del self._by_step[later]
        self._step = progress.step
        self._by_step[progress.step] = {
            id: xy for id, xy in progress.handles.items() if progress.step >= self._known.get(id, 0)
        }
        self._by_step.move_to_end(progress.step)
        while len(self._by_step) > self.keep:
            self._by_step.popitem(last=False)

    def follow(self, goal: Goal | None) -> None:
        """The goal now. A handle that was put elsewhere, not by the tracker, is no longer where it was tracked."""
        if goal is None or goal is self._goal:
            return
        before = {p.id: p.handle for p in self._goal.points} if self._goal is not None else {}
        tracked = self._by_step.get(self._step, {})
        self._goal = goal
        for pair in goal.points:
            if before.get(pair.id, pair.handle) == pair.handle or tracked.get(pair.id) == pair.handle:
                continue
            self._known[pair.id] = self._step + _AHEAD
            for step, handles in self._by_step.items():
                self._by_step[step] = {id: xy for id, xy in handles.items() if id != pair.id}

    def at(self, step: int) -> Mapping[int, XY]:
        """The handles of ``step``, else of the nearest step before it, else none."""
        known = [s for s in self._by_step if s <= step]
        return self._by_step[max(known)] if known else {}

    def clear(self) -> None:
        """Forget everything: another picture."""
        self._by_step.clear()
        self._known.clear()
        self._step = 0
