"""Processes of a cluster are killed in mid-drag, and every step told is held against an undisturbed drag."""

from __future__ import annotations

import itertools
import os
import random
import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from draggan_runtime.errors import DragganError
from draggan_runtime.messages import Command, Goal, LatentRequest, Message
from draggan_runtime.session import pairs
from draggan_runtime.soak.editor import Editor, Told
from draggan_runtime.soak.private import PrivateCluster, Setting
from draggan_runtime.soak.processes import kill_node

#: Steps of a drag that may be on their way when its engine dies; later ones come of another.
ON_THE_WAY = 4
_MARGIN = 15  # steps before a drag's end within which nothing is killed
_LATE = 60.0
_RESTARTS = 15  # of one actor, well below what Ray is told to allow


class Victim(StrEnum):
    """What is killed."""

    engine = "engine"
    session = "session"
    manager = "manager"
    node = "node"


@dataclass
class Kill:
    """A kill: the drag, the number of steps told by then, and the newest's number."""

    drag: Told
    seen: int
    step: int

    @property
    def resumed(self) -> bool:
        """True if the drag went on."""
        return self.drag.last > self.step + ON_THE_WAY

    @property
    def pause(self) -> float | None:
        """The longest s between two steps from the last one told before on; None if it did not go on."""
        steps = self.drag.steps[self.seen - 1 : self.seen + ON_THE_WAY + 2]
        return max(b.at - a.at for a, b in itertools.pairwise(steps)) if self.resumed else None


@dataclass
class Tally:
    """What came of it; ``unseen``: steps that were made while the consumer's own connection was down."""

    kills: list[Kill] = field(default_factory=list)
    drags: int = 0
    steps: int = 0
    lost: int = 0
    repeated: int = 0
    differs: int = 0
    unseen: int = 0

    def add(self, told: Told, reference: dict[int, bytes]) -> None:
        """A drag that has ended, against the undisturbed one's latents by step."""
        self.drags += 1
        self.steps += len(told.steps)
        before = -1
        for step in told.steps:
            missing = step.number - before - 1
            if step.number <= before:
                self.repeated += 1
            elif step.after_break:
                self.unseen += missing
            else:
                self.lost += missing
            before = max(before, step.number)
            self.differs += step.w_plus != reference.get(step.number)
        self.lost += max(reference) - before

    def result(self, what: Victim) -> dict[str, Any]:
        """As ``--format json`` prints it."""
        pauses = [1e3 * kill.pause for kill in self.kills if kill.pause is not None]
        return {
            "what": what.value,
            "kills": len(self.kills),
            "resumed": sum(kill.resumed for kill in self.kills),
            "steps_lost": self.lost,
            "steps_repeated": self.repeated,
            "latent_differs": self.differs,
            "steps_unseen": self.unseen,
            "pause_ms_median": statistics.median(pauses) if pauses else None,
            "pause_ms_max": max(pauses, default=None),
            "pauses_above_500_ms": sum(pause > 500 for pause in pauses),
            "drags": self.drags,
            "steps": self.steps,
        }


def failed(result: dict[str, Any]) -> bool:
    """True if a kill did any harm."""
    harm = result["steps_lost"] or result["steps_repeated"] or result["latent_differs"]
    return bool(harm) or result["resumed"] != result["kills"]


def soak_kills(
    setting: Setting,
    what: Victim,
    count: int,
    steps: int,
    seed: int,
    show: Callable[[int, str], None],
    go_on: Callable[[], bool],
) -> dict[str, Any]:
    """Kill ``count`` processes in drags of ``steps`` steps each, at moments drawn from ``seed``.

    An actor that dies too often is given up on purpose, and nodes do not come back: then a fresh session or cluster
    takes their place. ``go_on`` False ends early, with the kills there were.
    """
    most = {Victim.node: setting.nodes - 1, Victim.manager: _RESTARTS}.get(what, count)
    if most < 1:
        raise DragganError("killing nodes takes a cluster of several; give --nodes")
    tally, rng = Tally(), random.Random(seed)  # noqa: S311 - moments, no secrets
    while len(tally.kills) < count and go_on():
        with PrivateCluster(setting, lambda text: show(len(tally.kills), text)) as cluster:
            until = min(count, len(tally.kills) + most)
            _Killer(cluster, what, steps, rng, tally).run(until, show, go_on)
    return tally.result(what)


