"""More sessions than there is room for: who runs, who waits where in the line, and what part of an engine each gets."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from draggan_runtime.errors import DragganError
from draggan_runtime.messages import Command, Goal, LatentRequest, Message
from draggan_runtime.session import pairs
from draggan_runtime.soak.private import PrivateCluster, Setting

_LOOK = 0.1
_STALL = 120.0


@dataclass
class Share:
    """A session: ``places`` it had in the line, ``steps`` made beside others and how many would have been fair."""

    points: int
    places: list[int] = field(default_factory=list)
    steps: int = 0
    fair: float = 0.0
    drag_steps: int = 0
    ended: str = ""

    @property
    def part(self) -> float | None:
        """Steps against the fair number; None if it never was on an engine with others."""
        return self.steps / self.fair if self.fair else None


class Shares:
    """What is seen of sessions, look by look."""

    def __init__(self, points: dict[str, int]) -> None:
        self.of = {id: Share(count) for id, count in points.items()}
        self.most_running = 0
        self.most_waiting = 0
        self._before: dict[str, dict[str, Any]] = {}

    def look(self, sessions: list[dict[str, Any]]) -> None:
        """A look at all of them."""
        now = {s["id"]: s for s in sessions if s["id"] in self.of}
        by_engine: dict[str, dict[str, int]] = defaultdict(dict)
        for id, s in now.items():
            share, before = self.of[id], self._before.get(id)
            share.drag_steps = s.get("drag_steps", 0)
            if s["state"] == "queued" and s["place"] not in share.places[-1:]:
                share.places.append(s["place"])
            if s["state"] in ("parked", "failed") and s.get("drag"):
                share.ended = s["drag"]
            # Only time in which it dragged from the first moment to the last counts.
            if before is not None and before["engine"] == s.get("engine") and _drags(s) and _drags(before):
                by_engine[s["engine"]][id] = s["drag_steps"] - before["drag_steps"]
        for made in by_engine.values():
            for id, steps in made.items():
                self.of[id].steps += steps
                self.of[id].fair += sum(made.values()) / len(made)
        self.most_running = max(self.most_running, sum(bool(s.get("engine")) for s in now.values()))
        self.most_waiting = max(self.most_waiting, sum(s["state"] == "queued" for s in now.values()))
        self._before = now


def _drags(session: dict[str, Any]) -> bool:
    return bool(session.get("engine")) and session.get("drag") == "dragging"


def measure_fair(
    setting: Setting, count: int, steps: int, greedy_points: int, show: Callable[[int, str], None]
) -> dict[str, Any]:
    """``count`` sessions of ``steps`` steps each, the first of them with ``greedy_points`` points, all at once."""
    points = {f"s{i:02}": greedy_points if i == 0 else 1 for i in range(count)}
    with PrivateCluster(setting, lambda text: show(0, text)) as cluster:
        begun = time.monotonic()
        for id, number in points.items():
            cluster.ask("start", session=id, data={"messages": _drag(setting, number, steps)})
        shares, moved = Shares(points), time.monotonic()
        made = 0
        while not all(share.ended for share in shares.of.values()):
            shares.look(cluster.status()["sessions"])
            total = sum(share.drag_steps for share in shares.of.values())
            if total > made:
                made, moved = total, time.monotonic()
            if time.monotonic() - moved > _STALL:
                raise DragganError(f"no session made a step for {_STALL:g} s")
            ended = sum(bool(share.ended) for share in shares.of.values())
            show(ended, f"{made} steps")
            time.sleep(_LOOK)
        seconds = time.monotonic() - begun
    rows = [
        {
            "session": id,
            "points": share.points,
            "first_place": share.places[0] if share.places else 0,
            "places": share.places,
            "steps": share.drag_steps,
            "share": share.part,
            "ended": share.ended,
        }
        for id, share in shares.of.items()
    ]
    known = [share.part for share in shares.of.values() if share.part is not None]
    return {
        "sessions": count,
        "seconds": seconds,
        "most_running": shares.most_running,
        "most_waiting": shares.most_waiting,
        "finished": sum(share.ended == "max_steps" for share in shares.of.values()),
        "least_share": min(known, default=None),
        "least_share_of_others": min((r["share"] for r in rows[1:] if r["share"] is not None), default=None),
        "each": rows,
    }


def _drag(setting: Setting, count: int, steps: int) -> list[Message]:
    width, height = setting.size
    side = max(1, round(count**0.5 + 0.49))
    places = [(0.3 + 0.4 * (i % side) / side, 0.3 + 0.4 * (i // side) / side) for i in range(count)]
    points = [((x * width, y * height), ((x + 0.1) * width, y * height)) for x, y in places]
    settings = {"drag.arrived": 1e-9, "drag.min_confidence": 0, "drag.patience": 0, "drag.max_steps": steps}
    return [
        *(Command(session="", verb="set", argument=f"{name}={value}") for name, value in settings.items()),
        LatentRequest(session="", seed=7),
        Goal(session="", points=pairs(points)),
        Command(session="", verb="start"),
    ]
