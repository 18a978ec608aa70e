"""Containers as Ray actors.

A private cluster on loopback: no dashboard, no usage reports, no attaching to clusters that happen to run. The drag
is a streaming generator with two items in flight; cancel and goal changes come in by a concurrency group of their
own, so they are heard while the loop runs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import threading
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any, NoReturn, cast

# Read by Ray when it is imported: bind to loopback only, report nothing, pass small messages inline.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_max_direct_call_object_size", str(4 * 1024 * 1024))

import ray
from ray.exceptions import RayActorError, RayTaskError

from draggan_runtime.errors import StartError
from draggan_runtime.execution.action import Arrival, DragAction, Feedback
from draggan_runtime.execution.changes import NodeChange
from draggan_runtime.execution.container import Container, one_line
from draggan_runtime.execution.costs import Costs, EdgeCosts
from draggan_runtime.execution.delivery import Delivery, Outcome, along
from draggan_runtime.execution.line import LineServer, connect
from draggan_runtime.execution.parcel import Parcel
from draggan_runtime.execution.parts import Delta
from draggan_runtime.execution.router import Router
from draggan_runtime.graph.model import DRAG, ContainerSpec, ResolvedGraph
from draggan_runtime.wire import to_host

ContainerDied = RayActorError


def start_ray(address: str | None = None) -> None:
    """Join the cluster at ``address``, or start a private one on this machine, if this process has none yet.

    The environment's RAY_ADDRESS is not read.
    """
    if not ray.is_initialized():
        # It says at each start that its token is on, which is as it should be.
        logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level="ERROR",
            configure_logging=False,
        )


def stop_ray() -> None:
    """Stop the private cluster."""
    ray.shutdown()


def nodes_for(spec: ContainerSpec) -> list[dict[str, Any]]:
    """The cluster's nodes that have a container's labels, as Ray tells them. Raises StartError if there are none."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    found = [node for node in alive if spec.labels.items() <= node["Labels"].items()]
    if not found:
        known = sorted({f"{k}={v}" for n in alive for k, v in n["Labels"].items() if not k.startswith("ray.io/")})
        wanted = ", ".join(f"{k}={v}" for k, v in spec.labels.items())
        there = ", ".join(known) or "none"
        raise StartError(f"container '{spec.name}': no node of the cluster has the labels {wanted}; there are {there}")
    return found


def actor_options(spec: ContainerSpec) -> dict[str, Any]:
    """What Ray reserves for a container's actor, and where it may be. Raises StartError if it may be nowhere."""
    nodes = nodes_for(spec)
    gpus = spec.num_gpus
    if gpus == "auto":
        gpus = 1.0 if any(node["Resources"].get("GPU") for node in nodes) else 0.0
    selector = {"label_selector": spec.labels} if spec.labels else {}
    return {"num_cpus": spec.num_cpus, "num_gpus": gpus, **selector}


