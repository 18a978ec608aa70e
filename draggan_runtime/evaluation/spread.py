"""A run spread over Ray actors. Each takes a case at a time, with all its methods, for these share its pictures."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from draggan_runtime.errors import StartError, UserError
from draggan_runtime.evaluation.rows import Row
from draggan_runtime.evaluation.runner import EvalCallback, EvalProgress, Evaluation, Measured, Unit, row_of
from draggan_runtime.evaluation.worker import Worker, placed, ray_at
from draggan_runtime.execution.container import one_line

#: How often a worker may die of the same case, or while it starts.
TRIES = 3
_START = 300.0  # s until one worker at least is there
_LOOK = 0.5  # s between looks at the user


def run(evaluation: Evaluation, workers: int, address: str = "", progress: EvalCallback = lambda _: None) -> None:
    """:meth:`Evaluation.run` in ``workers`` actors, on the Ray cluster at ``address``, "": on a private one here.

    Rows are written here, in the order they come. A worker that dies is replaced and its case done again, without the
    rows that were made. ``progress`` is called at each row and twice a second. Raises UserError if there is no cluster
    or its workers are of another version; StartError.
    """
    if not evaluation.todo:
        return
    evaluation.protocol.prepare()  # judges that must be fetched are, once
    with ray_at(address) as ray:
        crew = _Crew(ray, evaluation, workers, not address, progress)
        try:
            crew.work()
        finally:
            for hand in crew.hands.values():
                ray.kill(hand.actor)


@dataclass
class _Hand:
    """An actor and what is left of its case; the first is under way. None left: it starts."""

    actor: Any
    units: deque[Unit] = field(default_factory=deque)


class _Crew:
    """The workers of a run. ``hands``: by the call that each has under way, one, so that nothing queues in Ray."""

    def __init__(self, ray: Any, evaluation: Evaluation, workers: int, private: bool, progress: EvalCallback) -> None:
        self.hands: dict[Any, _Hand] = {}
        self._ray = ray
        self._evaluation = evaluation
        self._cases = deque(deque(units) for _, units in groupby(evaluation.todo, lambda unit: unit.case.id))
        self._methods = {unit.method.name: unit for unit in evaluation.todo}
        options, graph = placed(ray, evaluation.graph, workers, private)
        actor = ray.remote(**options)(Worker)
        self._new: Callable[[], Any] = lambda: actor.remote(evaluation.protocol, graph, str(Path.cwd()))
        self._workers = min(workers, len(self._cases))
        self._deaths: Counter[str] = Counter()
        self._progress = progress
        self._ended = False
        self._done = evaluation.total - len(evaluation.todo)

    def work(self) -> None:
        """Until all is done or the user ends it."""
        for _ in range(self._workers):
            self._hire()
        late = time.monotonic() + _START
        started = False
        while self.hands:
            done, _ = self._ray.wait(list(self.hands), timeout=_LOOK)
            for call in done:
                started |= self._answered(call)
            self._tell()
            if self._ended:
                return
            if not started and time.monotonic() > late:
                raise StartError(
                    f"no worker found a place in the cluster within {_START:g} s; has it a free processor?"
                )

    def _hire(self) -> None:
        actor = self._new()
        self.hands[actor.prepare.remote([unit.method for unit in self._methods.values()])] = _Hand(actor)

    def _answered(self, call: Any) -> bool:
        """Take in what a call gave, and give its worker the next; False if the worker is dead."""
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(call)
        except errors.RayTaskError as error:
            raise error.cause or error from None  # Ray's own text is a traceback
        except errors.RayError as error:
            self._lost(self.hands.pop(call), error)
            return False
        hand = self.hands.pop(call)
        if hand.units:
            hand.units.popleft()
            self._keep(answer)
        else:
            self._check(answer)
        if not hand.units and self._cases:
            hand.units = self._cases.popleft()
        if hand.units:
            self.hands[hand.actor.measure.remote(hand.units[0])] = hand
        else:
            self._ray.kill(hand.actor)
        return True

    def _lost(self, hand: _Hand, error: Exception) -> None:
        case = hand.units[0].case.id if hand.units else ""
        self._deaths[case] += 1
        self._ray.kill(hand.actor)
        if self._deaths[case] == TRIES:
            if not case:
                raise StartError(f"workers die while they start: {one_line(error)}")
            died = f"the worker died {TRIES} times: {one_line(error)}"
            self._keep(Measured({**row_of(self._evaluation.protocol, hand.units.popleft()), "error": died}))
            self._deaths[case] = 0
        if hand.units:
            self._cases.appendleft(hand.units)
        if len(self.hands) < self._workers and self._cases:
            self._hire()

    def _check(self, settings: list[str]) -> None:
        if settings != [unit.settings for unit in self._methods.values()]:
            raise UserError(
                "the cluster has another version or other presets of draggan-runtime; install the same there"
            )

    def _keep(self, measured: Measured) -> None:
        row = self._evaluation.keep(measured)
        self._done += 1
        self._tell(row)

    def _tell(self, row: Row | None = None) -> None:
        under_way = tuple(hand.units[0] for hand in self.hands.values() if hand.units)
        now = EvalProgress(self._done, self._evaluation.total, under_way, row=row)
        self._ended |= self._progress(now) is False
