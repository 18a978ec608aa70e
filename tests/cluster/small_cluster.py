"""A real cluster with a small model; it starts in about ten seconds."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from draggan_runtime.cluster.client import Attached, ask, attach
from draggan_runtime.cluster.known import KnownCluster, remember, remember_token
from draggan_runtime.cluster.profiles import Profile
from draggan_runtime.cluster.up import down, up
from draggan_runtime.graph import load_launch
from draggan_runtime.messages import Message

MODEL, SIDE = "stylegan2:128", 128
SMALL = [
    f"generator.model={MODEL}", f"renderer.model={MODEL}", 'tracker.level="64"', 'motion.level="64"',
]  # fmt: skip


@dataclass(frozen=True)
class SmallCluster:
    """A cluster of stylegan2:128, which this process' own commands do not mean.

    ``env``: of a process whose commands do.
    """

    known: KnownCluster
    state: Path
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "DRAGGAN_STATE": str(self.state)}

    def start(self, name: str, *messages: Message) -> str:
        """A session; its token."""
        begun = ask(self.known, "start", session=name, data={"messages": list(messages)})
        self.tokens[name] = begun["token"]
        with _state(self.state):
            remember_token(name, begun["token"])
        return self.tokens[name]

    def attach(self, session: str, **how: Any) -> Attached:
        at = f"{self.known.host}:{self.known.port}"
        return attach(session, at=at, token=self.tokens[session], **how)

    def info(self, session: str) -> dict[str, Any]:
        told: dict[str, Any] = ask(self.known, "info", session=session)
        return told

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = ask(self.known, "status")
        return told

    def stop(self, session: str) -> None:
        """End a session and delete it."""
        ask(self.known, "stop", session=session, delete=True)


@contextlib.contextmanager
def _state(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRAGGAN_STATE", str(folder))
        yield


@contextlib.contextmanager
def running(folder: Path) -> Iterator[SmallCluster]:
    """An engine and a spare; deaths are noticed at once."""
    graph = load_launch("cluster", SMALL, config="stylegan2")
    graph = replace(graph, engines=replace(graph.engines, replicas=1, spares=1))
    known = up(graph, folder / "sessions", profile=Profile.fast_failover, private=True)
    try:
        with _state(folder):
            remember(known)
        yield SmallCluster(known, folder)
    finally:
        down(known)