class ContainerActor:
    """A container, its router to the others, and the drag action if it is the home.

    ``accounts``: see :class:`Container`.
    """

    def __init__(self, graph: ResolvedGraph, name: str, accounts: bool = False) -> None:
        self.graph = graph
        self.container = Container(graph, graph.containers[name], accounts=accounts)
        self.name = name
        self.router = Router(graph, self.container, {})
        self.action: DragAction | None = None
        self._turn = threading.RLock()  # of whoever works with the container: Ray's thread, or a line's
        self._lines: LineServer | None = None

    def configure(self) -> str:
        """Configure the nodes; what went wrong, or an empty line."""
        try:
            self.container.configure()
        except Exception as error:
            return one_line(error)
        return ""

    def connect(self, peers: Mapping[str, Any]) -> None:
        """Learn where the other containers are."""
        home = self.graph.home == self.name
        others = {n: RayPeer(h, self.container.costs, direct=home) for n, h in peers.items() if n != self.name}
        self.router = Router(self.graph, self.container, others)
        drag = self.graph.find(DRAG)
        if drag is not None and home:
            self.action = DragAction(self.graph, drag, self.router)

    def deliver(self, deliveries: list[Delivery]) -> Outcome:
        """Messages for nodes here; what comes of them goes back to the caller, who routes it."""
        with self._turn:
            started = time.perf_counter()
            return self._outgoing(self._with_sinks(deliveries), started)

    def _answer(self, request: bytes) -> bytes:
        """:meth:`deliver` on a line."""
        try:
            answer: Any = self.deliver(pickle.loads(request))  # noqa: S301  (from our own actor)
        except Exception as error:
            answer = RuntimeError(one_line(error))
        return pickle.dumps(answer, protocol=5)

    def _with_sinks(self, deliveries: list[Delivery]) -> Outcome:
        own = [d for d in deliveries if d.node in self.router.sinks]
        for delivery in own:
            self.router.sink(delivery)
        return self.container.deliver([d for d in deliveries if d.node not in self.router.sinks])

    def catch_up(self, deliveries: list[Delivery]) -> Outcome:
        """Take in messages and do everything that waits for idle time."""
        with self._turn:
            started = time.perf_counter()
            total = self._with_sinks(deliveries)
            while total.pending:
                outcome = self.container.idle(busy=False)
                total.deliveries.extend(outcome.deliveries)
                total.failures.extend(outcome.failures)
                for session, delta in outcome.parts.items():
                    total.parts[session] = total.parts.get(session, Delta()).then(delta)
                total.pending = outcome.pending
            return self._outgoing(total, started)

    def _outgoing(self, outcome: Outcome, started: float) -> Outcome:
        """``outcome`` for the caller in another process; it arrives there as it is."""
        outcome.seconds = time.perf_counter() - started
        return cast(Outcome, Parcel(outcome, outcome.deliveries, self.container.costs))

    def drag(self, session: str) -> Iterator[Feedback]:
        """The drag's stream."""
        assert self.action is not None
        told = self.graph.edges_from(self.action.node_id, "progress")
        for feedback in self.action.run(session):
            crossing = list(feedback.deliveries)
            if feedback.progress is not None:
                crossing += along(told, feedback.progress)
            started = time.perf_counter()
            yield cast(Feedback, Parcel(feedback, crossing, self.container.costs))
            self.container.costs.held(crossing, time.perf_counter() - started)

    def change(self, change: NodeChange) -> None:
        """See :meth:`Container.change`, and of the drag :meth:`DragAction.change`."""
        with self._turn:
            if self.action is not None and change.node == self.action.node_id:
                self.action.change(change)
            else:
                self.container.change(change)

    def snapshot(self, session: str) -> dict[str, Any]:
        """See :meth:`Container.snapshot`."""
        with self._turn:
            return to_host(self.container.snapshot(session))  # type: ignore[no-any-return]

    def restore(self, session: str, snapshot: dict[str, Any]) -> None:
        """See :meth:`Container.restore`."""
        with self._turn:
            self.container.restore(session, snapshot)

    def tell_all(self, session: str) -> None:
        """See :meth:`Container.tell_all`."""
        self.container.tell_all(session)

    def forget(self, session: str) -> None:
        """See :meth:`Container.forget`."""
        with self._turn:
            self.container.forget(session)

    def close(self) -> None:
        """Clean the nodes up."""
        with self._turn:
            self.container.close()

    @ray.method(concurrency_group="control")
    def costs(self) -> EdgeCosts:
        """What the edges have cost here so far."""
        return self.container.costs.take()

    @ray.method(concurrency_group="control")
    def line(self) -> tuple[Any, bytes]:
        """Address and key of a direct line to :meth:`deliver`."""
        if self._lines is None:
            host = ray.util.get_node_ip_address()
            self._lines = LineServer(host, self._answer, self.container.prepare_thread)
        return self._lines.address, self._lines.key

    @ray.method(concurrency_group="control")
    def starting(self) -> str:
        """The node that is being configured."""
        return self.container.starting

    @ray.method(concurrency_group="control")
    def post(self, items: list[Arrival]) -> bool:
        """Leave items for the running drag's next step boundary; False if none runs."""
        return self.action is not None and self.action.inbox.post(items)

    @ray.method(concurrency_group="control")
    def cancel(self) -> None:
        """End the running drag at its next step boundary."""
        if self.action is not None:
            self.action.inbox.cancelled.set()


