"""A Ray actor that measures, and where such actors may be."""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from draggan_runtime.cluster.profiles import Profile, apply
from draggan_runtime.cluster.protocol import LOOPBACK
from draggan_runtime.errors import UserError
from draggan_runtime.evaluation.methods import Method
from draggan_runtime.evaluation.protocol import Evaluated
from draggan_runtime.evaluation.runner import Measured, Unit, measure, settings_of
from draggan_runtime.evaluation.sessions import Sessions
from draggan_runtime.execution.container import MOST_THREADS
from draggan_runtime.graph import load_launch

_ANSWERS = 5.0  # s


class Worker:
    """Measures a row at each call, with sessions of its own. ``graph``: as :attr:`Evaluation.graph`.

    ``folder``: where relative paths of launch files and nodes begin.
    """

    def __init__(self, protocol: Evaluated, graph: Mapping[str, Any], folder: str) -> None:
        with contextlib.suppress(OSError):  # on another machine it may not be there, and need not
            os.chdir(folder)
        self._protocol = protocol
        self._graph = dict(graph)
        self._sessions = Sessions(**graph)

    def prepare(self, methods: Sequence[Method]) -> list[str]:
        """Load the judges; of each method the :attr:`Unit.settings` that its rows would have here."""
        self._protocol.prepare()
        return [settings_of(self._protocol, method, **self._graph) for method in methods]

    def measure(self, unit: Unit) -> Measured:
        """See :func:`measure`."""
        return measure(self._protocol, unit, self._sessions)


@contextlib.contextmanager
def ray_at(address: str) -> Iterator[Any]:
    """Ray, on the cluster at ``address``, or if that is "" on a private one here; left at the end.

    Raises UserError if there is no cluster.
    """
    if address:
        _require(address)
        apply(Profile.normal, loopback=address.startswith(LOOPBACK))
    import ray  # first of the two: for clusters of several machines it must not read what ray_host sets

    from draggan_runtime.execution.ray_host import start_ray, stop_ray

    ours = not ray.is_initialized()
    try:
        start_ray(address or None)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _none(address, error) from None
    try:
        yield ray
    finally:
        if ours:
            stop_ray()


def placed(ray: Any, graph: Mapping[str, Any], workers: int, private: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the actors and ``graph`` for them, so that ``workers`` share processors and GPUs evenly.

    Threads are shared only where the launch file leaves them open.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = [int(node["CPU"]) for node in nodes if node.get("CPU")] or [1]
    threads = max(1, min(MOST_THREADS, min(cpus), sum(cpus) // workers))
    containers = load_launch(graph["launch"], graph["set"], config=graph["config"]).containers.values()
    here = [spec for spec in containers if spec.place == "driver"]
    said = [f"{spec.name}.threads={threads}" for spec in here if spec.threads is None]
    gpus = sum(node.get("GPU", 0) for node in nodes) if len(here) == len(containers) else 0
    options = {
        "num_cpus": 0 if private else 1,  # on a cluster of our own nobody else is in the way
        "num_gpus": 1 / math.ceil(workers / gpus) if gpus else 0,
        "scheduling_strategy": "SPREAD",
    }
    return options, {**graph, "set": (*graph["set"], *said)}


def _require(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"--address {address}: write host:port, for example {LOOPBACK}:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWERS).close()
    except (OSError, OverflowError) as error:
        raise _none(address, error) from None


def _none(address: str, error: Exception) -> UserError:
    where = f"at {address}" if address else "could be started"
    return UserError(f"no Ray cluster {where}: {' '.join(str(error).split())[:200]}")