class _Killer:
    def __init__(self, cluster: PrivateCluster, what: Victim, steps: int, rng: random.Random, tally: Tally) -> None:
        self.cluster = cluster
        self.what = what
        self.steps = steps
        self.rng = rng
        self.tally = tally
        self.engines = cluster.setting.replicas + cluster.setting.spares

    def run(self, until: int, show: Callable[[int, str], None], go_on: Callable[[], bool]) -> None:
        """Kill until there were ``until`` in all."""
        kills = self.tally.kills
        show(len(kills), "the undisturbed drag")
        reference = self._reference()
        while len(kills) < until and go_on():
            editor = self._editor(f"hurt-{len(kills)}")
            limit = min(until, len(kills) + _RESTARTS) if self.what is Victim.session else until
            while len(kills) < limit and go_on():
                show(len(kills), "waiting for a spare")
                self._await_spare()
                show(len(kills), self._sum())
                told = self._begin(editor)
                while len(kills) < limit and self._kill(editor, told) and go_on():
                    show(len(kills), self._sum())
                    self._await_spare(told)
                if not editor.await_end(told, _LATE):
                    raise DragganError(f"a drag of session '{editor.id}' came to no end; its last step was {told.last}")
                self.tally.add(told, reference)
                self._check(editor, reference)
            editor.close()
            self.cluster.ask("stop", session=editor.id)

    def _sum(self) -> str:
        pauses = [kill.pause for kill in self.tally.kills if kill.pause is not None]
        return f"pauses {1e3 * statistics.median(pauses):.0f} ms, at most {1e3 * max(pauses):.0f}" if pauses else ""

    def _reference(self) -> dict[int, bytes]:
        editor = self._editor("undisturbed")
        told = self._begin(editor)
        if not editor.await_end(told, _LATE) or told.stopped != "max_steps":
            raise DragganError(f"the undisturbed drag ended after {told.last} of {self.steps} steps: {told.stopped}")
        editor.close()
        self.cluster.ask("stop", session=editor.id)
        return {step.number: step.w_plus for step in told.steps}

    def _editor(self, name: str) -> Editor:
        settings = {"drag.arrived": 1e-9, "drag.min_confidence": 0, "drag.patience": 0, "drag.max_steps": self.steps}
        return Editor(
            self.cluster, name, [Command(session="", verb="set", argument=f"{k}={v}") for k, v in settings.items()]
        )

    def _begin(self, editor: Editor) -> Told:
        width, height = self.cluster.setting.size
        points = [((0.5 * width, 0.58 * height), (0.62 * width, 0.58 * height))]
        messages: list[Message] = [
            LatentRequest(session="", seed=7),
            Goal(session="", points=pairs(points)),
            Command(session="", verb="start"),
        ]
        return editor.drag(*messages)

    def _await_spare(self, told: Told | None = None) -> None:
        """Until there is a spare again, or, if given, the drag has ended."""
        until = time.monotonic() + _LATE
        while time.monotonic() < until:
            status = self.cluster.status()
            up = sum(engine["state"] in ("ready", "spare") for engine in status["engines"])
            if status["given_up"]:
                raise DragganError(status["given_up"])
            if up >= self.engines or (told is not None and told.stopped):
                return
            time.sleep(0.1)
        raise DragganError(f"there was no spare within {_LATE:g} s")

    def _kill(self, editor: Editor, told: Told) -> bool:
        """Kill at a random moment of what is left of the drag; False if too little is."""
        first, last = told.last + 2, self.steps - _MARGIN
        if told.stopped or first > last:
            return False
        if not editor.await_step(told, self.rng.randint(first, last), _LATE):
            raise DragganError(f"the drag of session '{editor.id}' stands still at step {told.last}")
        pids = self._pids(editor)
        time.sleep(self.rng.uniform(0, 0.05))
        if not any(pids) or told.stopped or told.last > last:
            return False
        kill = Kill(told, len(told.steps), told.last)
        if self.what is not Victim.node:
            os.kill(pids[0], signal.SIGKILL)
            self.tally.kills.append(kill)
        elif any(kill_node(pid, self.cluster.known.pid) for pid in pids):
            self.tally.kills.append(kill)
        else:  # all of it is on the first node, which holds the cluster together: away from there
            os.kill(pids[0], signal.SIGKILL)
        if not editor.await_step(told, kill.step + ON_THE_WAY + 1, _LATE):
            raise DragganError(f"session '{editor.id}' did not go on after a kill at step {kill.step}")
        return True

    def _pids(self, editor: Editor) -> list[int]:
        """What to kill: the first of these, or the node of the first that is on one that may be killed."""
        status = self.cluster.status()
        if self.what is Victim.manager:
            return [int(status["manager"]["pid"])]
        mine: dict[str, Any] = next((s for s in status["sessions"] if s["id"] == editor.id), {})
        engine = next((int(e.get("pid", 0)) for e in status["engines"] if e["name"] == mine.get("engine")), 0)
        session = int(mine.get("pid", 0))
        of = {Victim.session: [session], Victim.engine: [engine], Victim.node: [engine, session]}
        return of[self.what] if all(of[self.what]) else []

    def _check(self, editor: Editor, reference: dict[int, bytes]) -> None:
        """What is durable is the last step told."""
        record = editor.record()
        self.tally.lost += max(reference) - record.history[-1].steps
        self.tally.differs += record.w_plus.tobytes() != reference[max(reference)]
