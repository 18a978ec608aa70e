"""``draggan cluster``: engines for many edit sessions, on this machine or on a Ray cluster."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from draggan_runtime.cli.common import Format, FormatOption, SetOption, print_json
from draggan_runtime.cli.tables import show_status
from draggan_runtime.cluster.client import ask
from draggan_runtime.cluster.known import known_cluster
from draggan_runtime.cluster.profiles import Profile
from draggan_runtime.cluster.protocol import LOOPBACK
from draggan_runtime.errors import UserError
from draggan_runtime.files import state_dir, writable_folder
from draggan_runtime.graph import load_launch

app = typer.Typer(help="A cluster for many edit sessions: up, status, down.", no_args_is_help=True)

AtOption = Annotated[str, typer.Option("--at", metavar="HOST:PORT", help="The cluster's gateway; unset: the one here.")]
ClusterTokenOption = Annotated[
    str, typer.Option("--cluster-token", envvar="DRAGGAN_CLUSTER_TOKEN", help="Of a cluster started elsewhere.")
]


@app.command()
def up(
    launch: Annotated[str, typer.Option(help="A launch file, or the name of one.")] = "cluster",
    address: Annotated[str, typer.Option(help="An existing Ray cluster, host:port; unset: a new one here.")] = "",
    nodes: Annotated[int, typer.Option(min=1, help="Nodes that a new one pretends to have.")] = 1,
    replicas: Annotated[int | None, typer.Option(min=1, help="Engines that take sessions.")] = None,
    spares: Annotated[int | None, typer.Option(min=0, help="Engines that stand in for one that dies.")] = None,
    sessions: Annotated[int | None, typer.Option(min=1, help="Most sessions on an engine.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Most sessions that step together.")] = None,
    idle: Annotated[float | None, typer.Option(min=0, help="s until an idle session gives its place back.")] = None,
    profile: Annotated[Profile, typer.Option(help="fast_failover notices deaths sooner.")] = Profile.normal,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where clients connect.")] = f"{LOOPBACK}:0",
    store: Annotated[Path | None, typer.Option(help="Folder of the sessions; all nodes must see it.")] = None,
    config: Annotated[str | None, typer.Option(help="Parameter preset, instead of the launch's own.")] = None,
    set_: SetOption = None,
) -> None:
    """Start engines, and a gateway that sessions are started and attached to by.

    \b
    draggan cluster up                                     Ray, an engine and a spare, on this machine
    draggan cluster up --replicas 2 --profile fast_failover
    draggan cluster up --address 10.0.0.5:6379 --listen 0.0.0.0:7700 --store /shared/draggan

    The gateway listens on this machine only, unless --listen says otherwise. What it sends is not encrypted: over a
    network use a tunnel (ssh -L).
    """
    graph = load_launch(launch, set_ or [], config=config)
    said: dict[str, Any] = {"replicas": replicas, "spares": spares, "sessions": sessions, "batch": batch, "idle": idle}
    engines = replace(graph.engines, **{name: value for name, value in said.items() if value is not None})
    graph = replace(graph, engines=engines)
    folder = writable_folder(store or state_dir() / "sessions")
    from draggan_runtime.cluster.up import up as start

    with Console(stderr=True).status("starting") as status:
        cluster = start(
            graph,
            folder,
            address=address,
            nodes=nodes,
            profile=profile,
            listen=_host_port(listen),
            progress=status.update,
        )
    print(f"gateway {cluster.host}:{cluster.port}, Ray {cluster.ray}, sessions kept in {cluster.store}")


def _host_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"--listen {text}: write host:port, for example {LOOPBACK}:7700")
    return host, int(port)


@app.command()
def status(at: AtOption = "", cluster_token: ClusterTokenOption = "", format_: FormatOption = Format.table) -> None:
    """What runs: engines, sessions, the line."""
    known = known_cluster(at, cluster_token)
    told = ask(known, "status")
    if format_ is Format.json:
        print_json({"cluster": {**asdict(known), "token": ""}, **told})
        return
    show_status(told, Console())


@app.command()
def down(at: AtOption = "", cluster_token: ClusterTokenOption = "") -> None:
    """End engines and sessions; the sessions stay on the disk, for draggan session resume."""
    from draggan_runtime.cluster.up import down as end

    known = known_cluster(at, cluster_token)
    with Console(stderr=True).status("ending"):
        end(known)
    print("down; the sessions are kept" + (f" in {known.store}" if known.store else ""))
