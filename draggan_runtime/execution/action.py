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
    """One item of a drag's stream: its progress, and messages for nodes in the consumer's process."""

    progress: Progress | None = None
    deliveries: list[Delivery] = field(default_factory=list)


@dataclass(frozen=True)
class ParamsChange:
    """New parameters for a node while it runs, and what its consumers read now (None: as before).

    ``session``: whom they are for; None: for all.
    """

    node: str
    params: dict[str, Any]
    needs: dict[str, Any] | None = None
    session: str | None = None


class Inbox:
    """What arrives from outside while a drag runs, kept until the step boundary; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: list[Delivery | ParamsChange] = []
        self._open = False
        self.cancelled = threading.Event()

    def open(self) -> None:
        with self._lock:
            self._open = True
            self.cancelled.clear()

    def post(self, items: list[Delivery | ParamsChange]) -> bool:
        """Leave items for the next step boundary; False if no drag runs (then nothing was taken)."""
        with self._lock:
            if self._open:
                self._items.extend(items)
            return self._open

    def drain(self, close: bool = False) -> list[Delivery | ParamsChange]:
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
        if deliveries := self.router.take_outside():
            yield Feedback(deliveries=deliveries)

    def _steps(self, run: Run) -> Iterator[Feedback]:
        run.begin()
        while True:
            progress = run.report()
            yield Feedback(progress, self.router.take_outside())
            if progress.stopped:
                return
            self.apply(self.inbox.drain())
            if self.inbox.cancelled.is_set() or not run.wanted:
                yield Feedback(replace(progress, stopped="cancelled"), self.router.take_outside())
                return
            self.router.idle(busy=True)
            self.step([run])

    def step(self, runs: Iterable[Run]) -> None:
        """Let each run's gradient through, all at once, so that what can be computed together is."""
        self.router.emit(self.node_id, "gradient", *(run.gradient() for run in runs))
        self.router.settle()

    def apply(self, items: list[Delivery | ParamsChange]) -> None:
        """Take in what came from outside; everything has it before this returns."""
        for item in items:
            if isinstance(item, Delivery):
                self.router.send([item])
            elif item.node != self.node_id:
                self.router.change(item.node, item.params, item.needs, item.session)
            elif item.session is None:
                self.params = Drag.Params(**{**self.params.model_dump(), **item.params})
            else:
                known = self.tuned.get(item.session, self.params)
                self.tuned[item.session] = Drag.Params(**{**known.model_dump(), **item.params})
        self.router.settle()


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
