"""The sessions on an engine: each has a seat, and whose turn it is to step is fair by time."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from draggan_runtime.errors import DragganError
from draggan_runtime.execution.changes import NodeChange
from draggan_runtime.execution.delivery import Delivery
from draggan_runtime.execution.parts import Delta, Parts
from draggan_runtime.execution.run import Run
from draggan_runtime.messages import NodeFailure, Progress

#: Steps that a seat may be ahead of what its keeper has kept.
AHEAD = 2
#: A step counts as at most so many of the cheapest there are: its session makes at least half the steps of any other.
DEAREST = 2.0
#: Who says that what a session brought does not fit.
ENTRY = "entry"


class GoneError(DragganError):
    """The session is not on this engine, or not any more in this epoch."""


@dataclass(frozen=True)
class Entry:
    """What a session brings to an engine.

    ``epoch`` tells this stay from earlier ones. ``snapshot``: by node id, the states of an interrupted drag, which goes
    on after ``drag_steps`` steps and ``seconds``; None: no drag is under way. ``deliveries``: what the nodes must have
    been told before. ``watched``: somebody looks at its pictures.
    """

    session: str
    epoch: int
    deliveries: list[Delivery] = field(default_factory=list)
    changes: list[NodeChange] = field(default_factory=list)
    snapshot: dict[str, Any] | None = None
    watched: bool = True
    drag_steps: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Item:
    """One thing that happened to a session, in order of ``number``; a step if ``progress`` is set.

    ``parts``: what changed in its states with it. ``deliveries``: messages for nodes that are not on the engine.
    """

    number: int
    progress: Progress | None = None
    deliveries: list[Delivery] = field(default_factory=list)
    failures: list[NodeFailure] = field(default_factory=list)
    parts: Delta = field(default_factory=Delta)


@dataclass(frozen=True)
class Taken:
    """What a session's keeper gets at once: what happened, and the newest of each ``latest`` message."""

    items: list[Item] = field(default_factory=list)
    latest: list[Delivery] = field(default_factory=list)


class Seat:
    """A session on an engine: its drag, what its keeper has not taken yet, and how much time it had.

    ``run_parts``: what the keeper has been told of the drag's own state.
    """

    def __init__(self, session: str, epoch: int) -> None:
        self.session = session
        self.epoch = epoch
        self.run: Run | None = None
        self.run_parts: Parts = {}
        self.masked = False
        self.points = 0
        self.spent = 0.0
        self.steps = 0
        self.ready_before = False
        self.cancelled = False
        self.watched = True
        self._lock = threading.Lock()
        self._number = 0
        self._items: deque[Item] = deque()
        self._latest: dict[tuple[str, str], Delivery] = {}
        self._wake: Callable[[], None] | None = None

    @property
    def kind(self) -> tuple[bool, int]:
        """What its steps cost alike with: whether there is a mask, and about how many points."""
        return self.masked, self.points.bit_length()

    @property
    def ready(self) -> bool:
        """True if its drag may step: the keeper has kept nearly all there is."""
        return self.run is not None and sum(item.progress is not None for item in list(self._items)) < AHEAD

    def put(self, make: Callable[[int], Item]) -> None:
        """Add an item; ``make`` gets its number."""
        with self._lock:
            self._number += 1
            self._items.append(make(self._number))
            wake = self._wake
        if wake is not None:
            wake()

    def put_latest(self, delivery: Delivery) -> None:
        """Add a message that takes the place of an older one of its port."""
        with self._lock:
            self._latest[delivery.node, delivery.port] = delivery
            wake = self._wake
        if wake is not None:
            wake()

    def kept(self, number: int) -> None:
        """The keeper has kept everything up to ``number``."""
        with self._lock:
            while self._items and self._items[0].number <= number:
                self._items.popleft()

    def take(self, after: int, wake: Callable[[], None] | None = None) -> Taken | None:
        """What came after number ``after``; None if nothing, and then ``wake`` is called when something does."""
        with self._lock:
            items = [item for item in self._items if item.number > after]
            latest, self._latest = list(self._latest.values()), {}
            self._wake = None if items or latest else wake
        return Taken(items, latest) if items or latest else None


class Fairness:
    """Whose turn it is: those who had least time first, together with those whose steps are alike.

    Start-time fair queueing (Goyal, Vin & Cheng 1996): a seat that was not ready does not save up time. Of a dear step
    only ``DEAREST`` times the cheapest counts, so that many points or a mask slow a session down, but never starve it.
    """

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self._clock = 0.0
        self._cost: dict[tuple[bool, int], float] = {}
        self._most = math.inf

    def next(self, seats: Iterable[Seat]) -> list[Seat]:
        """The seats to step now, at most ``batch``; empty if none is ready."""
        ready = []
        for seat in seats:
            is_ready = seat.ready
            if is_ready and not seat.ready_before:
                seat.spent = max(seat.spent, self._clock)
            seat.ready_before = is_ready
            if is_ready:
                ready.append(seat)
        if not ready:
            return []
        ready.sort(key=lambda seat: seat.spent)
        first = ready[0]
        self._clock = first.spent
        self._most = DEAREST * min(self._cost.get(seat.kind, math.inf) for seat in ready)
        near = first.spent + min(self._cost.get(first.kind, 0.0), self._most)
        return [seat for seat in ready if seat.kind == first.kind and seat.spent <= near][: self.batch]

    def account(self, seats: list[Seat], seconds: float) -> None:
        """``seats`` have just stepped together, in ``seconds``."""
        each = seconds / len(seats)
        kind = seats[0].kind
        self._cost[kind] = 0.8 * self._cost.get(kind, each) + 0.2 * each
        for seat in seats:
            seat.spent += min(each, self._most)
