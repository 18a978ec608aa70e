"""A session with somebody attached who edits it and keeps every step that is told, with when it came."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from draggan_runtime.cluster.client import ask, attach
from draggan_runtime.cluster.known import KnownCluster
from draggan_runtime.errors import UserError
from draggan_runtime.messages import Message, Notice, Progress
from draggan_runtime.session import SessionRecord, parse_session
from draggan_runtime.soak.private import PrivateCluster

#: In notices: until steps are told again, some may be made that are not.
_BREAKS = ("process died", "connection was lost")


@dataclass(frozen=True)
class Step:
    """A step as it was told. ``after_break``: the first since the connection, or the session's process, was lost."""

    number: int
    at: float
    w_plus: bytes
    after_break: bool


@dataclass
class Told:
    """A drag as it was told: its steps, and how it ended."""

    steps: list[Step] = field(default_factory=list)
    stopped: str = ""

    @property
    def last(self) -> int:
        """The newest step's number, -1 before the first."""
        return self.steps[-1].number if self.steps else -1


class Editor:
    """Starts a session, attaches, and comes back whenever the connection is lost."""

    def __init__(self, cluster: PrivateCluster, id: str, messages: Iterable[Message]) -> None:
        begun = cluster.ask("start", session=id, data={"messages": list(messages)})
        self.id = str(begun["id"])
        self.token = str(begun["token"])
        self.drags: list[Told] = []
        self.notices: list[str] = []
        self._cluster = cluster
        self._came = threading.Condition()
        self._closing = False
        self._break = False
        self._attached = attach(self.id, at=cluster.at, token=self.token, pen=True)
        threading.Thread(target=self._listen, daemon=True, name=f"editor {self.id}").start()

    def close(self) -> None:
        """Detach."""
        self._closing = True
        self._attached.close()

    def drag(self, *messages: Message) -> Told:
        """Post what begins a drag; the drag, which grows as it is told."""
        told = Told()
        self.drags.append(told)
        for message in messages:
            self._attached.post(message)
        return told

    def post(self, message: Message) -> None:
        """Say something to the session."""
        self._attached.post(message)

    def await_step(self, told: Told, number: int, wait: float) -> bool:
        """True once the drag is at step ``number`` or has ended; False if that takes longer than ``wait`` s."""
        with self._came:
            return self._came.wait_for(lambda: told.last >= number or bool(told.stopped), wait)

    def await_end(self, told: Told, wait: float) -> bool:
        """True once the drag has ended."""
        with self._came:
            return self._came.wait_for(lambda: bool(told.stopped), wait)

    def record(self) -> SessionRecord:
        """What is durable of the session."""
        known = self._cluster.known
        own = KnownCluster(known.host, known.port, self.token, "", "")
        data: bytes = ask(own, "saved", session=self.id)["file"]
        return parse_session(data, self._cluster.folder)

    def _listen(self) -> None:
        while not self._closing:
            try:
                for message, _ in self._attached.take(0.5):
                    self._hear(message)
            except UserError:
                self._break = True
                if not self._closing:
                    self._come_back()

    def _come_back(self) -> None:
        while not self._closing:
            try:
                at, last_step = self._cluster.at, self._attached.last_step
                self._attached = attach(self.id, at=at, token=self.token, pen=True, last_step=last_step)
                return
            except UserError:
                time.sleep(0.1)

    def _hear(self, message: Message) -> None:
        if isinstance(message, Notice):
            self.notices.append(message.text)
            self._break |= any(text in message.text for text in _BREAKS)
        elif isinstance(message, Progress) and self.drags and not self.drags[-1].stopped:
            drag = self.drags[-1]
            values = np.ascontiguousarray(message.w_plus).tobytes()
            with self._came:
                drag.steps.append(Step(message.drag_steps, time.monotonic(), values, self._break))
                drag.stopped = message.stopped or ""
                self._break = False
                self._came.notify_all()
