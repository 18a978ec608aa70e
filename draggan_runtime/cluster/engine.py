"""An engine steps the drags of many sessions in one process; without Ray, which :mod:`engine_actor` adds.

One thread runs it. Orders from outside wait for it between two steps.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from draggan_runtime.cluster.seats import ENTRY, Entry, Fairness, GoneError, Item, Seat
from draggan_runtime.errors import DragganError
from draggan_runtime.execution.action import DragAction
from draggan_runtime.execution.changes import NodeChange
from draggan_runtime.execution.container import one_line
from draggan_runtime.execution.delivery import Delivery
from draggan_runtime.execution.parts import Delta, between, flat
from draggan_runtime.execution.router import Router
from draggan_runtime.execution.run import Run
from draggan_runtime.graph.model import DRAG, SESSION, ResolvedGraph
from draggan_runtime.messages import Goal, Latent, Mask, NodeFailure, Progress
from draggan_runtime.wire import to_host

_WINDOW = 200  # rounds that figures are taken over


@dataclass(frozen=True)
class Round:
    """One round: when it ended, its s, and how many sessions stepped in it."""

    at: float
    seconds: float
    sessions: int


class Engine:
    """Steps drags over a router whose container hosts ``runtime/drag``. ``batch``: most sessions in one round."""

    def __init__(self, graph: ResolvedGraph, router: Router, batch: int) -> None:
        drag = graph.find(DRAG)
        if drag is None:
            raise DragganError(f"graph '{graph.name}' has no node {DRAG}: sessions cannot be dragged on it")
        self.action = DragAction(graph, drag, router)
        self.router = router
        self.seats: dict[str, Seat] = {}
        self.rounds: deque[Round] = deque(maxlen=_WINDOW)
        self.steps = 0
        self._session_node = graph.find(SESSION)
        self._fairness = Fairness(batch)
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._open = True

    # -- from any thread ---------------------------------------------------------------------------------------

    def open(self, entry: Entry) -> None:
        """A session comes to stay, with all that its nodes must know."""
        seat = Seat(entry.session, entry.epoch)
        seat.watched = entry.watched
        known = self.seats.get(entry.session)
        if known is not None and known.epoch >= entry.epoch:
            raise GoneError(f"session '{entry.session}' is here already")
        self.seats[entry.session] = seat
        self._orders.put(lambda: self._enter(seat, entry))

    def post(self, session: str, epoch: int, items: list[Delivery | NodeChange]) -> None:
        """Messages and parameters for the next step boundary."""
        seat = self.seat(session, epoch)
        self._orders.put(lambda: self._receive(seat, items))

    def begin(self, session: str, epoch: int) -> None:
        """Begin a drag toward the session's goal."""
        seat = self.seat(session, epoch)
        seat.cancelled = False  # now, for a cancel may come before the order is read
        self._orders.put(lambda: self._begin(seat))

    def cancel(self, session: str, epoch: int) -> None:
        """End the session's drag at its next step boundary."""
        self.seat(session, epoch).cancelled = True

    def watch(self, session: str, epoch: int, watched: bool) -> None:
        """Whether somebody looks at the session: else pictures are not drawn while it drags."""
        self.seat(session, epoch).watched = watched

    def leave(self, session: str, epoch: int) -> None:
        """The session goes; what its keeper has not taken is dropped."""
        seat = self.seat(session, epoch)
        del self.seats[session]
        self._orders.put(lambda: self._forget(seat))

    def seat(self, session: str, epoch: int) -> Seat:
        """The session's seat. Raises GoneError."""
        seat = self.seats.get(session)
        if seat is None or seat.epoch != epoch:
            raise GoneError(f"session '{session}' is not on this engine any more")
        return seat

    def stop(self) -> None:
        """End :meth:`run` after the round under way."""
        self._orders.put(self._stop)

    # -- the thread --------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Step until :meth:`stop`. Raises what a peer's death raises."""
        pending = False
        while self._open:
            self._take_orders(wait=self._pause(pending))
            group = self._fairness.next(list(self.seats.values()))
            if group:
                self._round(group)
            pending = self._idle()
            self._send_rest()

    def _idle(self) -> bool:
        """Give waiting ``latest`` work its share of the time. True if some is still to be done."""
        seats = list(self.seats.values())
        self.router.here.unwatched = {s.session for s in seats if s.run is not None and not s.watched}
        return self.router.idle(busy=any(seat.run is not None for seat in seats))

    def _pause(self, pending: bool) -> float | None:
        """s to wait for an order: none while drags step, little while they wait for their keepers, else forever."""
        seats = list(self.seats.values())
        if any(seat.ready for seat in seats):
            return 0.0
        return 0.001 if pending or any(seat.run is not None for seat in seats) else None

    def _take_orders(self, wait: float | None) -> None:
        try:
            self._orders.get(timeout=wait)() if wait != 0.0 else self._orders.get_nowait()()
            while True:
                self._orders.get_nowait()()
        except queue.Empty:
            return

    def _stop(self) -> None:
        self._open = False

    def _enter(self, seat: Seat, entry: Entry) -> None:
        self._drop(entry.session)
        try:
            self.action.apply(list(entry.changes))
            if entry.snapshot is not None:
                self.router.restore(entry.session, entry.snapshot)
            self._receive(seat, list(entry.deliveries))
            if entry.snapshot is not None:
                state = entry.snapshot.get(self.action.node_id)
                run = Run(self.action, entry.session, entry.drag_steps, entry.seconds, state)
                self._start(seat, run, resume=True)
        except (DragganError, AssertionError, LookupError, TypeError, ValueError, AttributeError) as error:
            # What it brought does not fit. That ends its drag, but not the engine and with it everybody else's.
            self._say_failure(seat, error, ENTRY)

    def _receive(self, seat: Seat, items: list[Delivery | NodeChange]) -> None:
        for item in items:
            if isinstance(item, Delivery) and isinstance(item.message, Mask):
                seat.masked = item.message.movable is not None
            elif isinstance(item, Delivery) and isinstance(item.message, Goal):
                seat.points = len(item.message.points)
        try:
            self.action.apply(items)
        except DragganError as error:  # a node refuses new parameters
            self._say_failure(seat, error)

    def _begin(self, seat: Seat) -> None:
        if seat.run is None:
            self.router.tell_all(seat.session)  # the keeper drops what it has of a drag when that ends
            self._start(seat, Run(self.action, seat.session), resume=False)

    def _start(self, seat: Seat, run: Run, resume: bool) -> None:
        run.begin(resume)
        seat.run, seat.run_parts = run, {}
        self._report(seat, run, again=resume)

    def _round(self, group: list[Seat]) -> None:
        stepping = []
        for seat in group:
            run = seat.run
            assert run is not None
            if seat.cancelled or not run.wanted:
                self._put(seat, replace(run.report(), stopped="cancelled"))
                self._end(seat)
            else:
                stepping.append((seat, run))
        if not stepping:
            return
        started = time.monotonic()
        self.action.step([run for _, run in stepping])
        seconds = time.monotonic() - started
        self._fairness.account([seat for seat, _ in stepping], seconds)
        self.rounds.append(Round(time.monotonic(), seconds, len(stepping)))
        for seat, run in stepping:
            seat.steps += 1
            self.steps += 1
            self._report(seat, run)

    def _report(self, seat: Seat, run: Run, again: bool = False) -> None:
        """Tell the keeper of the step; ``again``: it has this one."""
        progress = run.report()
        if not again or progress.stopped:
            self._put(seat, progress)
        if progress.stopped:
            self._end(seat)

    def _end(self, seat: Seat) -> None:
        seat.run = None
        self.action.rest(seat.session)

    def _put(self, seat: Seat, progress: Progress | None) -> None:
        """Everything that has happened to the session since the last item."""
        events: list[Delivery] = []
        for delivery in self.router.take_outside(seat.session):
            message = to_host(delivery.message)
            if delivery.latest:
                seat.put_latest(replace(delivery, message=message))
            elif not (progress is not None and isinstance(message, Latent) and delivery.node == self._session_node):
                events.append(replace(delivery, message=message))  # progress says what a latent would
        failures = self.router.take_failures(seat.session)
        # Parts of what is computed apart belong to the next step: by itself a part is nothing that happened.
        parts = to_host(self._parts(seat)) if progress is not None else Delta()
        if progress is not None or events or failures:
            told = to_host(progress) if progress is not None else None
            seat.put(lambda number: Item(number, told, events, failures, parts))

    def _parts(self, seat: Seat) -> Delta:
        """What changed in the states of the session's nodes, and in that of its drag."""
        parts = self.router.take_parts(seat.session)
        if seat.run is None:
            return parts
        known, seat.run_parts = seat.run_parts, flat(seat.run.snapshot(), (self.action.node_id,))
        return parts.then(between(known, seat.run_parts))

    def _send_rest(self) -> None:
        """What came for sessions outside of steps: pictures, latents, failures."""
        talked_of = {d.message.session for d in self.router.outside} | {f.session for f in self.router.failures}
        for session in talked_of:
            seat = self.seats.get(session)
            if seat is not None:
                self._put(seat, None)
            else:
                self.router.take_outside(session)
                self.router.take_failures(session)

    def _say_failure(self, seat: Seat, error: Exception, node: str = "engine") -> None:
        failure = NodeFailure(node, "", seat.session, one_line(error))
        seat.put(lambda number: Item(number, failures=[failure]))

    def _forget(self, seat: Seat) -> None:
        if seat.session not in self.seats:
            self._drop(seat.session)

    def _drop(self, session: str) -> None:
        self.router.forget(session)
        self.action.forget(session)
