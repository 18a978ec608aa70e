"""``draggan top``: what a cluster does just now."""

from __future__ import annotations

import contextlib
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from draggan_runtime.cli.cluster import AtOption, ClusterTokenOption
from draggan_runtime.cli.common import Format, FormatOption, print_json
from draggan_runtime.cli.tables import status_view
from draggan_runtime.cluster.client import ask
from draggan_runtime.cluster.known import known_cluster


def top(
    once: Annotated[bool, typer.Option("--once", help="Print and end; else it is refreshed until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="s between two looks.")] = 1.0,
    at: AtOption = "",
    cluster_token: ClusterTokenOption = "",
    format_: FormatOption = Format.table,
) -> None:
    """Engines, sessions and the line, as they are now; json: once.

    \b
    draggan top
    draggan top --once --format json
    """
    known = known_cluster(at, cluster_token)
    told = ask(known, "status")
    if format_ is Format.json:
        print_json(told)
        return
    console = Console()
    if once:
        console.print(status_view(told))
        return
    with contextlib.suppress(KeyboardInterrupt), Live(status_view(told), console=console, screen=True) as live:
        while True:
            time.sleep(every)
            live.update(status_view(ask(known, "status")))
