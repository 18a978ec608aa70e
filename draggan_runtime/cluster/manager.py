"""The cluster's manager, a Ray actor: starts engines and sessions, and gives sessions places on engines, in order.

It holds nothing that cannot be found again: sessions are in the store, and the actors have names.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from draggan_runtime.cluster.blueprint import Blueprint, Own, Tuning, tuned
from draggan_runtime.cluster.engines import EngineInfo, Engines
from draggan_runtime.cluster.gateway import Gateway
from draggan_runtime.cluster.log import log, log_to
from draggan_runtime.cluster.memory import used_bytes
from draggan_runtime.cluster.metrics import ClusterMetrics
from draggan_runtime.cluster.places import NAMESPACE, Place, Wait
from draggan_runtime.cluster.session_actor import SessionActor, checked
from draggan_runtime.cluster.store import About, Store, digest
from draggan_runtime.errors import UserError
from draggan_runtime.messages import Message
from draggan_runtime.wire import encode

_ASK = 0.5  # s that a session waits for an answer before it asks again
_FORGOTTEN = 5.0  # s without asking after which a session has left the line
_RESTARTS = 20


class ManagerActor:
    """``listen``: host and port of the gateway. ``token``: who has it may manage the cluster."""

    def __init__(self, blueprint: Blueprint, folder: str, listen: tuple[str, int], token: str) -> None:
        self.blueprint = blueprint
        self.graph = blueprint.graph
        self.store = Store(Path(folder))
        log_to(self.store.logs, "manager", node=str(ray.get_runtime_context().get_node_id()))
        self.token_sha256 = digest(token)
        self.sessions: dict[str, Any] = {}
        self.ended: dict[str, str] = {}
        self._listen = listen
        self._line: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._metrics = ClusterMetrics()
        self._engines = Engines(self.graph, self.store.logs, self._wake, self._metrics.restart)
        self._gateway = Gateway(self)
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._told_to_wait = False
        # Here, for nobody would ask for it after Ray has started this actor anew.
        self._starting = asyncio.get_running_loop().create_task(self._start())

    async def start(self) -> None:
        """Returns once clients can connect."""
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        """Find the sessions and engines that live, start those that are missing, and open the gateway."""
        for id in self.store.ids():
            with contextlib.suppress(ValueError):
                actor = ray.get_actor(_actor_name(id), NAMESPACE)
                actor.forget_watchers.remote()  # they were another gateway's
                self._watch(id, actor)
        self._engines.start(await self._seated())
        await self._gateway.open(*self._listen)
        asyncio.get_running_loop().create_task(self._measure())
        log("manager up", sessions=len(self.sessions))

    async def _seated(self) -> dict[str, set[str]]:
        """By engine, the sessions that are there: of a manager before this one."""
        seated: dict[str, set[str]] = {}
        for id in self.sessions:
            told = await self.info(id)
            if told.get("engine"):
                seated.setdefault(told["engine"], set()).add(id)
        return seated

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # -- places ------------------------------------------------------------------------------------------------

    async def place(self, id: str, avoid: str, died: bool) -> Place | Wait:
        """A place for a session, or its place in the line; ``died``: the engine to ``avoid`` is dead."""
        if avoid and died:
            self._engines.died(avoid)
        end = time.monotonic() + _ASK
        while True:
            changed = self._changed
            answer = self._place(id, avoid)
            wait = end - time.monotonic()
            if isinstance(answer, Place) or wait <= 0:
                return answer
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), wait)

    def _place(self, id: str, avoid: str) -> Place | Wait:
        for known in self._engines.ready():
            if id in known.sessions:
                if known.name != avoid:
                    return Place(known.name, known.actor)
                known.sessions.discard(id)
        now = time.monotonic()
        self._line[id] = now
        self._line = {other: at for other, at in self._line.items() if now - at < _FORGOTTEN}
        position = list(self._line).index(id)
        engine = self._engines.choose(avoid)
        if engine is None or position >= self._engines.rooms():
            self._tell_to_wait()
            if self._engines.given_up:
                return Wait(0, self._engines.given_up)
            return Wait(position + 1)
        del self._line[id]
        engine.sessions.add(id)
        log("placed", session=id, engine=engine.name)
        self._tell_to_wait()
        return Place(engine.name, engine.actor)

    def _tell_to_wait(self) -> None:
        """Tell the sessions on engines whether others wait for their places."""
        self._metrics.queue(len(self._line))
        if bool(self._line) != self._told_to_wait:
            self._told_to_wait = bool(self._line)
            for actor in self.sessions.values():
                actor.others_wait.remote(self._told_to_wait)

    async def release(self, id: str, name: str) -> None:
        """The session has left the engine."""
        engine = self._engines.all.get(name)
        if engine is not None:
            engine.sessions.discard(id)
        self._wake()

    # -- sessions ----------------------------------------------------------------------------------------------

    async def new_session(self, id: str, messages: list[Message], data: bytes | None = None) -> dict[str, str]:
        """Start a session, empty or from a session file, with what its user says first; its id and token."""
        id = id or secrets.token_hex(3)
        token = secrets.token_urlsafe(24)
        self.store.add(About(id, digest(token), time.time()))
        try:
            actor = self._create(id)
            if data is not None:
                checked(await actor.adopt.remote(data))
            checked(await actor.order.remote([encode(message) for message in messages]))
        except Exception:
            self._end(id)
            self.store.remove(id)
            raise
        self._watch(id, actor)
        return {"id": id, "token": token}

    async def tune(self, id: str, own: Own) -> Tuning:
        """What parameters of a session's own make of the graph. Raises UserError if they do not fit."""
        return await asyncio.to_thread(tuned, self.graph, id, own)  # the nodes' classes are loaded for it

    def resume(self, id: str) -> None:
        """Go on with a session that is on disk only. Raises UserError if there is none."""
        self.store.about(id)
        if id not in self.sessions:
            self._watch(id, self._create(id))

    def _create(self, id: str) -> Any:
        me = ray.get_runtime_context().current_actor
        options = {
            "num_cpus": 0,
            "name": _actor_name(id),
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "max_restarts": _RESTARTS,
        }
        return ray.remote(SessionActor).options(**options).remote(self.blueprint, id, str(self.store.folder), me)

    def _watch(self, id: str, actor: Any) -> None:
        self.sessions[id] = actor
        self.ended.pop(id, None)
        self._watching[id] = asyncio.get_running_loop().create_task(self._run(id, actor))

    async def _run(self, id: str, actor: Any) -> None:
        """Let it live; if its process dies, Ray starts it anew, and it is told to go on."""
        deaths = 0
        while True:
            try:
                await actor.run.remote()
                return
            except RayActorError as error:
                deaths += not isinstance(error, ActorUnavailableError)  # that one is still about the same death
                log("session died", session=id, deaths=deaths)
                for engine in self._engines.all.values():
                    engine.sessions.discard(id)
                self._wake()
                if deaths > _RESTARTS:
                    self.ended[id] = f"its actor died {deaths} times: {type(error).__name__}"
                    self.sessions.pop(id, None)
                    return
                await asyncio.sleep(min(0.05 * 2 ** min(deaths - 1, 6), 2.0))
            except Exception as error:
                self.ended[id] = " ".join(str(error).split())[:300]
                self._end(id)
                return

    def actor(self, id: str) -> Any:
        """The session's actor. Raises UserError if it does not live."""
        if id in self.sessions:
            return self.sessions[id]
        self.store.about(id)
        why = f" ({self.ended[id]})" if id in self.ended else ""
        raise UserError(f"session '{id}' does not run{why}; draggan session resume {id}")

    async def stop_session(self, id: str, delete: bool) -> None:
        """End a session. It stays on the disk unless ``delete``."""
        self.store.about(id)
        actor = self.sessions.get(id)
        if actor is not None:
            with contextlib.suppress(RayActorError, TimeoutError):
                await asyncio.wait_for(actor.stop.remote(), 15)
        self._end(id)
        if delete:
            self.store.remove(id)

    def _end(self, id: str) -> None:
        actor = self.sessions.pop(id, None)
        watching = self._watching.pop(id, None)
        if watching is not None and watching is not asyncio.current_task():
            watching.cancel()
        self._line.pop(id, None)
        if actor is None:
            with contextlib.suppress(ValueError):
                actor = ray.get_actor(_actor_name(id), NAMESPACE)
        if actor is not None:
            ray.kill(actor)

    # -- about it ----------------------------------------------------------------------------------------------

    async def info(self, id: str) -> dict[str, Any]:
        """How a session does."""
        about = self.store.about(id)
        if id not in self.sessions:
            return {"id": id, "state": "stored", "why": self.ended.get(id, ""), "created": about.created}
        try:
            told: dict[str, Any] = await asyncio.wait_for(self.sessions[id].info.remote(), 5)
        except (RayActorError, TimeoutError):
            return {"id": id, "state": "being restored", "created": about.created}
        return {**told, "created": about.created}

    async def status(self) -> dict[str, Any]:
        """Everything, for people and programs."""
        sessions = await asyncio.gather(*(self.info(id) for id in self.store.ids()))
        return {
            "graph": self.graph.name,
            "engines": [_engine(e) for e in self._engines.all.values()],
            "sessions": sessions,
            "queue": len(self._line),
            "engine_restarts": self._engines.restarts,
            "given_up": self._engines.given_up,
            "limits": asdict(self.graph.engines),
            "store": str(self.store.folder),
            "manager": {
                "pid": os.getpid(),
                "bytes_used": used_bytes(),
            },
        }

    async def close(self) -> None:
        """End everything; the sessions stay on the disk."""
        await asyncio.gather(*(self.stop_session(id, delete=False) for id in list(self.sessions)))
        await self._engines.close()
        await self._gateway.close()

    async def _measure(self) -> None:
        known: set[str] = set()
        while True:
            await asyncio.sleep(1.0)
            for name in known - self._engines.all.keys():
                self._metrics.gone(name)
            known = set(self._engines.all)
            for engine in self._engines.all.values():
                status = engine.status
                if status is not None:
                    self._metrics.engine(engine.name, len(engine.sessions), status.batch, status.steps_per_second)


def _engine(engine: EngineInfo) -> dict[str, Any]:
    status = asdict(engine.status) if engine.status is not None else {}
    return {**status, "name": engine.name, "state": engine.state, "sessions": sorted(engine.sessions)}


def _actor_name(id: str) -> str:
    return f"session-{id}"
