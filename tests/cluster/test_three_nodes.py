"""A cluster of three nodes, pretended on this machine, by the command line: many sessions, and then everything dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from small_cluster import SMALL

import draggan_runtime as draggan
from draggan_runtime.session import SessionRecord, load_session
from draggan_runtime.soak.processes import tree

NAMES = [f"s{i}" for i in range(8)]
#: Arrival within 2 px: drags of a network with random weights do not end as well as those of a face.
SETTINGS = ["drag.arrived=2.0", "drag.max_steps=60"]
NEAR = ((60.0, 70.0), (65.0, 70.0))
FAR = ((40.0, 60.0), (100.0, 60.0))


class Commands:
    """What a person types."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "DRAGGAN_STATE": str(folder / "state")}

    def __call__(self, *args: str) -> str:
        command = [sys.executable, "-m", "draggan_runtime", *args]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self) -> None:
        overrides = [part for override in [*SMALL, *SETTINGS] for part in ("--set", override)]
        self("cluster", "up", "--nodes", "3", "--replicas", "2", "--spares", "0", "--batch", "1",
             "--profile", "fast_failover", "--store", str(self.folder / "store"),
             "--config", "stylegan2", *overrides)  # fmt: skip

    def start(self, *edits: dict[str, Any]) -> None:
        lines = self.folder / "edits.jsonl"
        lines.write_text("\n".join(json.dumps(edit) for edit in edits))
        self("session", "start", "--edits", str(lines))

    def sessions(self) -> dict[str, dict[str, Any]]:
        return {s["id"]: s for s in json.loads(self("session", "list", "--format", "json"))}

    def until(self, names: list[str], states: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        """Wait for all drags to be in one of the states."""
        end = time.monotonic() + 120
        while True:
            told = self.sessions()
            if all(told[name]["drag"] in states for name in names):
                return told
            assert time.monotonic() < end, told
            time.sleep(0.5)

    def record(self, name: str) -> SessionRecord:
        path = self.folder / f"{name}.draggan"
        self("session", "save", name, str(path))
        return load_session(path)

    def pid(self) -> int:
        return int(json.loads((self.folder / "state" / "cluster.json").read_text())["pid"])


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    command = Commands(tmp_path_factory.mktemp("three"))
    command.up()
    try:
        yield command
    finally:
        command("cluster", "down")


def edit(name: str, seed: int, pair: tuple[tuple[float, float], tuple[float, float]]) -> dict[str, Any]:
    return {"id": name, "seed": seed, "points": [{"handle": list(pair[0]), "target": list(pair[1])}]}


@pytest.fixture(scope="module")
def alone() -> Iterator[Callable[[int, Any], tuple[str, int, bytes]]]:
    """How a drag ends in this process, after how many steps, and its latent."""
    with draggan.open(seed=0, config="stylegan2", set=[*SMALL, *SETTINGS]) as session:

        def drag(seed: int, pair: Any) -> tuple[str, int, bytes]:
            session.seed(seed)
            result = session.drag([pair])
            return result.stopped, result.steps, session.w_plus.tobytes()

        yield drag


def test_eight_sessions_on_two_engines_are_bit_for_bit_what_they_are_alone(command, alone):
    command.start(*(edit(name, i, NEAR) for i, name in enumerate(NAMES)))
    told = command.until(NAMES, ("reached", "max_steps"))
    assert {told[name]["drag"] for name in NAMES} == {"reached"}
    for i, name in enumerate(NAMES):
        record = command.record(name)
        assert (told[name]["drag"], record.step, record.w_plus.tobytes()) == alone(i, NEAR)


def test_after_everything_was_killed_sessions_go_on_from_their_last_step(command, alone):
    names = ["a", "b"]
    command.start(*(edit(name, i, FAR) for i, name in enumerate(names)))
    end = time.monotonic() + 60
    while not all(command.sessions()[name]["step"] > 5 for name in names):
        assert time.monotonic() < end
    pid = command.pid()
    for process in tree(pid):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    command.up()
    assert all(command.sessions()[name]["state"] == "stored" for name in names)
    command("session", "resume", "--all")
    told = command.until(names, ("reached", "max_steps"))
    for i, name in enumerate(names):
        assert (told[name]["drag"], told[name]["step"], command.record(name).w_plus.tobytes()) == alone(i, FAR)
    told = command.sessions()
    assert {told[name]["drag"] for name in NAMES} == {"reached"}
