"""The drag as an action: goal, feedback each step, result, cancel.

It lives where the generator is. A step goes round the loop once: the features of the current latent are tracked and
supervised, and the action lets exactly one gradient per features message through to the generator, until the handles
have arrived or something else ends the drag. Goals that change meanwhile are latched at step boundaries.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from draggan_runtime.builtin import Drag
from draggan_runtime.errors import DragganError
from draggan_runtime.execution.changes import NodeChange, Refusal, Revision
from draggan_runtime.execution.delivery import Delivery
from draggan_runtime.execution.router import Router
from draggan_runtime.execution.run import Run
from draggan_runtime.graph.model import ResolvedGraph
from draggan_runtime.messages import Message, Progress


@dataclass
class Feedback:
    """One item of a drag's stream: its progress, messages for nodes in the consumer's process, what was refused."""

    progress: Progress | None = None
    deliveries: list[Delivery] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


#: What comes from outside while a drag runs.
Arrival = Delivery | NodeChange | Revision


class Inbox:
    """What arrives from outside while a drag runs, kept until the step boundary; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: list[Arrival] = []
        self._open = False
        self.cancelled = threading.Event()

    def open(self) -> None:
        with self._lock:
            self._open = True
            self.cancelled.clear()

    def post(self, items: list[Arrival]) -> bool:
        """Leave items for the next step boundary; False if no drag runs (then nothing was taken)."""
        with self._lock:
            if self._open:
                self._items.extend(items)
            return self._open

    def drain(self, close: bool = False) -> list[Arrival]:
        with self._lock:
            self._open = self._open and not close
            taken, self._items = self._items, []
            return taken


class DragAction:
    """Runs drags over a router whose container hosts ``runtime/drag``."""

    def __init__(self, graph: ResolvedGraph, node_id: str, router: Router) -> None:
        self.node_id = node_id
        self.router = router
        self.params: Any = Drag.Params(**graph.nodes[node_id].params)
        self.tuned: dict[str, Any] = {}  # by session, where it has parameters of its own
        self.inbox = Inbox()
        self._received: dict[str, dict[str, Message]] = {}
        self._refused: list[Refusal] = []
        self.can_go_back = bool(graph.edges_from(node_id, "latent"))  # somebody listens
        router.sinks[node_id] = self._receive

    def _receive(self, delivery: Delivery) -> None:
        self._received.setdefault(delivery.message.session, {})[delivery.port] = delivery.message

    def received(self, session: str) -> dict[str, Any]:
        """By input port, the last message of a session."""
        return self._received.setdefault(session, {})

    def rest(self, session: str) -> None:
        """The session's drag has ended: drop what its next step would have needed; its nodes are those here."""
        self.received(session).pop("gradient", None)
        self.router.here.rest(session)

    def forget(self, session: str) -> None:
        """Drop everything kept for a session."""
        self._received.pop(session, None)
        self.tuned.pop(session, None)

    def run(self, session: str) -> Iterator[Feedback]:
        """Drag until the end; the last item with a progress says why it stopped, then only messages follow."""
        self.inbox.open()
        try:
            yield from self._steps(Run(self, session))
        finally:
            leftover = self.inbox.drain(close=True)
            self.rest(session)
        self.apply(leftover)
        while self.router.idle(busy=False):
            if deliveries := self.router.take_outside():
                yield Feedback(deliveries=deliveries)
            else:
                time.sleep(0.002)
        last = self._feedback()
        if last.deliveries or last.refused:
            yield last

    def _steps(self, run: Run) -> Iterator[Feedback]:
        run.begin()
        while True:
            progress = run.report()
            yield self._feedback(progress)
            if progress.stopped:
                return
            arrived = self.inbox.drain()
            self.apply(arrived)
            if self.inbox.cancelled.is_set() or not run.wanted:
                yield self._feedback(replace(progress, stopped="cancelled"))
                return
            self.router.idle(busy=True)
            if any(isinstance(item, Revision) and item.replaces for item in arrived):
                run.begin(resume=True)  # what is new has yet to see where the drag is: this step once more
            else:
                self.step([run])

    def _feedback(self, progress: Progress | None = None) -> Feedback:
        refused, self._refused = self._refused, []
        return Feedback(progress, self.router.take_outside(), refused)

    def step(self, runs: Iterable[Run]) -> None:
        """Let each run's gradient through, all at once, so that what can be computed together is."""
        self.router.emit(self.node_id, "gradient", *(run.gradient() for run in runs))
        self.router.settle()

    def apply(self, items: Iterable[Arrival]) -> None:
        """Take in what came from outside; everything has it before this returns.

        A revision that is refused is told with the next feedback.
        """
        for item in items:
            if isinstance(item, Delivery):
                self.router.send([item])
            elif isinstance(item, NodeChange):
                self.change(item)
            else:
                try:
                    item.carry_out(self.change)
                except DragganError as error:
                    self._refused.append(Refusal(item, str(error)))
        self.router.settle()

    def change(self, change: NodeChange) -> None:
        """Change a node, wherever it is, or the drag itself. Raises UserError if it refuses."""
        if change.node != self.node_id:
            self.router.change(change)
        elif change.session is None:
            self.params = Drag.Params(**{**self.params.model_dump(), **change.params})
        else:
            known = self.tuned.get(change.session, self.params)
            self.tuned[change.session] = Drag.Params(**{**known.model_dump(), **change.params})
