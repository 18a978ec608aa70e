"""A container hosts nodes and steps them: messages go by reference, one thread runs everything.

It matches messages by session and step, keeps the sessions' states, and turns what a step raises into a report.
"""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from draggan_runtime import heap
from draggan_runtime.errors import DragganError, StartError, UserError
from draggan_runtime.execution.aside import Aside
from draggan_runtime.execution.changes import NodeChange
from draggan_runtime.execution.costs import Costs
from draggan_runtime.execution.delivery import Delivery, Outcome, Waiting, along
from draggan_runtime.execution.parts import Delta, Parts, apply, between, flat
from draggan_runtime.execution.share import Share
from draggan_runtime.graph.model import ContainerSpec, Edge, ResolvedGraph, ResolvedNode
from draggan_runtime.messages import Message, NodeFailure
from draggan_runtime.node import Context, Node, Turn
from draggan_runtime.threads import at_most

MOST_THREADS = 8  # more bring nothing to convolutions on maps of 64 x 64


@dataclass(frozen=True)
class Tuning:
    """The parameters a node steps with, and what its consumers read."""

    params: Any
    needs: Mapping[str, Any]


class Hosted:
    """One node in a container: the node, what it has received by session, and where its outputs go.

    ``tuned``: by session, what the node steps with where that is not what all others have (``common``).
    """

    def __init__(self, node: Node, impl: str, graph: ResolvedGraph) -> None:
        self.node = node
        self.impl = impl
        self.edges: dict[str, list[Edge]] = defaultdict(list)
        self.shares: dict[str, Share] = {}
        for edge in graph.edges:
            if edge.source_node == node.context.node_id:
                self.edges[edge.source_port].append(edge)
            if edge.target_node == node.context.node_id and edge.qos.policy == "latest":
                self.shares[edge.target_port] = Share(edge.qos.share)
        self.sync_ports = [name for name, port in node.inputs.items() if port.role == "sync"]
        self.seconds = 0.0  # spent in the node's own steps
        self.common = Tuning(node.params, node.context.needs)
        self.tuned: dict[str, Tuning] = {}
        self.states: dict[str, Any] = {}
        self.latched: dict[str, dict[str, Message]] = defaultdict(dict)
        self.syncing: dict[str, dict[str, Message]] = defaultdict(dict)

    def turn(self, session: str, step: int, inputs: Mapping[str, Message]) -> Turn:
        """A turn of ``session`` with its latched inputs and ``inputs``."""
        if session not in self.states:
            self.states[session] = self.node.new_state()
        return Turn(session, step, {**self.latched[session], **inputs}, self.states[session])

    def accept(self, port: str, message: Message) -> Turn | None:
        """Take in a message; the turn it completes, if it does."""
        role = self.node.inputs[port].role
        if role == "latched":
            self.latched[message.session][port] = message
            return None
        if role == "event":
            return self.turn(message.session, message.step, {port: message})
        waiting = self.syncing[message.session]
        waiting[port] = message
        if any(p not in waiting or waiting[p].step != message.step for p in self.sync_ports):
            return None
        return self.turn(message.session, message.step, self.syncing.pop(message.session))

    def alike(self, turns: Iterable[Turn]) -> list[tuple[Tuning, list[Turn]]]:
        """The turns that may be made together, and with what."""
        groups: list[tuple[Tuning, list[Turn]]] = []
        for turn in turns:
            tuning = self.tuned.get(turn.session, self.common)
            for known, of in groups:
                if known is tuning or known == tuning:
                    of.append(turn)
                    break
            else:
                groups.append((tuning, [turn]))
        return groups

    def tune(self, tuning: Tuning) -> None:
        """Let the node step with ``tuning`` from now on."""
        if tuning.params is not self.node.params:
            self.node.change(tuning.params)
        if tuning.needs is not self.node.context.needs:
            self.node.change_needs(tuning.needs)

    def change(self, change: NodeChange) -> None:
        """New parameters or needs, for a session or for all that have nothing of their own."""
        before = self.common if change.session is None else self.tuned.get(change.session, self.common)
        params = self.node.Params(**{**before.params.model_dump(), **change.params}) if change.params else before.params
        after = Tuning(params, before.needs if change.needs is None else change.needs)
        self.tune(after)  # at once, for the node may refuse it
        if change.session is None:
            self.common = after
        else:
            self.tuned[change.session] = after

    def replace(self, node: Node, impl: str) -> None:
        """Let ``node``, which is started, go on in the place of this one, with the sessions as they are."""
        old = self.node
        self.states = {session: node.take_over(old, state) for session, state in self.states.items()}
        self.node, self.impl = node, impl
        self.sync_ports = [name for name, port in node.inputs.items() if port.role == "sync"]
        self.common = Tuning(node.params, node.context.needs)
        self.tuned.clear()
        with contextlib.suppress(Exception):  # it is gone, however it goes
            old.deactivate()
            old.cleanup()

    def check(self, turn: Turn) -> None:
        """Raise what the turn failed with, or TypeError if it emitted something the node does not declare."""
        if turn.failure is not None:
            raise turn.failure
        for port, message in turn.emitted:
            declared = self.node.outputs.get(port)
            if declared is None:
                raise TypeError(f"emitted on '{port}', which is not an output of it")
            if not isinstance(message, declared):
                raise TypeError(f"'{port}' carries {declared.__name__}, not {type(message).__name__}")


