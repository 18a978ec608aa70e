"""Somebody who edits at random: points, masks, other pictures, undo, redo; who comes to look and goes again."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter

import numpy as np

from draggan_runtime.cluster.client import Attached, attach
from draggan_runtime.errors import UserError
from draggan_runtime.messages import Command, Goal, LatentRequest, Mask, Message
from draggan_runtime.session import pairs
from draggan_runtime.soak.private import PrivateCluster

_STEPS = 60


class User:
    """One, with a session at a time. ``did``: how often what was done; ``problems``: what should not have happened."""

    def __init__(self, cluster: PrivateCluster, name: str, seed: int) -> None:
        self.did: Counter[str] = Counter()
        self.problems: list[str] = []
        self._cluster = cluster
        self._name = name
        self._rng = random.Random(f"{name} {seed}")  # noqa: S311 - edits, no secrets
        self._sessions = 0
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True, name=name)
        self._thread.start()

    def leave(self) -> None:
        """Stop editing; returns once that is so."""
        self._leave.set()
        self._thread.join(30)

    def _live(self) -> None:
        while not self._leave.is_set():
            try:
                self._session()
            except UserError:
                self.did["refused"] += 1  # the cluster was busy with a kill
                self._leave.wait(0.5)
            except Exception as error:
                self.problems.append(f"{self._name}: {error!r}")
                return

    def _session(self) -> None:
        """A session from its start to its end, or until the connection is lost for good."""
        self._sessions += 1
        id = f"{self._name}-{self._sessions}"
        begin: list[Message] = [
            Command(session="", verb="set", argument=f"drag.max_steps={_STEPS}"),
            LatentRequest(session="", seed=self._rng.randrange(1000)),
        ]
        token = str(self._cluster.ask("start", session=id, data={"messages": begin})["token"])
        self.did["session"] += 1
        edits = self._rng.choice((20, 60, 400))
        while edits > 0 and not self._leave.is_set():
            try:
                with attach(id, at=self._cluster.at, token=token, pen=True) as pen:
                    stay = self._rng.randint(3, 12)
                    for _ in range(stay):
                        self._edit(pen, id, token)
                        if self._leave.is_set():
                            break
                    edits -= stay
                    self.did["detach"] += 1
            except UserError:
                self.did["connection lost"] += 1
                edits -= 1
                self._leave.wait(0.5)
            self._leave.wait(self._rng.uniform(0, 2))
        with contextlib.suppress(UserError):
            self._cluster.ask("stop", session=id, delete=True)

    def _edit(self, pen: Attached, id: str, token: str) -> None:
        what = self._rng.choices(("drag", "undo", "redo", "seed", "mask", "watch", "stop"), (10, 2, 1, 2, 2, 2, 1))[0]
        self.did[what] += 1
        messages: list[Message] = []
        if what == "drag":
            messages = [self._goal(), Command(session=id, verb="start")]
        elif what == "undo":
            messages = [Command(session=id, verb="undo")]
        elif what == "redo":
            messages = [Command(session=id, verb="redo")]
        elif what == "stop":
            messages = [Command(session=id, verb="stop")]
        elif what == "seed":
            messages = [LatentRequest(session=id, seed=self._rng.randrange(1000))]
        elif what == "mask":
            messages = [Mask(session=id, movable=self._mask())]
        for message in messages:
            pen.post(message)
        if what == "watch":
            with attach(id, at=self._cluster.at, token=token, codec=self._rng.choice(("jpeg", "raw"))) as other:
                self._look(other, self._rng.uniform(0, 3))
        self._look(pen, self._rng.uniform(0, 4))

    def _look(self, attached: Attached, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._leave.is_set():
            for _ in attached.take(min(left, 0.5)):
                self.did["message"] += 1

    def _goal(self) -> Goal:
        width, height = self._cluster.setting.size

        def place() -> tuple[float, float]:
            return self._rng.uniform(0.3, 0.7) * width, self._rng.uniform(0.3, 0.7) * height

        return Goal(session="", points=pairs((place(), place()) for _ in range(self._rng.randint(1, 4))))

    def _mask(self) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]] | None:
        width, height = self._cluster.setting.size
        if self._rng.random() < 0.5:
            return None
        mask = np.zeros((height, width), np.uint8)
        mask[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
        return mask
