"""Where the handles were at which step, so that a picture is drawn with the handles that belong to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from draggan_runtime.messages import XY, Progress


class Trail:
    """The handles of the last ``keep`` steps of a drag."""

    def __init__(self, keep: int = 400) -> None:
        self.keep = keep
        self._by_step: OrderedDict[int, Mapping[int, XY]] = OrderedDict()

    def add(self, progress: Progress) -> None:
        """Remember the handles of ``progress``."""
        self._by_step[progress.step] = progress.handles
        self._by_step.move_to_end(progress.step)
        while len(self._by_step) > self.keep:
            self._by_step.popitem(last=False)

    def at(self, step: int) -> Mapping[int, XY]:
        """The handles of ``step``, else of the nearest step before it, else none."""
        known = [s for s in self._by_step if s <= step]
        return self._by_step[max(known)] if known else {}

    def clear(self) -> None:
        """Forget everything: another picture."""
        self._by_step.clear()
