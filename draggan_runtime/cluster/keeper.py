"""What a session does with what its users and its engine say: it keeps the durable state, and says what to do next.

Without Ray and without torch; :mod:`session_actor` carries its orders out.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from draggan_runtime.cluster.blueprint import Blueprint, Tuning
from draggan_runtime.cluster.protocol import NO_PHOTOS, WITHOUT_PHOTO, mark
from draggan_runtime.cluster.seats import ENTRY, Entry, Item
from draggan_runtime.cluster.store import Kept, SessionStore
from draggan_runtime.errors import UserError
from draggan_runtime.execution.changes import NodeChange
from draggan_runtime.execution.delivery import Delivery, along
from draggan_runtime.execution.parts import nested
from draggan_runtime.graph.model import DRAG, SESSION
from draggan_runtime.messages import (
    Command,
    Frame,
    Goal,
    Latent,
    LatentRequest,
    Mask,
    Message,
    Notice,
    Progress,
    Stopped,
)
from draggan_runtime.session import SessionRecord

#: What waits for a drag to end, and ends it.
_ENDS_DRAG = ("undo", "redo")


@dataclass
class Orders:
    """What the engine shall be told, in this order: what changed, and whether a drag shall begin or end."""

    items: list[Delivery | NodeChange] = field(default_factory=list)
    begin: bool = False
    cancel: bool = False

    def __bool__(self) -> bool:
        return bool(self.items) or self.begin or self.cancel


class Keeper:
    """One session. ``orders`` are for its engine; they wait while it has none, where that makes sense.

    ``told``: messages for the nodes at its users' end, and whose own message that was, to whom it need not be told.
    """

    def __init__(self, blueprint: Blueprint, id: str, store: SessionStore) -> None:
        self.blueprint = blueprint
        self.store = store
        self.seated = False
        self.dirty = False
        self.orders = Orders()
        self.told: list[tuple[Delivery, str]] = []
        self.frame: Frame | None = None
        self.progress: Progress | None = None
        self.touched = time.monotonic()
        self._after_drag: deque[tuple[Message, str]] = deque()
        graph = blueprint.graph
        self._edges = graph.edges_from
        self._here = {n for c in graph.containers.values() if c.place == "driver" for n in c.nodes}
        self._session = graph.find(SESSION) or ""
        self._drag = graph.find(DRAG) or ""
        self._changes: tuple[NodeChange, ...] = ()
        self.kept = store.read() or Kept(SessionRecord(id=id, model=blueprint.model, params=blueprint.params))

    # -- what it is --------------------------------------------------------------------------------------------

    @property
    def record(self) -> SessionRecord:
        """What a session file would hold."""
        return self.kept.record

    @property
    def busy(self) -> bool:
        """True if it has something for an engine to do: a drag, or a picture that is not drawn."""
        has_picture = self.record.w_plus is not None or self.record.seed is not None
        undrawn = bool(self.blueprint.pictures) and has_picture and not self.kept.drawn
        return self.kept.dragging or self.kept.wanted or undrawn or (self.record.w_plus is None and has_picture)

    @property
    def idle_seconds(self) -> float:
        """s since a user or the engine did something."""
        return 0.0 if self.busy else time.monotonic() - self.touched

    # -- what its users say ------------------------------------------------------------------------------------

    def post(self, message: Message, by: str = "") -> None:
        """A message of a user. Raises UserError for one that a session does not take, or that does not fit."""
        self.touched = time.monotonic()
        if isinstance(message, LatentRequest) and message.photo is not None:
            raise UserError(NO_PHOTOS)
        message = replace(message, session=self.record.id, step=self.record.step)
        if self.kept.dragging and (self._after_drag or self._ends_drag(message)):
            self._after_drag.append((message, by))
            self._end_drag()
            return
        if isinstance(message, Command):
            self._command(message)
        elif isinstance(message, LatentRequest | Goal | Mask):
            self._keep(message, by)
        else:
            raise UserError(f"a session takes no {type(message).__name__}")
        self.dirty = True

    @staticmethod
    def _ends_drag(message: Message) -> bool:
        return isinstance(message, LatentRequest) or (isinstance(message, Command) and message.verb in _ENDS_DRAG)

    def adopt(self, record: SessionRecord, tuning: Tuning) -> None:
        """Go on with a saved session, without its photo. Raises UserError if it was edited on another model."""
        if record.model != self.blueprint.model:
            raise UserError(
                f"the session was edited on model '{record.model}', this cluster has '{self.blueprint.model}'; "
                f"start one with a config for it"
            )
        if self.kept.dragging and self.seated:
            raise UserError("a drag is under way; cancel it first")
        if record.photo is not None:
            record.photo = None
            self.notice(WITHOUT_PHOTO)
        record.id = self.record.id
        self.kept = Kept(record, epoch=self.kept.epoch)
        self.tune(tuning)
        self._show()
        self.dirty = True

    def tune(self, tuning: Tuning) -> None:
        """Take parameters of this session's own."""
        self.kept.own = tuning.own
        self.record.params = tuning.params
        self._changes = tuning.changes
        if self.seated:
            self.orders.items += tuning.changes
        self.dirty = True

    def _keep(self, message: Message, by: str) -> None:
        source = self.blueprint.sources.get(type(message).__name__)
        if source is None:
            name = self.blueprint.graph.name
            raise UserError(f"graph '{name}' has no edge to {SESSION} for a {type(message).__name__}")
        self._check(message)
        if isinstance(message, LatentRequest):
            self.record.request(message)
            self.record.step = 0
            self.record.w_plus = message.w_plus
            self.kept.wanted = self.kept.drawn = False
            self.progress = self.frame = None
            message = replace(message, step=0)
        else:
            self.record.keep(message)
        self._send(source, message, by)
        if not isinstance(message, LatentRequest) and self._session:
            port = "goal" if isinstance(message, Goal) else "mask"
            self._tell(self._edges(self._session, port), message, by)

    def _command(self, command: Command) -> None:
        verb = command.verb
        if verb == "start":
            self._start()
        elif verb == "stop":
            self.kept.wanted = False
            self._end_drag()
        elif verb == "undo":
            self.record.undo()
            self._show()
        elif verb == "redo":
            self.record.redo()
            self._show()
        else:
            raise UserError(f"'{verb}' is for the window that shows the session, not for the session")

    def _start(self) -> None:
        if self.kept.dragging or self.kept.wanted:
            return
        if not self.record.points:
            raise UserError("there is no point to drag; set a handle and a target first")
        if self.record.w_plus is None and self.record.seed is None:
            raise UserError("there is no picture yet; choose a seed or open a session first")
        self.kept.wanted = True
        self._begin_if_ready()

    def _begin_if_ready(self) -> None:
        """The drag that was asked for begins once there is an engine and a picture."""
        if self.kept.wanted and self.seated and self.record.w_plus is not None:
            self.record.begin()
            self.progress = None
            self.kept.wanted, self.kept.dragging, self.kept.parts = False, True, {}
            self.orders.begin = True
            self.dirty = True

    def _end_drag(self) -> None:
        """End the drag: at its next step if an engine makes steps, else where it is."""
        if self.kept.dragging and self.seated:
            self.orders.cancel = True
        elif self.kept.dragging:
            self._end_here("cancelled")

    def _end_here(self, how: Stopped) -> None:
        """The drag ends where it is; its users hear of it as they do from an engine."""
        drag = self.record.history[-1]
        drag.stopped = how
        self.kept.dragging, self.kept.parts = False, {}
        last = self.progress or Progress(
            session=self.record.id,
            step=self.record.step,
            drag_steps=drag.steps,
            handles=drag.handles,
            distances=drag.distances,
            confidence={},
            loss=math.nan,
            w_plus=self.record.w_plus,
            seconds=drag.seconds,
        )
        self.progress = replace(last, stopped=how)
        self._tell(self._edges(self._drag, "progress"), self.progress, "")
        self._drag_ended()

    def _check(self, message: Message) -> None:
        """Raises UserError for points outside the picture, and a mask of another size."""
        size = self.blueprint.size
        if size is None:
            return
        width, height = size
        if isinstance(message, Goal):
            for pair in message.points:
                for what, (x, y) in (("handle", pair.handle), ("target", pair.target)):
                    if not (0 <= x < width and 0 <= y < height):
                        raise UserError(
                            f"point {pair.id}: {what} {x:g},{y:g} is outside the picture; "
                            f"x is 0 to {width - 1}, y 0 to {height - 1}"
                        )
        if isinstance(message, Mask) and message.movable is not None and message.movable.shape != (height, width):
            have = " x ".join(str(n) for n in reversed(message.movable.shape))
            raise UserError(f"mask is {have}, the picture {width} x {height}; give one of the picture's size")

    def _show(self) -> None:
        """The record is another one: the engine and all users get it whole."""
        self.progress = self.frame = None
        self.kept.wanted = self.kept.drawn = False
        self.orders.items += self._introduction()
        source = self.blueprint.sources.get(LatentRequest.__name__)
        if source is not None and self.record.w_plus is not None:  # so that windows expect another picture
            again = LatentRequest(session=self.record.id, step=self.record.step, w_plus=self.record.w_plus)
            self._tell(self._edges(*source), again, "")
        for port, message in self._goal_and_mask():
            source = self.blueprint.sources.get(type(message).__name__)
            if source is not None:
                self._tell(self._edges(*source), message, "")
            self._tell(self._edges(self._session, port), message, "")

    # -- what its engine says ----------------------------------------------------------------------------------

    def entry(self) -> Entry:
        """What to bring to an engine; from now on the session is seated there."""
        self.kept.epoch = max(self.kept.epoch + 1, time.time_ns() // 1_000_000)
        self.orders = Orders()
        self.seated = True
        kept, id = self.kept, self.record.id
        deliveries = [item for item in self._introduction(kept.dragging) if isinstance(item, Delivery)]
        entry = Entry(id, kept.epoch, deliveries, list(self._changes))
        if kept.dragging and not kept.parts:  # it had not made its first step
            self.orders.begin = True
        elif kept.dragging:
            self.orders.cancel = bool(self._after_drag)
            drag = self.record.history[-1]
            entry = replace(entry, snapshot=nested(kept.parts), drag_steps=drag.steps, seconds=drag.seconds)
        self._begin_if_ready()
        self.write()
        return entry

    def left(self) -> None:
        """The session is on no engine any more."""
        self.seated = False
        self.orders = Orders()

    def absorb(self, item: Item) -> None:
        """Something happened on the engine: keep it, on disk if it is a step, and then tell the users."""
        if item.progress is not None and self.kept.dragging:
            self._step(item)
        for delivery in item.deliveries:
            self._arrived(delivery)
        for failure in item.failures:
            self.kept.wanted = False
            self.kept.drawn = True  # nothing more will come of it
            if failure.node == ENTRY:
                self.fail(str(failure))
            else:
                self.notice(str(failure), problem=True)

    def _step(self, item: Item) -> None:
        progress = item.progress
        assert progress is not None
        self.touched = time.monotonic()
        self.kept.step(progress, item.parts)
        if progress.step != self.record.step or progress.stopped is None or len(progress.w_plus):
            self.kept.drawn = False
        if self.dirty:
            self.write()
        self.store.write_step(self.kept, progress, item.parts)
        self.progress = progress
        self._tell(self._edges(self._drag, "progress"), progress, "")
        if progress.stopped:
            self._drag_ended()

    def _drag_ended(self) -> None:
        waiting, self._after_drag = self._after_drag, deque()
        for message, by in waiting:
            try:
                self.post(message, by)
            except UserError as error:
                self.notice(str(error), problem=True)

    def arrive(self, deliveries: Iterable[Delivery]) -> None:
        """``latest`` messages of the engine: pictures."""
        for delivery in deliveries:
            self._arrived(delivery)

    def _arrived(self, delivery: Delivery) -> None:
        message = delivery.message
        if isinstance(message, Frame):
            self._picture(message)
        if delivery.node != self._session:
            self.told.append((delivery, ""))
        elif isinstance(message, Notice):
            self.notice(message.text, message.problem)
        elif isinstance(message, Latent) and not self.kept.dragging:
            self.record.keep(message)
            self.dirty = True
            self._begin_if_ready()

    def _picture(self, frame: Frame) -> None:
        if not frame.preview:
            self.frame = frame
            if frame.step == self.record.step and not (self.kept.dragging or self.kept.wanted):
                self.kept.drawn = True
                self.touched = time.monotonic()
                self.dirty = True

    def draw_if_missing(self) -> None:
        """Somebody looks, and there is no picture: the session was restored from the disk, which has none."""
        if self.frame is None:
            self.kept.drawn = False

    @property
    def drawn_picture(self) -> Any:
        """The full picture of the latent there is now, uint8 ``[H, W, 3]``; None while it is not drawn."""
        frame = self.frame
        return frame.image if frame is not None and frame.step == self.record.step and not self.kept.dragging else None

    def notice(self, text: str, problem: bool = False) -> None:
        """Say something to the users in words."""
        message = Notice(session=self.record.id, step=self.record.step, text=text, problem=problem)
        self._tell(self._edges(self._session, "notice"), message, "")

    def fail(self, why: str) -> None:
        """The drag cannot go on."""
        self.notice(why, problem=True)
        self.kept.wanted = False
        self.kept.drawn = True
        self.dirty = True
        if self.kept.dragging:
            self._end_here("failed")

    def picture_of_now(self, last_step: str = "") -> list[Delivery]:
        """What somebody who comes to look must be told; ``last_step``: the mark of a step that they know."""
        deliveries: list[Delivery] = []
        for port, message in self._goal_and_mask():
            deliveries += self._edges_of(self._session, port, message)
            if source := self.blueprint.sources.get(type(message).__name__):
                deliveries += self._edges_of(*source, message)
        if self.progress is not None and mark(self.progress) != last_step:
            deliveries += self._edges_of(self._drag, "progress", self.progress)
        if self.frame is not None:
            for source in self.blueprint.pictures:
                deliveries += self._edges_of(*source, self.frame)
        return [d for d in deliveries if d.node in self._here and d.node != self._session]

    def write(self, *, sync: bool = False) -> None:
        """Everything to the disk."""
        self.store.write_base(self.kept, sync=sync)
        self.dirty = False

    # -- edges -------------------------------------------------------------------------------------------------

    def _introduction(self, dragging: bool = False) -> list[Delivery | NodeChange]:
        """What the engine's nodes must know; while dragging their states hold the latent."""
        record = self.record
        items: list[Delivery | NodeChange] = []
        request = None
        if record.w_plus is not None and not (dragging and self.kept.parts):
            request = LatentRequest(
                session=record.id,
                step=record.step,
                w_plus=record.w_plus,
                anchor=record.anchor,
                tuning=record.tuning,
            )
        elif record.w_plus is None and record.seed is not None:
            request = LatentRequest(session=record.id, seed=record.seed, truncation_psi=record.truncation_psi)
        messages = [message for _, message in self._goal_and_mask()] + ([request] if request is not None else [])
        if record.tuning is not None:
            messages.insert(0, replace(record.tuning, session=record.id, step=record.step))
        for message in messages:
            source = self.blueprint.sources.get(type(message).__name__)
            if source is not None:
                items += [d for d in self._edges_of(*source, message) if d.node not in self._here]
        return items

    def _goal_and_mask(self) -> list[tuple[str, Message]]:
        record = self.record
        return [
            ("mask", Mask(session=record.id, step=record.step, movable=record.mask)),
            ("goal", Goal(session=record.id, step=record.step, points=record.points)),
        ]

    def _send(self, source: tuple[str, str], message: Message, by: str) -> None:
        """Along the edges of an output at a user's end: to the engine, and to the other users' nodes."""
        away = [d for d in self._edges_of(*source, message) if d.node not in self._here]
        if self.seated:
            self.orders.items += away
        self._tell(self._edges(*source), message, by)

    def _tell(self, edges: Iterable[Any], message: Message, by: str) -> None:
        """To the nodes at the users' end."""
        wanted = (d for d in along(edges, message) if d.node in self._here and d.node != self._session)
        self.told += [(delivery, by) for delivery in wanted]

    def _edges_of(self, node: str, port: str, message: Message) -> list[Delivery]:
        return list(along(self._edges(node, port), message))
