"""A cluster of one's own, in a folder of its own: the user's cluster and what is noted of it stay as they are."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from draggan_runtime import models
from draggan_runtime.cluster.client import ask
from draggan_runtime.cluster.known import KnownCluster
from draggan_runtime.cluster.profiles import Profile
from draggan_runtime.errors import DragganError, StartError, UserError
from draggan_runtime.graph import load_launch
from draggan_runtime.graph.model import ResolvedGraph

SMALL = "stylegan2:128"
_OF_SMALL = ('tracker.level="64"', 'motion.level="64"')
_LATE = 60.0


@dataclass(frozen=True)
class Setting:
    """What runs on the cluster.

    ``config`` None: the preset that has the model's name, else the launch's own. ``step_budget`` s: as the launch has
    it, if None; a large one lets every engine take all ``sessions``.
    """

    model: str = SMALL
    config: str | None = None
    set: tuple[str, ...] = ()
    nodes: int = 1
    replicas: int = 1
    spares: int = 1
    sessions: int = 4
    step_budget: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the model's pictures, px."""
        return models.find(self.model).info.size

    def graph(self) -> ResolvedGraph:
        """The launch ``cluster`` with the model."""
        small = _OF_SMALL if self.model == SMALL and self.config is None else ()
        graph = load_launch("cluster", [*small, *self.set], config=self.config, model=self.model)
        budget = graph.engines.step_budget if self.step_budget is None else self.step_budget
        engines = replace(
            graph.engines,
            replicas=self.replicas,
            spares=self.spares,
            sessions=self.sessions,
            step_budget=budget,
        )
        return replace(graph, engines=engines)


class PrivateCluster:
    """One for as long as the block runs. ``known``: as its clients know it; ``folder``: goes with it."""

    def __init__(self, setting: Setting, say: Callable[[str], None] = lambda _: None) -> None:
        self.setting = setting
        self._say = say
        self.folder = Path()
        self.known = KnownCluster("", 0, "", "", "")

    def __enter__(self) -> PrivateCluster:
        from draggan_runtime.cluster.up import up

        self.folder = Path(tempfile.mkdtemp(prefix="draggan-soak-"))
        try:
            self.known = up(
                self.setting.graph(),
                self.folder,
                nodes=self.setting.nodes,
                profile=Profile.fast_failover,
                progress=self._say,
                private=True,
            )
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DragganError):
            kept = Path(tempfile.mkdtemp(prefix="draggan-soak-logs-"))
            shutil.copytree(self.folder, kept, dirs_exist_ok=True)
            self.end()
            raise DragganError(f"{error}; logs and sessions are in {kept}") from error
        self.end()

    def end(self) -> None:
        """End it; again does nothing."""
        from draggan_runtime.cluster.up import down

        if self.known.pid:
            down(self.known)
            self.known = KnownCluster("", 0, "", "", "")
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def at(self) -> str:
        """Where its gateway is, host:port."""
        return f"{self.known.host}:{self.known.port}"

    def ask(self, do: str, **request: Any) -> Any:
        """A question of who manages it; asked again while the manager is being started anew."""
        until = time.monotonic() + _LATE
        while True:
            try:
                return ask(self.known, do, **request)
            except UserError:
                if time.monotonic() > until or do not in ("status", "info"):
                    raise
            time.sleep(0.1)

    def status(self) -> dict[str, Any]:
        """Engines and sessions."""
        told: dict[str, Any] = self.ask("status")
        return told

    def await_engines(self, count: int) -> dict[str, Any]:
        """The status once ``count`` engines are up. Raises StartError if they do not come."""
        until = time.monotonic() + _LATE
        while time.monotonic() < until:
            told = self.status()
            if told["given_up"]:
                raise StartError(told["given_up"])
            if sum(engine["state"] in ("ready", "spare") for engine in told["engines"]) >= count:
                return told
            time.sleep(0.1)
        raise StartError(f"{count} engines were not up within {_LATE:g} s")
