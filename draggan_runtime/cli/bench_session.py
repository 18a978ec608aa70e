"""A session for a benchmark: the layout, the model and the points that the command line names."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from draggan_runtime import api, models
from draggan_runtime.cli.common import override
from draggan_runtime.errors import UserError
from draggan_runtime.graph import load_launch
from draggan_runtime.graph.model import ResolvedGraph
from draggan_runtime.messages import Progress

NOSE = (0.5, 0.576)  # of an aligned face, in parts of the picture
MOST_POINTS = 68


@dataclass(frozen=True)
class Choice:
    """What is measured. ``config`` None: the preset that has the model's name, else the launch's own."""

    model: str = "ffhq"
    launch: str = "local"
    device: str = "auto"
    config: str | None = None
    set: tuple[str, ...] = ()

    def open(self, seed: int, *overrides: str) -> api.Session:
        """The session, with the picture of a seed."""
        chosen = self._overrides(overrides)
        return api.open(seed=seed, launch=self.launch, config=self.config, model=self.model, set=chosen)

    def graph(self, *overrides: str) -> ResolvedGraph:
        """The graph alone, for a container of one's own."""
        graph = load_launch(self.launch, self._overrides(overrides), config=self.config, model=self.model)
        for node in graph.nodes.values():
            cls, params = node.load()
            cls.prepare(params)
        return graph

    def _overrides(self, overrides: Sequence[str]) -> list[str]:
        containers = load_launch(self.launch, config=self.config, model=self.model).containers
        return [*(override(f"{name}.device", self.device) for name in containers), *overrides, *self.set]

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the model's pictures, px."""
        return models.find(self.model).info.size


def here(session: api.Session) -> bool:
    """True if the drag runs in this process, where it can be looked into."""
    graph = session.app.graph
    return graph.home is not None and graph.containers[graph.home].place == "driver"


def timed_drag(session: api.Session, points: list[api.Pair], max_steps: int) -> dict[str, Any]:
    """One drag: ``steps``, ``stopped``, ``seconds`` and, from its first feedback on, ``ms_per_step`` and by stage.

    The features that open a drag are no step.
    """
    marks: list[tuple[float, dict[str, float]]] = []

    def mark(progress: Progress) -> None:
        marks.append((progress.seconds, session.app.node_seconds()))

    result = session.drag(points, max_steps=max_steps, progress=mark)
    if result.error or result.steps == 0:
        raise UserError(f"the drag made no step: {result.error or result.stopped}")
    (first, nodes_first), (last, nodes_last) = marks[0], marks[-1]
    stages = {name: (nodes_last[name] - nodes_first[name]) / result.steps * 1e3 for name in nodes_last}
    return {
        "steps": result.steps,
        "stopped": result.stopped,
        "seconds": result.seconds,
        "ms_per_step": (last - first) / result.steps * 1e3,
        "ms_by_stage": {name: ms for name, ms in stages.items() if ms > 0.005},
    }


def device_of(session: api.Session) -> str:
    """Where the drag computes."""
    import torch

    graph = session.app.graph
    said = next(spec.device for spec in graph.containers.values() if "generator" in spec.nodes)
    return said if said != "auto" else "cuda:0" if torch.cuda.is_available() else "cpu"


def device_name(device: str) -> str:
    """The device in words."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads"


def stages(runs: list[dict[str, Any]]) -> dict[str, float]:
    """By node, the median ms a step."""
    names = runs[0]["ms_by_stage"]
    return {name: statistics.median(run["ms_by_stage"].get(name, 0.0) for run in runs) for name in names}


def points(count: int, size: tuple[int, int], way: tuple[float, float] = (64, 0)) -> list[api.Pair]:
    """Pairs on an aligned face, px of a picture of ``size`` (W, H); ``way`` px at 512 from handle to target.

    1: the nose; up to 5: within 40 px at 512; more: spread over the places of a face's 68 landmarks.
    """
    if count > MOST_POINTS:
        raise UserError(f"--points {count}: there are {MOST_POINTS} places for points")
    width, height = size
    if count <= 5:
        reach = 20 / 512
        turns = [2 * math.pi * i / max(count - 1, 1) for i in range(count - 1)]
        places = [NOSE, *((NOSE[0] + reach * math.cos(t), NOSE[1] + reach * math.sin(t)) for t in turns)][:count]
    else:
        face = _face()
        places = [face[i * len(face) // count] for i in range(count)]
    dx, dy = (length * height / 512 for length in way)
    return [((x * width, y * height), (x * width + dx, y * height + dy)) for x, y in places]


def _face() -> list[tuple[float, float]]:
    """Where the 68 landmarks of an aligned face lie, about, in parts of the picture."""

    def arc(
        count: int, centre: tuple[float, float], radii: tuple[float, float], turns: Callable[[float], float]
    ) -> list[tuple[float, float]]:
        angles = [2 * math.pi * turns(i / (count - 1)) for i in range(count)]
        return [(centre[0] + radii[0] * math.cos(a), centre[1] + radii[1] * math.sin(a)) for a in angles]

    jaw = arc(17, (0.5, 0.5), (0.28, 0.35), lambda t: 0.5 - t / 2)
    brows = [place for x in (0.37, 0.63) for place in arc(5, (x, 0.42), (0.09, 0.03), lambda t: 0.5 + t / 2)]
    nose = [(0.5, 0.46 + 0.035 * i) for i in range(4)] + arc(5, (0.5, 0.59), (0.05, 0.02), lambda t: 0.5 - t / 2)
    eyes = [place for x in (0.38, 0.62) for place in arc(6, (x, 0.48), (0.045, 0.015), lambda t: t * 5 / 6)]
    mouth = arc(12, (0.5, 0.7), (0.1, 0.045), lambda t: t * 11 / 12)
    mouth += arc(8, (0.5, 0.7), (0.08, 0.02), lambda t: t * 7 / 8)
    return jaw + brows + nose + eyes + mouth


def oval(size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A mask ``[H, W]`` in which an aligned face may move."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    inside = ((x / width - 0.5) / 0.283) ** 2 + ((y / height - 0.557) / 0.361) ** 2 < 1
    return np.asarray(inside, np.uint8)