class _Call:
    """A call under way in an actor that was ``sent`` messages; keeps account of how long it holds its caller up."""

    def __init__(self, sent: list[Delivery], costs: Costs) -> None:
        self._costs = costs
        self._sent = sent
        self._seen = False  # that it is ready, before anyone waited for it
        started = time.perf_counter()
        self._send(Parcel(sent, sent, costs))
        self._held = time.perf_counter() - started

    def ready(self) -> bool:
        self._seen = self._arrived()
        return self._seen

    def result(self) -> Outcome:
        started = time.perf_counter()
        outcome = self._receive()
        waited = time.perf_counter() - started
        # What the peer computed while its caller waited is not the edges' cost.
        self._held += waited if self._seen else max(0.0, waited - outcome.seconds)
        for crossed in (self._sent, outcome.deliveries):
            self._costs.held(crossed, self._held / 2)
        return outcome

    def _send(self, parcel: Parcel) -> None:
        raise NotImplementedError

    def _arrived(self) -> bool:
        raise NotImplementedError

    def _receive(self) -> Outcome:
        raise NotImplementedError


class RayTicket(_Call):
    """A Ray call."""

    def __init__(self, method: Any, sent: list[Delivery], costs: Costs) -> None:
        self._method = method
        super().__init__(sent, costs)

    def _send(self, parcel: Parcel) -> None:
        self._ref = self._method.remote(parcel)

    def _arrived(self) -> bool:
        done, _ = ray.wait([self._ref], timeout=0)
        return bool(done)

    def _receive(self) -> Outcome:
        return ray.get(self._ref)  # type: ignore[no-any-return]


class LineTicket(_Call):
    """A request on a line. Answers come in the order of the requests."""

    def __init__(self, peer: RayPeer, line: Connection, sent: list[Delivery], costs: Costs) -> None:
        self._peer = peer
        self._line = line
        super().__init__(sent, costs)

    def _send(self, parcel: Parcel) -> None:
        try:
            self._line.send_bytes(pickle.dumps(parcel, protocol=5))
        except OSError as error:
            self._broken(error)

    def _arrived(self) -> bool:
        try:
            return self._line.poll()
        except OSError:
            return True

    def _receive(self) -> Outcome:
        try:
            answer = self._line.recv_bytes()
        except (EOFError, OSError) as error:
            self._broken(error)
        found = pickle.loads(answer)  # noqa: S301  (from our own actor, as everything that Ray carries)
        if isinstance(found, BaseException):
            raise found
        return cast(Outcome, found)

    def _broken(self, error: Exception) -> NoReturn:
        """Whether the peer has the messages nobody knows: as if it had died, so that it gets the session anew."""
        self._peer.hang_up()
        raise RayActorError from error


