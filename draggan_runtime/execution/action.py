"""The drag as an action: goal, feedback each step, result, cancel.

It lives where the generator is. A step goes round the loop once: the features of the current latent are tracked and
supervised, and the action lets exactly one gradient per features message through to the generator, until the handles
have arrived or something else ends the drag. Goals that change meanwhile are latched at step boundaries.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from draggan_runtime.builtin import Drag
from draggan_runtime.errors import DragganError
from draggan_runtime.execution.changes import NodeChange, Refusal, Revision
from draggan_runtime.execution.delivery import Delivery
from draggan_runtime.execution.router import Router
from draggan_runtime.graph.model import ResolvedGraph
from draggan_runtime.messages import (
    Begin,
    FeatureGradient,
    Goal,
    Handles,
    Latent,
    Message,
    NodeFailure,
    Progress,
    Stopped,
)

FEW_POINTS = 5


def arrival_distance(points: int, arrived: float | None, height: int) -> float:
    """Within how many px of the full output a point has arrived: 1 px at 512 for up to 5 points, else 2.

    Paper, sections 3.2 and 4.1.
    """
    at_512 = arrived if arrived is not None else (1.0 if points <= FEW_POINTS else 2.0)
    return at_512 * height / 512


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


class Run:
    """One drag of one session, step by step: :meth:`begin`, then :meth:`report` and a step in turn.

    ``drag_steps`` and ``seconds``: those made before, where an interrupted drag goes on.
    """

    def __init__(self, action: DragAction, session: str, drag_steps: int = 0, seconds: float = 0.0) -> None:
        self.action = action
        self.router = action.router
        self.session = session
        self.received = action.received(session)
        self.started = time.monotonic() - seconds
        self.drag_steps = drag_steps

    @property
    def wanted(self) -> bool:
        """False once every point has been taken away."""
        return bool(self.received["goal"].points)

    def begin(self, resume: bool = False) -> None:
        """Ask for the features of the current latent. ``resume``: of an interrupted drag whose states are restored."""
        latent: Any = self.received.get("latent")
        self.received.pop("handles", None)
        self.received.pop("gradient", None)
        step = latent.step if latent else 0
        self.router.emit(self.action.node_id, "begin", Begin(session=self.session, step=step, resume=resume))
        self.router.settle()

    def gradient(self) -> FeatureGradient:
        """The gradient of this step, to be let through; a step more is counted."""
        self.drag_steps += 1
        gradient: FeatureGradient = self.received.pop("gradient")
        return gradient

    def report(self) -> Progress:
        """How far it is; ``stopped`` is set if it cannot or need not go on."""
        failure = self._failure()
        latent: Latent | None = self.received.get("latent")
        handles: Handles | None = self.received.get("handles")
        gradient: FeatureGradient | None = self.received.get("gradient")
        goal: Goal | None = self.received.get("goal")
        targets = {p.id: p.target for p in goal.points} if goal else {}
        positions = handles.positions if handles else {}
        distances = {i: math.dist(xy, targets[i]) for i, xy in positions.items() if i in targets}
        return Progress(
            session=self.session,
            step=latent.step if latent else 0,
            drag_steps=self.drag_steps,
            handles=positions,
            distances=distances,
            confidence=handles.confidence if handles else {},
            loss=gradient.loss if gradient else math.nan,
            w_plus=latent.values if latent else np.empty((0, 0), np.float32),
            seconds=time.monotonic() - self.started,
            stopped=self._stopped(failure, handles, distances),
            failure=failure,
        )

    def _failure(self) -> NodeFailure | None:
        failures = self.router.take_failures(self.session)
        if failures:
            return failures[0]
        latent: Latent | None = self.received.get("latent")
        missing = [port for port in ("latent", "handles", "gradient") if port not in self.received]
        if not missing and latent is not None:
            missing = [p for p in ("handles", "gradient") if self.received[p].step != latent.step]
        if missing:
            return NodeFailure(self.action.node_id, "runtime/drag", self.session, f"no {missing[0]} came for this step")
        return None

    def _stopped(
        self, failure: NodeFailure | None, handles: Handles | None, distances: dict[int, float]
    ) -> Stopped | None:
        params = self.action.tuned.get(self.session, self.action.params)
        if failure is not None or handles is None:
            return "failed"
        if not distances:
            return "cancelled"
        if any(c < params.min_confidence for c in handles.confidence.values()) or not all(
            0 <= x < handles.size[0] and 0 <= y < handles.size[1] for x, y in handles.positions.values()
        ):
            return "lost"
        within = arrival_distance(len(distances), params.arrived, handles.size[1])
        if max(distances.values()) <= within:
            return "reached"
        return "max_steps" if self.drag_steps >= params.max_steps else None
