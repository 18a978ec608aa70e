"""What the soak finds is really looked at: a private cluster, and tallies that notice every kind of harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import pytest

from draggan_runtime import heap
from draggan_runtime.cluster.known import KnownCluster, known_cluster, remember
from draggan_runtime.soak.editor import Step, Told
from draggan_runtime.soak.fair import Shares
from draggan_runtime.soak.kills import Kill, Tally, Victim, failed
from draggan_runtime.soak.processes import Process, look, shared_memory
from draggan_runtime.soak.samples import Sample, by_kind, lives


def told(*numbers: int, broken: frozenset[int] = frozenset(), wrong: frozenset[int] = frozenset()) -> Told:
    steps = [Step(n, 0.1 * i, b"%d" % (-n if n in wrong else n), n in broken) for i, n in enumerate(numbers)]
    return Told(steps, "max_steps")


REFERENCE = {n: b"%d" % n for n in range(6)}


@pytest.mark.parametrize(
    ("drag", "lost", "repeated", "differs", "unseen"),
    [
        (told(0, 1, 2, 3, 4, 5), 0, 0, 0, 0),
        (told(0, 1, 3, 4, 5), 1, 0, 0, 0),
        (told(0, 1, 2, 3), 2, 0, 0, 0),
        (told(0, 1, 2, 2, 3, 4, 5), 0, 1, 0, 0),
        (told(0, 1, 2, 3, 2, 3, 4, 5), 0, 2, 0, 0),
        (told(0, 1, 2, 3, 4, 5, wrong=frozenset([3])), 0, 0, 1, 0),
        (told(0, 1, 4, 5, broken=frozenset([4])), 0, 0, 0, 2),
    ],
    ids=["whole", "a step missing", "cut off", "a step twice", "rolled back", "another latent", "connection lost"],
)
def test_a_tally_notices(drag: Told, lost: int, repeated: int, differs: int, unseen: int) -> None:
    tally = Tally()
    tally.add(drag, REFERENCE)
    assert (tally.lost, tally.repeated, tally.differs, tally.unseen) == (lost, repeated, differs, unseen)
    assert failed(tally.result(Victim.engine)) == bool(lost or repeated or differs)


def test_a_drag_that_does_not_go_on_is_not_resumed() -> None:
    tally = Tally(kills=[Kill(told(0, 1, 2), seen=3, step=2)])
    result = tally.result(Victim.engine)
    assert (result["kills"], result["resumed"], result["pause_ms_max"]) == (1, 0, None)
    assert failed(result)


def test_a_pause_is_the_longest_wait_from_the_last_step_before_the_kill() -> None:
    drag = told(*range(12))
    drag.steps = [replace(s, at=s.at + (0.7 if s.number > 3 else 0)) for s in drag.steps]
    assert Kill(drag, seen=3, step=2).pause == pytest.approx(0.8)


def grown(*, rss: float, handles: int, minutes: int = 20) -> list[Sample]:
    """One process, sampled each 10 s, which grows by ``rss`` MB and ``handles`` files in all."""
    count = minutes * 6
    parts = [i / (count - 1) for i in range(count)]
    return [
        Sample(10.0 * i, Process(1, 0, 5, "Engine", int(1e6 * (300 + rss * part)), 40 + int(handles * part)))
        for i, part in enumerate(parts)
    ]


def test_a_process_that_grows_is_not_flat() -> None:
    assert [row["flat"] for row in by_kind(lives(grown(rss=10, handles=2)))] == [True]
    assert [row["flat"] for row in by_kind(lives(grown(rss=120, handles=0)))] == [False]
    assert [row["flat"] for row in by_kind(lives(grown(rss=0, handles=12)))] == [False]
    (row,) = by_kind(lives(grown(rss=120, handles=0)))
    assert row["rss_mb_per_hour"] == pytest.approx(360, rel=0.02)


def test_shared_memory_is_counted_once_and_not_for_each_process_that_looks_at_it() -> None:
    heap.give_back()  # what earlier tests left free would be used again
    before, shared = look(os.getpid()).rss, shared_memory().rss
    block = SharedMemory(create=True, size=64_000_000)
    try:
        np.frombuffer(block.buf, np.uint8)[:] = 1
        assert look(os.getpid()).rss - before < 32_000_000
        assert shared_memory().rss - shared > 48_000_000
    finally:
        block.close()
        block.unlink()
    own = b"1" * 64_000_000
    assert look(os.getpid()).rss - before > 48_000_000 < len(own)


def test_a_process_that_lived_too_short_is_not_judged() -> None:
    assert lives(grown(rss=500, handles=0, minutes=2)) == []


def test_a_pid_that_comes_again_is_another_process() -> None:
    before = grown(rss=0, handles=0)
    after = [Sample(s.at + 2000, replace(s.process, started=9, rss=s.process.rss * 4)) for s in before]
    assert [row["flat"] for row in by_kind(lives([*before, *after]))] == [True]


def test_a_spare_engine_that_takes_over_has_not_grown() -> None:
    spare = [replace(s, process=replace(s.process, kind="Engine, spare")) for s in grown(rss=0, handles=0)]
    busy = [Sample(s.at + 1200, replace(s.process, rss=s.process.rss * 2)) for s in grown(rss=0, handles=0)]
    assert [(row["kind"], row["flat"]) for row in by_kind(lives([*spare, *busy]))] == [
        ("Engine", True),
        ("Engine, spare", True),
    ]


def test_shares_are_of_what_the_engine_made_while_both_dragged() -> None:
    def said(a: int, b: int, state: str = "dragging") -> list[dict[str, object]]:
        common = {"engine": "engine-1", "state": "running", "place": 0}
        return [
            {**common, "id": "a", "drag": "dragging", "drag_steps": a},
            {**common, "id": "b", "drag": state, "drag_steps": b},
        ]

    shares = Shares({"a": 1, "b": 1})
    shares.look(said(0, 0))
    shares.look(said(30, 10))
    assert shares.of["a"].part == pytest.approx(1.5)
    assert shares.of["b"].part == pytest.approx(0.5)
    shares.look(said(50, 10, "max_steps"))
    shares.look(said(90, 10, "max_steps"))
    assert shares.of["b"].part == pytest.approx(0.5)  # it wanted no more


def test_engines_killed_in_mid_drag_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over two drags of one session: what an engine knows of the first must not be missing of the second."""
    monkeypatch.setenv("DRAGGAN_STATE", str(tmp_path))
    users = KnownCluster("127.0.0.1", 1, "token", "127.0.0.1:2", "store")
    remember(users)
    command = "from draggan_runtime.cli import main; main()"  # by itself, for Ray must not be imported before
    options = ["soak", "--kills", "2", "--steps", "50", "--format", "json"]
    run = subprocess.run([sys.executable, "-c", command, *options], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    result = json.loads(run.stdout)
    assert result["kills"] == result["resumed"] == 2
    assert (result["steps_lost"], result["steps_repeated"], result["latent_differs"]) == (0, 0, 0)
    assert result["drags"] >= 2
    assert known_cluster() == users
