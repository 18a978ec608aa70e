"""The engines of a cluster: started, watched, replaced when they die, and which of them has room for a session."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util.placement_group import get_placement_group, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from draggan_runtime.cluster.engine_actor import EngineActor, EngineStatus
from draggan_runtime.cluster.log import log
from draggan_runtime.execution.container import one_line
from draggan_runtime.execution.ray_host import ContainerActor, actor_options
from draggan_runtime.graph.model import ContainerSpec, ResolvedGraph

START = 300.0
_PREFIX = "engine-"
_HEALTHY = 5.0  # s an engine lives before its death counts as a new trouble
_LONGEST = 30.0  # s between two attempts
_POLL = 1.0
_LEAST = 64 * 1024 * 1024  # bytes a session is taken to need before that has been measured


@dataclass
class EngineInfo:
    """An engine as the manager knows it. ``state``: starting, spare, ready or dead."""

    name: str
    state: str = "starting"
    actor: Any = None
    others: list[Any] = field(default_factory=list)
    group: Any = None
    sessions: set[str] = field(default_factory=set)
    status: EngineStatus | None = None
    bytes_alone: int = 0
    since: float = field(default_factory=time.monotonic)


class Engines:
    """``logs``: folder of their logs. ``changed`` is called when there may be more or less room."""

    def __init__(
        self, graph: ResolvedGraph, logs: Path, changed: Callable[[], None], restarted: Callable[[], None]
    ) -> None:
        self.graph = graph
        self.limits = graph.engines
        self.all: dict[str, EngineInfo] = {}
        self.restarts = 0
        self.given_up = ""
        self._logs = logs
        self._changed = changed
        self._restarted = restarted
        self._count = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    def start(self, seated: Mapping[str, set[str]]) -> None:
        """Take over the engines of a manager before this one, with the sessions there, and start what is missing."""
        slots = self.limits.replicas + self.limits.spares
        known = _found()
        self._count = max((int(name.rpartition("-")[2]) for name in known), default=0)
        names = [*known[:slots], *[""] * (slots - len(known))]
        self._tasks = [
            asyncio.get_running_loop().create_task(self._keep_one(name, seated.get(name, set()))) for name in names
        ]
        self._tasks.append(asyncio.get_running_loop().create_task(self._poll()))

    async def close(self) -> None:
        """End all of them."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        for engine in self.all.values():
            _kill(engine)

    # -- room --------------------------------------------------------------------------------------------------

    def ready(self) -> list[EngineInfo]:
        """The engines that take sessions; spares stand in for missing ones."""
        ready = [e for e in self.all.values() if e.state == "ready"]
        for spare in [e for e in self.all.values() if e.state == "spare"][: self.limits.replicas - len(ready)]:
            spare.state = "ready"
            ready.append(spare)
        return ready

    def room(self, engine: EngineInfo) -> int:
        """How many more sessions it takes: by number, memory, and the wait for a step."""
        free = self.limits.sessions - len(engine.sessions)
        status = engine.status
        if status is None or free <= 0:
            return max(free, 0)
        if status.drags and status.wait * (status.drags + 1) / status.drags > self.limits.step_budget:
            return 0
        each = max(_LEAST, (status.bytes_used - engine.bytes_alone) // max(status.sessions, 1))
        return min(free, max(0, status.bytes_free // each - 1)) if status.bytes_free else free

    def choose(self, avoid: str) -> EngineInfo | None:
        """The engine with the most room, None if there is none; ``avoid`` only if there is no other."""
        with_room = [e for e in self.ready() if self.room(e) > 0]
        return min(with_room, key=lambda e: (e.name == avoid, len(e.sessions)), default=None)

    def rooms(self) -> int:
        """How many sessions could be taken."""
        return sum(self.room(e) for e in self.ready())

    def died(self, name: str) -> None:
        """Somebody says that an engine died."""
        engine = self.all.get(name)
        if engine is not None and engine.state != "dead":
            engine.state = "dead"
            engine.sessions.clear()
            _kill(engine)  # if it only seemed so, it must not go on
            self._changed()

    # -- their lives -------------------------------------------------------------------------------------------

    async def _keep_one(self, name: str, seated: set[str]) -> None:
        failures = 0
        while not self._closing:
            found, name = name, ""
            self._count += not found
            engine = EngineInfo(found or f"{_PREFIX}{self._count}")
            self.all[engine.name] = engine
            if found:
                problem = await self._take_over(engine)
                engine.sessions, seated = seated, set()
            else:
                problem = await self._start(engine)
            if not problem:
                up = time.monotonic()
                missing = self.limits.replicas - sum(e.state == "ready" for e in self.all.values())
                engine.state = "ready" if engine.sessions or missing > 0 else "spare"
                log("engine up", engine=engine.name, state=engine.state)
                self._changed()
                with contextlib.suppress(RayActorError):
                    await engine.actor.alive.remote()
                problem = "died"
                failures = 0 if time.monotonic() - up > _HEALTHY else failures
            self.died(engine.name)
            del self.all[engine.name]
            failures += 1
            self.restarts += 1
            self._restarted()
            log("engine down", engine=engine.name, why=problem, in_a_row=failures)
            if failures > self.limits.restarts:
                self.given_up = f"engines cannot be started ({failures} times in a row: {problem})"
                log("given up", why=self.given_up)
                self._changed()
                return
            # Not at once: a process that starts would slow those down where the sessions go on just now.
            await asyncio.sleep(min(2 ** (failures - 1), _LONGEST))

    async def _take_over(self, engine: EngineInfo) -> str:
        """An engine that is there already; what is wrong with it, or an empty line."""
        try:
            home, *others = [name for name in _names() if name == engine.name or name.startswith(f"{engine.name}/")]
            engine.actor = ray.get_actor(home)
            engine.others = [ray.get_actor(name) for name in others]
            status: EngineStatus = await asyncio.wait_for(engine.actor.status.remote(), 5)
            engine.status, engine.bytes_alone = status, status.bytes_used
            with contextlib.suppress(ValueError):
                engine.group = get_placement_group(engine.name)
        except (ValueError, RayActorError, TimeoutError, AssertionError) as error:
            return one_line(error)
        return ""

    async def _start(self, engine: EngineInfo) -> str:
        """Create its actors and configure them; what went wrong, or an empty line."""
        try:
            return await asyncio.wait_for(self._create(engine), START)
        except TimeoutError:
            return f"not up within {START:g} s; are there resources for it?"
        except Exception as error:
            return one_line(error)

    async def _create(self, engine: EngineInfo) -> str:
        specs = [spec for spec in self.graph.containers.values() if spec.place == "actor"]
        home = self.graph.home or ""
        placed: dict[str, Any] = {}
        if len(specs) > 1:
            bundles = [_bundle(spec) for spec in specs]
            engine.group = placement_group(
                bundles,
                strategy=self.limits.placement.upper(),
                lifetime="detached",
                name=engine.name,
                bundle_label_selector=[dict(spec.labels) for spec in specs],
            )
            await engine.group.ready()
        for index, spec in enumerate(specs):
            options = {**actor_options(spec), "scheduling_strategy": "SPREAD"}  # a node's death takes few engines
            if engine.group is not None:
                options.pop("label_selector", None)
                options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(engine.group, index)
            name = engine.name if spec.name == home else f"{engine.name}/{spec.name}"
            options |= {"name": name, "lifetime": "detached", "max_restarts": 0}
            if spec.name == home:
                engine.actor = (
                    ray.remote(EngineActor).options(**options).remote(self.graph, engine.name, str(self._logs))
                )
            else:
                options["concurrency_groups"] = {"control": 2}
                actor = ray.remote(ContainerActor).options(**options).remote(self.graph, spec.name, True)
                placed[spec.name] = actor
                engine.others.append(actor)
        problems = await asyncio.gather(*(a.configure.remote() for a in [engine.actor, *placed.values()]))
        if any(problems):
            return str(next(filter(None, problems)))
        await asyncio.gather(*(actor.connect.remote({}) for actor in placed.values()))
        await engine.actor.connect.remote(placed)
        engine.status = await engine.actor.status.remote()
        engine.bytes_alone = engine.status.bytes_used
        return ""

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(_POLL)
            for engine in [e for e in self.all.values() if e.state in ("ready", "spare")]:
                with contextlib.suppress(RayActorError, TimeoutError):
                    before = self.room(engine)
                    engine.status = await asyncio.wait_for(engine.actor.status.remote(), 5)
                    if self.room(engine) > before:
                        self._changed()


def _names() -> list[str]:
    """Names of the engines' actors in this namespace, home before the others."""
    return sorted(str(name) for name in ray.util.list_named_actors() if str(name).startswith(_PREFIX))


def _found() -> list[str]:
    """Names of the engines there are."""
    return [name for name in _names() if "/" not in name]


def _bundle(spec: ContainerSpec) -> dict[str, float]:
    options = actor_options(spec)
    # A bundle must hold something.
    return {"CPU": options["num_cpus"] or 0.001} | ({"GPU": options["num_gpus"]} if options["num_gpus"] else {})


def _kill(engine: EngineInfo) -> None:
    for actor in [engine.actor, *engine.others]:
        if actor is not None:
            with contextlib.suppress(Exception):
                ray.kill(actor)
    if engine.group is not None:
        with contextlib.suppress(Exception):
            remove_placement_group(engine.group)
