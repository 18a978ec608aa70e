"""A session whose drags the learned map answers."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from draggan_runtime.api import DragResult, Pair, ProgressCallback, Session, checked_pairs
from draggan_runtime.evaluation.learned_map.files import load

if TYPE_CHECKING:
    from draggan_runtime.evaluation.learned_map.network import LearnedMap


class OneShotSession(Session):
    """As any session, but a drag is one step, the learned map's; no tracker looks where the points have gone."""

    @cached_property
    def _map(self) -> LearnedMap:
        return load(self.record.model)

    def drag(
        self, points: Iterable[Pair], max_steps: int | None = None, progress: ProgressCallback | None = None
    ) -> DragResult:
        """Move the latent as the map says; the session starts anew from there.

        Nobody looks where the points are then: ``final`` and ``distance`` are None, and the one step was all there
        are. ``seconds``: what the answer takes, without the picture. Raises UserError if there is no map for the
        session's model.
        """
        goal = checked_pairs(points, self._size())
        learned = self._map
        started = time.monotonic()
        handles, targets = (np.array([getattr(pair, end) for pair in goal]) for end in ("handle", "target"))
        w_plus = learned.answer(self.w_plus, handles, targets, self._size())
        seconds = time.monotonic() - started
        self.set_latent(w_plus)
        ends = [{"handle": list(p.handle), "target": list(p.target), "final": None, "distance": None} for p in goal]
        return DragResult(stopped="max_steps", steps=1, seconds=seconds, points=ends)
