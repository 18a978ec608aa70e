"""A session as a Ray actor: owns the durable state, has it stepped on an engine, shows it to who attaches. No torch."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError

from draggan_runtime.cluster.blueprint import Blueprint, differing
from draggan_runtime.cluster.keeper import Keeper
from draggan_runtime.cluster.log import log, log_to
from draggan_runtime.cluster.memory import give_back, used_bytes
from draggan_runtime.cluster.metrics import SessionMetrics
from draggan_runtime.cluster.places import Place
from draggan_runtime.cluster.protocol import frame_bytes, mark, told
from draggan_runtime.cluster.seats import Entry, GoneError, Taken
from draggan_runtime.cluster.store import Store
from draggan_runtime.cluster.watchers import Watchers
from draggan_runtime.errors import DragganError, UserError
from draggan_runtime.execution.container import one_line
from draggan_runtime.execution.delivery import Delivery
from draggan_runtime.graph.layers import split_override
from draggan_runtime.graph.source import scalar
from draggan_runtime.messages import Command, Frame, Progress
from draggan_runtime.session import dump_session, parse_session
from draggan_runtime.wire import decode, to_host

#: s that an idle session with somebody attached keeps its place while others wait for one.
POLITE = 3.0
_LOOK = 1.0
_STAMPS = 500
_FLUSH = 0.05
_TIDY = 10.0


class SessionActor:
    """One session. Ray starts it anew if it dies; it then goes on from its folder."""

    def __init__(self, blueprint: Blueprint, id: str, folder: str, manager: Any) -> None:
        store = Store(Path(folder))
        log_to(store.logs, f"session-{id}", session=id, node=str(ray.get_runtime_context().get_node_id()))
        self.id = id
        self.manager = manager
        self.keeper = Keeper(blueprint, id, store.session(id))
        self.limits = blueprint.graph.engines
        self.watchers = Watchers()
        self.state = "new"
        self.place: Place | None = None
        self.queued = 0
        self.failed = ""
        self.moves: list[float] = []  # s that a change of engine took between two steps
        self.engine_deaths = 0
        self._deaths_here = (-1, 0)  # the step at which engines died, and how many
        self._steps_since = 0
        self._last_step = 0.0
        self._stepped_at: dict[int, float] = {}
        self._said: tuple[float, int] | None = None  # when a user said something, and the first step that shows it
        self._metrics = SessionMetrics(id)
        self._running: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._stopped = False
        self._others_wait = False
        self._away = ""  # why to leave the engine
        self._avoid = ""
        self._avoid_is_dead = False
        log("session up", step=self.keeper.record.step, dragging=self.keeper.kept.dragging)

    async def run(self) -> None:
        """Live, until :meth:`stop`. Whoever waits for it hears of the actor's death."""
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._live())
        await asyncio.shield(self._running)

    # -- its life ----------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        flushing = asyncio.get_running_loop().create_task(self._flush())
        try:
            if self.keeper.kept.own:
                self.keeper.tune(await self.manager.tune.remote(self.id, self.keeper.kept.own))
            while not self._stopped:
                if self.failed or not self.keeper.busy:
                    self._set("failed" if self.failed else "parked")
                    await self._woken(None)
                    continue
                place = await self._find_place()
                if place is not None:
                    await self._stay(place)
        except Exception as error:
            log("session ended", error=one_line(error))
            raise
        finally:
            flushing.cancel()
            self.keeper.write(sync=True)

    async def _woken(self, wait: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), wait)
        self._wake.clear()

    async def _flush(self) -> None:
        """Write what users changed, soon; and now and then give back memory that is free."""
        tidied = time.monotonic()
        while True:
            await asyncio.sleep(_FLUSH)
            if self.keeper.dirty:
                self.keeper.write()
            if time.monotonic() - tidied > _TIDY:
                await asyncio.to_thread(give_back)
                tidied = time.monotonic()

    async def _find_place(self) -> Place | None:
        """A place on an engine; None if there is none yet."""
        try:
            answer = await self.manager.place.remote(self.id, self._avoid, self._avoid_is_dead)
        except RayActorError:
            self._set("waiting for the manager")
            await asyncio.sleep(0.2)
            return None
        if isinstance(answer, Place):
            self.queued, self._avoid, self._avoid_is_dead = 0, "", False
            return answer
        if answer.position != self.queued or self.state != "queued":
            self.queued = answer.position
            self._set("queued")
            self._say(f"all engines are full: place {answer.position} in the line" if answer.position else answer.why)
        return None

    async def _stay(self, place: Place) -> None:
        """On an engine, until there is no more to do, or it dies."""
        self.place, self._away = place, ""
        entry = replace(self.keeper.entry(), watched=bool(self.watchers))
        resumed = entry.snapshot is not None
        self._steps_since = 0
        try:
            await place.engine.open.remote(to_host(entry))
            self._set("running")
            if resumed and self._last_step:
                self._say(f"going on at step {self.keeper.record.step} on {place.name}")
            await self._follow(place, entry)
        except RayActorError:
            self._engine_died(place)
        except GoneError:
            log("engine forgot the session", engine=place.name)
        finally:
            self.keeper.left()
            self.place = None
            with contextlib.suppress(RayActorError):
                await self.manager.release.remote(self.id, place.name)

    async def _follow(self, place: Place, entry: Entry) -> None:
        number, epoch = 0, entry.epoch
        sending = asyncio.get_running_loop().create_task(self._send_orders(place, entry))
        try:
            while not (self._stopped or self._away):
                taken: Taken = await place.engine.take.remote(self.id, epoch, number)
                for item in taken.items:
                    self.keeper.absorb(item)
                    number = item.number
                    if item.progress is not None:
                        self._stepped(item.progress.step)
                self._pictures(taken.latest)
                self._tell()
                self._wake.set()  # there may be orders
                if not self.keeper.busy and not self.keeper.orders:
                    patience = 0.0 if not self.watchers else POLITE if self._others_wait else self.limits.idle
                    if self.keeper.idle_seconds >= patience:
                        break
            with contextlib.suppress(GoneError):
                await place.engine.leave.remote(self.id, epoch)
        finally:
            sending.cancel()

    async def others_wait(self, wait: bool) -> None:
        """The manager says whether somebody waits for a place."""
        self._others_wait = wait

    async def _send_orders(self, place: Place, entry: Entry) -> None:
        engine, epoch = place.engine, entry.epoch
        watched = entry.watched
        with contextlib.suppress(RayActorError, GoneError):
            while True:
                orders, self.keeper.orders = self.keeper.orders, type(self.keeper.orders)()
                if orders.items:
                    await engine.post.remote(self.id, epoch, to_host(orders.items))
                if orders.begin:
                    self.keeper.write()
                    await engine.begin.remote(self.id, epoch)
                if orders.cancel:
                    await engine.cancel.remote(self.id, epoch)
                if watched != bool(self.watchers):
                    watched = bool(self.watchers)
                    await engine.watch.remote(self.id, epoch, watched)
                await self._woken(None)

    def _pictures(self, latest: list[Delivery]) -> None:
        for delivery in latest:
            if not isinstance(delivery.message, Frame):
                continue
            step, now = delivery.message.step, time.monotonic()
            if (at := self._stepped_at.pop(step, None)) is not None:
                self._metrics.age(now - at)
            if self._said is not None and (
                step == self._said[1] or (step > self._said[1] and self.keeper.kept.dragging)
            ):
                self._metrics.seen(now - self._said[0])
                self._said = None
        self.keeper.arrive(latest)

    def _stepped(self, step: int) -> None:
        now = time.monotonic()
        self._stepped_at[step] = now
        self._stepped_at.pop(step - _STAMPS, None)
        if self._steps_since == 0 and self._last_step and self._deaths_here[1]:
            self.moves.append(now - self._last_step)
            self._metrics.pause(now - self._last_step)
        elif self._last_step:
            self._metrics.step(now - self._last_step)
        self._steps_since += 1
        self._last_step = now
        self._deaths_here = (-1, 0)
        if not self.keeper.kept.dragging:
            self._last_step = 0.0
            self._stepped_at = {step: now}  # the numbers of the others may come again, for other pictures

    def _engine_died(self, place: Place) -> None:
        self.engine_deaths += 1
        self._metrics.restart()
        step = self.keeper.record.step
        same, count = self._deaths_here
        self._deaths_here = step, count + 1 if same == step else 1
        log("engine died", engine=place.name, step=step)
        self._avoid, self._avoid_is_dead = place.name, True
        if self._deaths_here[1] > self.limits.restarts:
            why = f"its engine died {self._deaths_here[1]} times at step {step}: the drag is given up"
            self.keeper.fail(why)
            self._deaths_here = (-1, 0)
        else:
            self._say(f"{place.name} died; going on from step {step} elsewhere")
        self._tell()

    # -- to its users ------------------------------------------------------------------------------------------

    def _set(self, state: str) -> None:
        if state != self.state:
            self.state = state
            log(state, step=self.keeper.record.step, place=self.place.name if self.place else "")

    def _say(self, text: str, problem: bool = False) -> None:
        self.keeper.notice(text, problem)
        self._tell()

    def _tell(self) -> None:
        told, self.keeper.told = self.keeper.told, []
        self.watchers.tell(told)

    async def attach(self, watcher: str, codec: str, pen: bool, last_step: str = "") -> bool:
        """Somebody comes to look, who knows the step marked ``last_step``; True if the pen is theirs."""
        self.watchers.add(watcher, codec, pen).add(self.keeper.picture_of_now(last_step))
        self.keeper.draw_if_missing()
        self._wake.set()
        if self.queued:
            self._say(f"all engines are full: place {self.queued} in the line")
        return self.watchers.pen == watcher

    async def detach(self, watcher: str) -> None:
        """Somebody goes."""
        self.watchers.remove(watcher)
        self._wake.set()

    async def forget_watchers(self) -> None:
        """Whoever was attached is not any more: their gateway has ended."""
        self.watchers.clear()
        self._wake.set()

    async def look(self, watcher: str) -> tuple[bytes, bool, str] | None:
        """What is new for them, ready to be sent, whether the pen is theirs, and the mark of the newest step in it.

        None if they are not attached.
        """
        known = self.watchers.get(watcher)
        if known is None:
            return None
        new = await known.take(_LOOK)
        data = b"".join(frame_bytes(entry) for entry in told(new, known.codec))
        steps = [d.message for d in new if isinstance(d.message, Progress)]
        return data, self.watchers.pen == watcher, mark(steps[-1]) if steps else ""

    async def post(self, watcher: str, message: bytes) -> str:
        """A message from somebody; what is wrong with it, or an empty line."""
        if self.watchers.pen != watcher:
            return "somebody else holds the pen; attach with --pen to take it"
        return await self._hear([message], watcher)

    async def order(self, messages: list[bytes]) -> str:
        """Messages from nobody who is attached (the session's own start); what is wrong, or an empty line."""
        return await self._hear(messages, "")

    async def _hear(self, messages: list[bytes], by: str) -> str:
        try:
            self.failed = ""
            for data in messages:
                message = decode(data)
                if isinstance(message, Command) and message.verb == "set":
                    await self._tune(message.argument)
                else:
                    self.keeper.post(message, by)
                    kept = self.keeper.kept
                    if self._said is None and (kept.dragging or not kept.drawn):
                        self._said = time.monotonic(), kept.record.step + (kept.dragging or kept.wanted)
        except DragganError as error:
            return one_line(error)
        finally:
            self._tell()
            self._wake.set()
        return ""

    async def _tune(self, assignment: str) -> None:
        key, value = split_override(assignment)
        node, _, param = key.partition(".")
        own = self.keeper.kept.own
        changed = {**own, node: {**own.get(node, {}), param: scalar(value)}}
        self.keeper.tune(await self.manager.tune.remote(self.id, changed))

    async def adopt(self, data: bytes) -> str:
        """Go on with a saved session; what is wrong with it, or an empty line."""
        try:
            record = parse_session(data, Path("the session"))
            own = differing(record.params, self.keeper.blueprint.params)
            self.keeper.adopt(record, await self.manager.tune.remote(self.id, own))
        except DragganError as error:
            return one_line(error)
        finally:
            self._tell()
            self._wake.set()
        return ""

    # -- about it ----------------------------------------------------------------------------------------------

    async def saved(self) -> dict[str, Any]:
        """A session file of it, and uint8 ``[H, W, 3]``: its picture, None while that is not drawn in full."""
        return {"file": dump_session(self.keeper.record), "picture": self.keeper.drawn_picture}

    async def info(self) -> dict[str, Any]:
        """How it does."""
        keeper = self.keeper
        record, progress = keeper.record, keeper.progress
        drag = record.history[-1] if record.history else None
        return {
            "id": self.id,
            "state": self.state,
            "engine": self.place.name if self.place else "",
            "place": self.queued if self.state == "queued" else 0,
            "step": record.step,
            "points": len(record.points),
            "masked": record.mask is not None,
            "drag": "" if drag is None else drag.stopped or ("dragging" if keeper.kept.dragging else ""),
            "wanted": keeper.kept.wanted,
            "drag_steps": 0 if drag is None else drag.steps,
            "left_px": None if drag is None else max(drag.distances.values(), default=None),
            "steps_per_second": 0.0 if progress is None else progress.steps_per_second,
            "frame_age": self._metrics.frame_age,
            "watchers": len(self.watchers),
            "engine_deaths": self.engine_deaths,
            "pauses": list(self.moves),
            "failed": self.failed,
            "pid": os.getpid(),
            "node": str(ray.get_runtime_context().get_node_id()),
            "bytes_used": used_bytes(),
        }

    async def relocate(self, why: str = "moved") -> None:
        """Leave the engine at the next step and look for another place."""
        if self.place is not None:
            self._avoid, self._avoid_is_dead = self.place.name, False
            self._away = why
            self._wake.set()

    async def stop(self) -> None:
        """End; everything is on the disk when this returns."""
        self._stopped = True
        self._wake.set()
        if self._running is not None:
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await asyncio.wait_for(asyncio.shield(self._running), 10)
        self.keeper.write(sync=True)


def checked(text: str) -> None:
    """Raises UserError if an answer of an actor says that something is wrong."""
    if text:
        raise UserError(text)
