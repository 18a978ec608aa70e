"""A real cluster with a small model, for all tests of this folder; it starts in about ten seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from draggan_runtime.cluster.client import ask
from draggan_runtime.cluster.known import KnownCluster, remember_token
from draggan_runtime.cluster.profiles import Profile
from draggan_runtime.cluster.up import down, up
from draggan_runtime.graph import load_launch
from draggan_runtime.messages import Message

MODEL = "stylegan2:128"
SMALL = [
    f"generator.model={MODEL}", f"renderer.model={MODEL}", 'tracker.level="64"', 'motion.level="64"',
]  # fmt: skip


@dataclass(frozen=True)
class SmallCluster:
    """A cluster of stylegan2:128; ``env``: of processes that shall know it."""

    known: KnownCluster
    state: Path

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "DRAGGAN_STATE": str(self.state)}

    def start(self, name: str, *messages: Message) -> dict[str, str]:
        """A session; its id and token, which is known here from now on."""
        begun: dict[str, str] = ask(self.known, "start", session=name, data={"messages": list(messages)})
        remember_token(begun["id"], begun["token"])
        return begun

    def info(self, session: str) -> dict[str, Any]:
        told: dict[str, Any] = ask(self.known, "info", session=session)
        return told

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = ask(self.known, "status")
        return told

    def stop(self, session: str) -> None:
        ask(self.known, "stop", session=session, delete=True)


@pytest.fixture(scope="session")
def small_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    """An engine and a spare, deaths noticed at once. ``DRAGGAN_STATE`` is its own while tests of this folder run."""
    folder = tmp_path_factory.mktemp("cluster")
    graph = load_launch("cluster", SMALL, config="stylegan2")
    graph = replace(graph, engines=replace(graph.engines, replicas=1, spares=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRAGGAN_STATE", str(folder))
        known = up(graph, folder / "sessions", profile=Profile.fast_failover)
        try:
            yield SmallCluster(known, folder)
        finally:
            down(known)
