"""Many sessions edited at random for long, with kills now and then: does anything grow, is anything left behind?"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from draggan_runtime.soak.private import PrivateCluster, Setting
from draggan_runtime.soak.processes import Process, look, shared_bytes, shared_memory, tree
from draggan_runtime.soak.samples import Sample, by_kind, lives, write_csv
from draggan_runtime.soak.user import User

_EVERY = 10.0
_SETTLE = 5.0
_SESSION = "SessionActor"


def soak_hours(
    setting: Setting,
    minutes: float,
    users: int,
    kill_every: float,
    seed: int,
    out: Path | None,
    show: Callable[[int, str], None],
    go_on: Callable[[], bool],
) -> dict[str, Any]:
    """``users`` edit for ``minutes``; an engine or a session is killed every ``kill_every`` s in the mean, 0: none.

    ``out``: a CSV file of all samples.
    """
    rng = random.Random(seed)  # noqa: S311 - moments, no secrets
    shared = [shared_bytes()]
    samples: list[Sample] = []
    kills: Counter[str] = Counter()
    with PrivateCluster(setting, lambda text: show(0, text)) as cluster:
        people = [User(cluster, f"user{i}", seed) for i in range(users)]
        begun = time.monotonic()
        next_kill = begun + (rng.expovariate(1 / kill_every) if kill_every else 1e9)
        next_sample = begun
        while (now := time.monotonic()) - begun < 60 * minutes and go_on():
            if now >= next_sample:
                next_sample = now + _EVERY
                seen = [*_processes(cluster), shared_memory()]
                samples += [Sample(now - begun, process) for process in seen]
                show(int(now - begun), _sum(samples, now - begun, kills))
            if now >= next_kill:
                next_kill = now + rng.expovariate(1 / kill_every)
                kills[_kill(cluster, rng)] += 1
            time.sleep(0.2)
        shared.append(shared_bytes())
        show(int(now - begun), "ending the sessions")
        for person in people:
            person.leave()
        given_up = cluster.status()["given_up"]
        stopped = [cluster.ask("stop", session=s["id"], delete=True) for s in cluster.status()["sessions"]]
        time.sleep(_SETTLE)
        orphans = [p for p in tree(cluster.known.pid) if p.kind == _SESSION]
        known = {(s.process.pid, s.process.started) for s in samples}
    time.sleep(1.0)
    shared.append(shared_bytes())
    if out is not None:
        write_csv(samples, out)
    did: Counter[str] = sum((person.did for person in people), Counter())
    problems = [problem for person in people for problem in person.problems] + ([given_up] if given_up else [])
    return {
        "minutes": (now - begun) / 60,
        "sessions": users,
        "did": dict(sorted(did.items())),
        "kills": dict(kills),
        "stopped_at_the_end": len(stopped),
        "problems": problems,
        "kinds": by_kind(lives(samples)),
        "orphaned_actors": len(orphans),
        "processes_left": len([1 for pid, started in known if _lives(pid, started)]),
        "shared_mb": [round(value / 1e6, 1) for value in shared],
    }


def failed(result: dict[str, Any]) -> bool:
    """True if something grew, was left behind, or went wrong."""
    grown = [row for row in result["kinds"] if not row["flat"]]
    return bool(grown or result["problems"] or result["orphaned_actors"] or result["processes_left"])


def _processes(cluster: PrivateCluster) -> list[Process]:
    """All of the cluster's; engines without a session as another kind, for they grow when they get one.

    One that is just starting has no pid yet.
    """
    spares = {engine.get("pid") for engine in cluster.status()["engines"] if not engine["sessions"]}
    return [replace(p, kind=f"{p.kind}, spare") if p.pid in spares else p for p in tree(cluster.known.pid)]


def _kill(cluster: PrivateCluster, rng: random.Random) -> str:
    """Kill an engine or a session; what."""
    told = cluster.status()
    what = rng.choice(("engine", "session"))
    found = told["engines"] if what == "engine" else told["sessions"]
    pids = [one["pid"] for one in found if one.get("pid")]
    if not pids:
        return "none"
    with suppress(ProcessLookupError):
        os.kill(rng.choice(pids), signal.SIGKILL)
    return what


def _sum(samples: list[Sample], at: float, kills: Counter[str]) -> str:
    last = [s.process for s in samples if s.at == at]
    total = sum(p.rss for p in last) / 1e9
    return f"{len(last)} processes, {total:.1f} GB, {sum(p.handles for p in last)} files, {kills.total()} kills"


def _lives(pid: int, started: int) -> bool:
    with suppress(OSError, ValueError, IndexError):
        found: Process = look(pid)
        return found.started == started and found.kind != "ended"
    return False
