"""Start and end a cluster's own actors on a Ray cluster."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from draggan_runtime.cluster.blueprint import Blueprint
from draggan_runtime.cluster.client import ask
from draggan_runtime.cluster.known import KnownCluster, forget, known_cluster, remember
from draggan_runtime.cluster.local import start_local
from draggan_runtime.cluster.places import MANAGER, NAMESPACE
from draggan_runtime.cluster.profiles import Profile, apply
from draggan_runtime.cluster.protocol import LOOPBACK
from draggan_runtime.errors import StartError, UserError
from draggan_runtime.files import writable_folder
from draggan_runtime.graph.model import ResolvedGraph

_START = 300.0


def up(
    graph: ResolvedGraph,
    store: Path,
    *,
    address: str = "",
    nodes: int = 1,
    profile: Profile = Profile.normal,
    listen: tuple[str, int] = (LOOPBACK, 0),
    progress: Callable[[str], None] = lambda _: None,
    private: bool = False,
) -> KnownCluster:
    """Start a manager with its engines: on the Ray cluster at ``address``, or on a new one on this machine.

    ``nodes``: as many as a new one pretends to have. ``private``: the user's commands do not come to mean it, and it
    may be one of several. Raises UserError, StartError.
    """
    if not private:
        _refuse_second()
    writable_folder(store)
    for spec in graph.containers.values():
        for node in spec.nodes if spec.place == "actor" else ():
            cls, params = graph.nodes[node].load()
            cls.prepare(params)
    blueprint = Blueprint.of(graph)
    listen = listen[0], listen[1] or _free_port(listen[0])
    pid = 0
    if not address:
        progress("starting Ray")
        address, pid = start_local(nodes, profile, store / "ray.log")
    try:
        cluster = _up(blueprint, store, address, pid, profile, listen, progress)
    except BaseException:
        _end(pid)
        raise
    if not private:
        remember(cluster)
    return cluster


def _up(
    blueprint: Blueprint,
    store: Path,
    address: str,
    pid: int,
    profile: Profile,
    listen: tuple[str, int],
    progress: Callable[[str], None],
) -> KnownCluster:
    apply(profile, loopback=address.startswith(LOOPBACK))
    import ray

    from draggan_runtime.cluster.manager import ManagerActor

    progress("connecting to Ray")
    try:
        _connect(address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f"no Ray cluster at {address}: {' '.join(str(error).split())[:200]}") from None
    try:
        token = secrets.token_urlsafe(24)
        options = {"name": MANAGER, "lifetime": "detached", "max_restarts": 20, "num_cpus": 0}
        try:
            manager = ray.remote(ManagerActor).options(**options).remote(blueprint, str(store.resolve()), listen, token)
            ray.get(manager.start.remote(), timeout=_START)
        except ValueError:
            raise UserError(f"the Ray cluster at {address} has a manager already; draggan cluster down first") from None
        host = listen[0] if listen[0] not in ("0.0.0.0", "::") else LOOPBACK  # noqa: S104 - said by the user
        cluster = KnownCluster(host, listen[1], token, address, str(store.resolve()), pid)
        _await_engines(cluster, progress)
    finally:
        ray.shutdown()
    return cluster


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])


def _connect(address: str) -> None:
    import ray

    ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR", configure_logging=False)


def _await_engines(cluster: KnownCluster, progress: Callable[[str], None]) -> None:
    until = time.monotonic() + _START
    while time.monotonic() < until:
        status = ask(cluster, "status")
        ready = sum(engine["state"] in ("ready", "spare") for engine in status["engines"])
        wanted = status["limits"]["replicas"] + status["limits"]["spares"]
        progress(f"starting engines: {ready} of {wanted}")
        if status["given_up"]:
            raise StartError(status["given_up"])
        if ready == wanted:
            return
        time.sleep(0.2)
    raise StartError(f"the engines were not up within {_START:g} s; see draggan cluster status")


def _refuse_second() -> None:
    try:
        cluster = known_cluster()
        ask(cluster, "status", timeout=10)
    except UserError:
        return
    raise UserError(f"a cluster is up already, at {cluster.host}:{cluster.port}; draggan cluster down first")


def down(cluster: KnownCluster) -> None:
    """End sessions (they stay on the disk), engines and manager, and Ray if it was started with them."""
    problem: UserError | None = None
    try:
        ask(cluster, "down", timeout=60)
    except UserError as error:
        problem = error
    if cluster.pid:
        _end(cluster.pid)
    elif problem is None and cluster.ray:
        _end_manager(cluster.ray)
    if cluster.ray:
        forget(cluster)
    if problem is not None and not cluster.pid:
        raise problem


def _end_manager(address: str) -> None:
    import ray

    _connect(address)
    try:
        ray.kill(ray.get_actor(MANAGER))
    except ValueError:
        return
    finally:
        ray.shutdown()


def _end(pid: int) -> None:
    """End a local cluster's process, and what it holds."""
    if not pid or not _alive(pid):
        return
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if not _alive(pid):
            return
        time.sleep(0.05)
    os.killpg(pid, signal.SIGKILL)


def _alive(pid: int) -> bool:
    try:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return False
    except ChildProcessError:
        pass
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"draggan_runtime.cluster.local" in file.read()
    except OSError:
        return False
