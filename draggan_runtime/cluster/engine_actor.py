"""An engine as a Ray actor. Its methods only leave orders or take what is there; one thread of its own computes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from draggan_runtime.cluster.engine import Engine
from draggan_runtime.cluster.log import log, log_to
from draggan_runtime.cluster.memory import available_bytes, give_back, used_bytes
from draggan_runtime.cluster.seats import Entry, Taken
from draggan_runtime.execution.changes import NodeChange
from draggan_runtime.execution.container import Container, one_line
from draggan_runtime.execution.delivery import Delivery
from draggan_runtime.execution.ray_host import RayPeer
from draggan_runtime.execution.router import Router
from draggan_runtime.graph.model import ResolvedGraph

#: s after which :meth:`EngineActor.take` answers even if nothing came, so that both sides know of each other.
TAKE = 1.0
#: s without :meth:`EngineActor.take` after which a session's keeper counts as gone.
FORSAKEN = 30.0
_RECENT = 5.0


@dataclass(frozen=True)
class EngineStatus:
    """What an engine says of itself.

    ``wait``: s that its dragging sessions waited for their next step lately, in the mean; 0 if none drags. ``batch``:
    sessions that stepped together, in the mean. ``round_ms``: of a round. ``bytes_used``, ``bytes_free``: of the memory
    of its device.
    """

    name: str
    pid: int
    node: str
    sessions: int
    drags: int
    steps: int
    steps_per_second: float
    round_ms: float
    wait: float
    batch: float
    bytes_used: int
    bytes_free: int


class EngineActor:
    """Hosts the home container and steps the sessions on it."""

    def __init__(self, graph: ResolvedGraph, name: str, logs: str) -> None:
        log_to(Path(logs), name, engine=name, node=_node_id())
        self._graph = graph
        self._name = name
        self._container = Container(graph, graph.containers[graph.home or ""], accounts=True)
        self._thread = ThreadPoolExecutor(1, "engine")  # torch keeps its number of threads by thread
        self._engine: Engine | None = None
        self._seen: dict[str, float] = {}

    async def configure(self) -> str:
        """Configure the nodes; what went wrong, or an empty line."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._container.configure)
        except Exception as error:
            return one_line(error)
        return ""

    async def connect(self, peers: Mapping[str, Any]) -> None:
        """Learn where the engine's other containers are, and go to work."""
        router = Router(
            self._graph,
            self._container,
            {name: RayPeer(handle, self._container.costs, direct=True) for name, handle in peers.items()},
        )
        self._engine = Engine(self._graph, router, self._graph.engines.batch)
        self._thread.submit(self._work, self._engine)
        asyncio.get_running_loop().create_task(self._watch_keepers())

    def _work(self, engine: Engine) -> None:
        try:
            engine.run()
        except BaseException as error:
            # Half an engine is none: its sessions go on elsewhere from what they have kept.
            log("engine ended", error=one_line(error), traceback=traceback.format_exc())
            os._exit(1)

    @property
    def engine(self) -> Engine:
        assert self._engine is not None, "connect comes first"
        return self._engine

    async def open(self, entry: Entry) -> None:
        """See :meth:`Engine.open`."""
        self._seen[entry.session] = time.monotonic()
        self.engine.open(entry)

    async def post(self, session: str, epoch: int, items: list[Delivery | NodeChange]) -> None:
        """See :meth:`Engine.post`."""
        self.engine.post(session, epoch, items)

    async def begin(self, session: str, epoch: int) -> None:
        """See :meth:`Engine.begin`."""
        self.engine.begin(session, epoch)

    async def cancel(self, session: str, epoch: int) -> None:
        """See :meth:`Engine.cancel`."""
        self.engine.cancel(session, epoch)

    async def watch(self, session: str, epoch: int, watched: bool) -> None:
        """See :meth:`Engine.watch`."""
        self.engine.watch(session, epoch, watched)

    async def leave(self, session: str, epoch: int) -> None:
        """See :meth:`Engine.leave`."""
        self.engine.leave(session, epoch)

    async def take(self, session: str, epoch: int, kept: int) -> Taken:
        """What came after item ``kept``, up to which all is safe; empty if nothing did within a second.

        Raises GoneError.
        """
        seat = self.engine.seat(session, epoch)
        self._seen[session] = time.monotonic()
        seat.kept(kept)
        loop = asyncio.get_running_loop()
        came = asyncio.Event()
        taken = seat.take(kept, lambda: _wake(loop, came))
        if taken is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(came.wait(), TAKE)
            taken = self.engine.seat(session, epoch).take(kept)
        return taken or Taken()

    async def status(self) -> EngineStatus:
        """How it does."""
        engine = self.engine
        now = time.monotonic()
        seats = list(engine.seats.values())
        drags = sum(seat.run is not None for seat in seats)
        rounds = [r for r in list(engine.rounds) if r.at > now - _RECENT]
        steps = sum(r.sessions for r in rounds)
        span = max(now - (rounds[0].at - rounds[0].seconds), 1e-9) if rounds else 1.0
        return EngineStatus(
            name=self._name,
            pid=os.getpid(),
            node=_node_id(),
            sessions=len(seats),
            drags=drags,
            steps=engine.steps,
            steps_per_second=steps / span,
            round_ms=1000 * sum(r.seconds for r in rounds) / len(rounds) if rounds else 0.0,
            wait=sum(r.seconds for r in rounds) / steps * max(drags, 1) if steps else 0.0,
            batch=steps / len(rounds) if rounds else 0.0,
            bytes_used=used_bytes(),
            bytes_free=available_bytes(),
        )

    async def alive(self) -> None:
        """Answers only when the engine ends: whoever waits for it hears of its death."""
        await asyncio.Event().wait()

    async def _watch_keepers(self) -> None:
        """Give the seats of sessions away whose keepers do not come any more, and memory that is not needed."""
        while True:
            await asyncio.sleep(FORSAKEN / 6)
            await asyncio.to_thread(give_back)
            for session, seat in list(self.engine.seats.items()):
                if time.monotonic() - self._seen.get(session, 0.0) > FORSAKEN:
                    log("session forsaken", session=session)
                    self.engine.leave(session, seat.epoch)


def _wake(loop: asyncio.AbstractEventLoop, came: asyncio.Event) -> None:
    """From another thread."""
    loop.call_soon_threadsafe(came.set)


def _node_id() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())