class RayPeer:
    """A container actor as the router sees it; what crosses is counted in ``costs``.

    ``direct``: messages go by a line of their own beside Ray, if one can be had: for what each step waits for.
    """

    def __init__(self, handle: Any, costs: Costs | None = None, *, direct: bool = False) -> None:
        self.handle = handle
        self.costs = costs or Costs()
        self._direct = direct
        self._line: Connection | None = None

    def hang_up(self) -> None:
        """Give the line up; the next message opens another."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def deliver(self, deliveries: list[Delivery]) -> RayTicket | LineTicket:
        if self._direct and self._line is None:
            self._line = connect(*ray.get(self.handle.line.remote()))
            self._direct = self._line is not None
        if self._line is not None:
            return LineTicket(self, self._line, deliveries, self.costs)
        return RayTicket(self.handle.deliver, deliveries, self.costs)

    def catch_up(self, deliveries: list[Delivery]) -> RayTicket:
        return RayTicket(self.handle.catch_up, deliveries, self.costs)

    def change(self, change: NodeChange) -> None:
        try:
            ray.get(self.handle.change.remote(change))
        except RayTaskError as error:
            raise error.cause or error from None  # Ray's own text is a traceback

    def restore(self, session: str, snapshot: Mapping[str, Any]) -> None:
        ray.get(self.handle.restore.remote(session, to_host(snapshot)))

    def tell_all(self, session: str) -> None:
        ray.get(self.handle.tell_all.remote(session))

    def forget(self, session: str) -> None:
        ray.get(self.handle.forget.remote(session))


class RayContainers:
    """The actors of one graph, as its driver holds them."""

    def __init__(self, graph: ResolvedGraph, deadline: float, costs: Costs | None = None) -> None:
        self.graph = graph
        self.deadline = deadline
        self._costs = costs or Costs()
        start_ray()
        actors = [spec for spec in graph.containers.values() if spec.place == "actor"]
        for spec in actors:
            nodes_for(spec)  # before any of them is there
        self.handles = {spec.name: self._create(spec.name) for spec in actors}
        self._configure(self.handles)
        self._connect()

    def _create(self, name: str) -> Any:
        options = {**actor_options(self.graph.containers[name]), "concurrency_groups": {"control": 2}}
        return ray.remote(**options)(ContainerActor).remote(self.graph, name)

    def _configure(self, handles: Mapping[str, Any]) -> None:
        refs = {handle.configure.remote(): name for name, handle in handles.items()}
        done, late = ray.wait(list(refs), num_returns=len(refs), timeout=self.deadline)
        problem = ""
        for ref in done:
            try:
                problem = problem or ray.get(ref)
            except RayActorError as error:
                problem = f"container '{refs[ref]}' died while starting: {one_line(error)}"
        if late and not problem:
            name = refs[late[0]]
            problem = self._late(name, handles[name])
        if problem:
            self.kill()
            raise StartError(problem)

    def _late(self, name: str, handle: Any) -> str:
        try:
            starting = ray.get(handle.starting.remote(), timeout=1.0)
        except ray.exceptions.GetTimeoutError:
            return f"container '{name}' found no place in the cluster within {self.deadline:g} s"
        return f"{starting} did not start within {self.deadline:g} s (container '{name}')"

    def _connect(self) -> None:
        ray.get([handle.connect.remote(self.handles) for handle in self.handles.values()])

    def restart(self, name: str) -> RayPeer:
        """Start a dead container anew and tell the others where it is. Raises StartError."""
        self.handles[name] = self._create(name)
        self._configure({name: self.handles[name]})
        self._connect()
        return self.peer(name)

    def peer(self, name: str) -> RayPeer:
        """A container as the driver's router sees it."""
        return RayPeer(self.handles[name], self._costs)

    def drag(self, session: str) -> RayDrag:
        """Begin a drag in the home."""
        return RayDrag(self.handles[self.graph.home or ""], session, self._costs)

    def costs(self) -> list[EdgeCosts]:
        """What the edges have cost in each actor that answers, since it was started."""
        found = []
        for handle in self.handles.values():
            with contextlib.suppress(RayActorError, ray.exceptions.GetTimeoutError):
                found.append(ray.get(handle.costs.remote(), timeout=10))
        return found

    def dead(self) -> list[str]:
        """Names of the containers that do not answer any more."""
        gone = []
        for name, handle in self.handles.items():
            try:
                ray.get(handle.starting.remote(), timeout=10)
            except (RayActorError, ray.exceptions.GetTimeoutError):
                gone.append(name)
        return gone

    def close(self) -> None:
        """Clean up the nodes and end the actors."""
        with contextlib.suppress(RayActorError, ray.exceptions.GetTimeoutError):
            ray.get([handle.close.remote() for handle in self.handles.values()], timeout=10)
        self.kill()

    def kill(self) -> None:
        for handle in self.handles.values():
            ray.kill(handle)


class RayDrag:
    """A drag under way in the home actor."""

    def __init__(self, handle: Any, session: str, costs: Costs) -> None:
        self.handle = handle
        self.costs = costs
        drag = handle.drag.options(num_returns="streaming", _generator_backpressure_num_objects=2)
        self._stream = drag.remote(session)

    def next(self, timeout: float) -> Feedback | None:
        """The next item if one comes within ``timeout`` s. Raises StopIteration at the end, ContainerDied."""
        ready, _ = ray.wait([self._stream], timeout=timeout)
        return ray.get(next(self._stream)) if ready else None

    def post(self, items: list[Arrival]) -> bool:
        deliveries = [item for item in items if isinstance(item, Delivery)]
        started = time.perf_counter()
        taken: bool = ray.get(self.handle.post.remote(Parcel(items, deliveries, self.costs)))
        self.costs.held(deliveries, time.perf_counter() - started)
        return taken

    def cancel(self) -> None:
        ray.get(self.handle.cancel.remote())