class Container:
    """The nodes of one :class:`ContainerSpec`, made, wired and stepped in this process.

    ``accounts``: tell in each outcome what changed in the sessions' states. ``unwatched``: sessions whose ``latest``
    messages wait until somebody looks.
    """

    def __init__(self, graph: ResolvedGraph, spec: ContainerSpec | None, *, accounts: bool = False) -> None:
        self.graph = graph
        self.spec = spec
        self.hosted: dict[str, Hosted] = {}
        self.starting = ""
        self._device = "cpu"
        self.watcher: Callable[[str, Turn], None] | None = None
        self.costs = Costs()
        self._waiting = Waiting()
        self._aside = Aside()
        self.unwatched: set[str] = set()
        self._accounts = accounts
        self._parts: dict[str, Parts] = {}
        self._touched: set[tuple[str, str]] = set()

    # -- lifecycle ---------------------------------------------------------------------------------------------

    def configure(self) -> None:
        """Make and configure the nodes in the order of the graph. Raises StartError that names the node."""
        if self.spec is None:
            return
        self.starting = "torch"
        self._device = self._prepare_torch(self.spec)
        for node_id in self.spec.nodes:
            resolved = self.graph.nodes[node_id]
            if resolved.impl.name.startswith("runtime/"):
                continue
            self.starting = f"node '{node_id}'"
            try:
                node = self._started(resolved, self.graph.needs.get(node_id, {}))
            except StartError:
                self.close()
                raise
            self.hosted[node_id] = Hosted(node, resolved.impl.name, self.graph)
        self.starting = ""

    def _started(self, resolved: ResolvedNode, needs: Mapping[str, Any]) -> Node:
        try:
            cls, params = resolved.load()
            node = cls(params, Context(resolved.id, self._device, needs))
            node.configure()
            node.activate()
        except Exception as error:
            raise StartError(f"node '{resolved.id}' ({resolved.impl.name}) did not start: {one_line(error)}") from error
        return node

    def prepare_thread(self) -> None:
        """Let this thread step the nodes too: torch keeps its number of threads by thread."""
        if self.spec is not None:
            self._prepare_torch(self.spec)

    @staticmethod
    def _prepare_torch(spec: ContainerSpec) -> str:
        """Set the threads and the memory of this process, and choose the device."""
        import torch

        heap.keep_freed()

        # Said even where it is torch's default: Ray starts its workers with one thread.
        torch.set_num_threads(spec.threads or min(_cores(), MOST_THREADS))
        if spec.device == "auto":
            return "cuda:0" if torch.cuda.is_available() else "cpu"
        return spec.device

    def close(self) -> None:
        """Deactivate and clean up every node, last first."""
        self._aside.close()
        for hosted in reversed(self.hosted.values()):
            hosted.node.deactivate()
            hosted.node.cleanup()
        self.hosted.clear()

    # -- messages ----------------------------------------------------------------------------------------------

    def deliver(self, deliveries: Iterable[Delivery]) -> Outcome:
        """Take in messages for nodes here and step every node that can, until nothing more can."""
        outcome = Outcome()
        self._run(deque(deliveries), outcome)
        return self._finish(outcome)

    def idle(self, busy: bool) -> Outcome:
        """Step one node that waits on a ``latest`` input, if its share of the time allows.

        While busy, a node that may work aside does so, beside what the caller goes on with.
        """
        outcome = Outcome()
        self._take_aside(outcome, wait=not busy)
        for delivery in self._waiting:
            if delivery.message.session in self.unwatched:
                continue
            hosted = self.hosted[delivery.node]
            share = hosted.shares[delivery.port]
            if busy and hosted.node.aside:
                if not self._aside.busy and share.allows(busy):
                    self._waiting.remove(delivery)
                    self._begin_aside(delivery, hosted, share)
            elif share.allows(busy):
                self._waiting.remove(delivery)
                started = time.monotonic()
                self._run(deque([delivery]), outcome, now=True)
                share.used(time.monotonic() - started)
                break
        return self._finish(outcome)

    def _begin_aside(self, delivery: Delivery, hosted: Hosted, share: Share) -> None:
        self.costs.arrived(delivery)
        turn = hosted.accept(delivery.port, delivery.message)
        if turn is None:
            return
        if self.watcher is not None:
            self.watcher(delivery.node, turn)
        hosted.tune(hosted.tuned.get(turn.session, hosted.common))

        def step() -> None:
            started = time.monotonic()
            with at_most(1):  # the steps beside which this goes on need theirs
                hosted.node.step([turn])
            share.used(time.monotonic() - started)

        self._aside.begin(delivery.node, turn, step)

    def _take_aside(self, outcome: Outcome, wait: bool) -> None:
        """Take in what has been done aside."""
        done = self._aside.collect(wait)
        if done is None:
            return
        node_id, turn, error = done
        hosted = self.hosted[node_id]
        try:
            if error is not None:
                raise error
            hosted.check(turn)
        except Exception as problem:
            outcome.failures.append(self._failure(node_id, turn.session, problem))
            return
        self._run(self._spread(hosted, turn, outcome), outcome)

    def poll(self, session: str, step: int = 0) -> Outcome:
        """Let the nodes that watch devices look at them, for ``session``."""
        outcome = Outcome()
        for node_id, hosted in self.hosted.items():
            if not hosted.node.polls:
                continue
            turn = hosted.turn(session, step, {})
            try:
                hosted.node.poll(turn)
                hosted.check(turn)
            except Exception as error:
                outcome.failures.append(self._failure(node_id, session, error))
                continue
            self._run(self._spread(hosted, turn, outcome), outcome)
        return self._finish(outcome)

    @property
    def polls(self) -> bool:
        """True if any node here watches a device."""
        return any(hosted.node.polls for hosted in self.hosted.values())

    def _finish(self, outcome: Outcome) -> Outcome:
        waiting = any(delivery.message.session not in self.unwatched for delivery in self._waiting)
        outcome.pending = waiting or self._aside.busy
        if self._accounts:
            outcome.parts = self._changed()
        return outcome

    def _changed(self) -> dict[str, Delta]:
        """By session, what changed since the last call."""
        deltas: dict[str, Delta] = {}
        for node_id, session in self._touched:
            hosted = self.hosted[node_id]
            known = self._parts.setdefault(session, {})
            before = {path: part for path, part in known.items() if path[0] == node_id}
            after = flat(hosted.node.snapshot(hosted.states[session]), (node_id,))
            if delta := between(before, after):
                apply(known, delta)
                deltas[session] = deltas.get(session, Delta()).then(delta)
        self._touched.clear()
        return deltas

    def _run(self, queue: deque[Delivery], outcome: Outcome, now: bool = False) -> None:
        while queue:
            ready: dict[str, list[Turn]] = {}
            arrived: deque[Delivery] = deque()
            while queue:
                delivery = queue.popleft()
                if delivery.latest and not now:
                    self._waiting.add(delivery)
                    continue
                self.costs.arrived(delivery)
                turn = self.hosted[delivery.node].accept(delivery.port, delivery.message)
                if turn is None:
                    continue
                turns = ready.setdefault(delivery.node, [])
                if any(t.session == turn.session for t in turns):  # a session's turns go one after another
                    arrived.extend(self._step(delivery.node, turns, outcome))
                    turns.clear()
                turns.append(turn)
            now = False
            for node_id in self.hosted:
                if ready.get(node_id):
                    arrived.extend(self._step(node_id, ready[node_id], outcome))
            queue = arrived

    def _step(self, node_id: str, turns: list[Turn], outcome: Outcome) -> deque[Delivery]:
        hosted = self.hosted[node_id]
        deliveries: deque[Delivery] = deque()
        for tuning, together in hosted.alike(turns):
            if tuning.params is not hosted.node.params or tuning.needs is not hosted.node.context.needs:
                self._aside.wait(node_id)
                hosted.tune(tuning)
            deliveries.extend(self._step_alike(node_id, together, outcome))
        return deliveries

    def _step_alike(self, node_id: str, turns: list[Turn], outcome: Outcome) -> deque[Delivery]:
        hosted = self.hosted[node_id]
        if self.watcher is not None:
            for turn in turns:
                self.watcher(node_id, turn)
        started = time.perf_counter()
        try:
            with at_most(hosted.node.threads):
                hosted.node.step(turns)
        except Exception as error:
            outcome.failures.extend(self._failure(node_id, turn.session, error) for turn in turns)
            return deque()
        finally:
            hosted.seconds += time.perf_counter() - started
            if self._accounts:
                self._touched.update((node_id, turn.session) for turn in turns)
        deliveries: deque[Delivery] = deque()
        for turn in turns:
            try:
                hosted.check(turn)
            except Exception as error:
                outcome.failures.append(self._failure(node_id, turn.session, error))
            else:
                deliveries.extend(self._spread(hosted, turn, outcome))
        return deliveries

    def _spread(self, hosted: Hosted, turn: Turn, outcome: Outcome) -> deque[Delivery]:
        """Deliveries for nodes here; those for elsewhere go to the outcome."""
        here: deque[Delivery] = deque()
        for port, message in turn.emitted:
            for delivery in along(hosted.edges[port], message):
                (here if delivery.node in self.hosted else outcome.deliveries).append(delivery)
        return here

    def _failure(self, node_id: str, session: str, error: Exception) -> NodeFailure:
        return NodeFailure(
            node_id,
            self.hosted[node_id].impl,
            session,
            one_line(error),
            "".join(traceback.format_exception(error)),
        )

    # -- parameters and sessions -------------------------------------------------------------------------------

    def change(self, change: NodeChange) -> None:
        """Change a node while it runs, for a session or for all that have nothing of their own.

        Raises UserError if the node refuses that, or what it shall run does not start; then all is as before.
        """
        self._aside.wait(change.node)
        hosted = self.hosted[change.node]
        try:
            if change.impl is None:
                hosted.change(change)
            else:
                resolved = ResolvedNode(change.node, change.impl, change.params)
                hosted.replace(self._started(resolved, hosted.common.needs), change.impl.name)
        except DragganError as error:
            raise UserError(str(error)) from error
        except Exception as error:
            raise UserError(f"node '{change.node}' ({hosted.impl}) cannot change: {one_line(error)}") from error

    def snapshot(self, session: str) -> dict[str, Any]:
        """By node id, the session's state as plain values and arrays."""
        self._aside.wait()
        return {
            node_id: hosted.node.snapshot(hosted.states[session])
            for node_id, hosted in self.hosted.items()
            if session in hosted.states
        }

    def rest(self, session: str) -> None:
        """Tell the nodes that the session's drag has ended."""
        for hosted in self.hosted.values():
            if session in hosted.states:
                hosted.node.rest(hosted.states[session])
        heap.give_back()

    def restore(self, session: str, snapshot: Mapping[str, Any]) -> None:
        """Put a session's states back as :meth:`snapshot` gave them."""
        self._aside.wait()
        for node_id, data in snapshot.items():
            self.hosted[node_id].states[session] = self.hosted[node_id].node.restore(data)
            if self._accounts:
                self._touched.add((node_id, session))

    def tell_all(self, session: str) -> None:
        """Tell all parts of the session's states next time, not only those that changed: nobody has the others."""
        self._parts.pop(session, None)
        if self._accounts:
            self._touched.update((id, session) for id, hosted in self.hosted.items() if session in hosted.states)

    def forget(self, session: str) -> None:
        """Drop everything kept for a session."""
        self._aside.wait()
        for hosted in self.hosted.values():
            for store in (hosted.states, hosted.latched, hosted.syncing, hosted.tuned):
                store.pop(session, None)
        self._waiting.forget(session)
        self.unwatched.discard(session)
        self._parts.pop(session, None)
        self._touched = {(node, other) for node, other in self._touched if other != session}


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_line(error: BaseException) -> str:
    """An exception as one line: our own errors as they are, others with their type."""
    text = " ".join(str(error).split())
    if isinstance(error, DragganError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
