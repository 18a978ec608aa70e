"""``draggan soak``: a private cluster is tried hard, and said is what it stood."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from draggan_runtime.cli.common import Format, FormatOption, SetOption, print_json
from draggan_runtime.cli.progress import watched
from draggan_runtime.soak.kills import Victim, failed, soak_kills
from draggan_runtime.soak.private import SMALL, Setting


def soak(
    kills: Annotated[int, typer.Option(min=1, help="kill -9 of this many processes in mid-drag.")] = 10,
    what: Annotated[Victim, typer.Option(help="What is killed.")] = Victim.engine,
    steps: Annotated[int, typer.Option(min=40, help="Steps of a drag.")] = 200,
    nodes: Annotated[int | None, typer.Option(min=1, help="Nodes to pretend; unset: 3 to kill nodes, else 1.")] = None,
    model: Annotated[str, typer.Option(help="Model; see draggan models list.")] = SMALL,
    config: Annotated[str | None, typer.Option(help="Parameter preset, instead of the model's own.")] = None,
    set_: SetOption = None,
    seed: Annotated[int, typer.Option(help="Of the random moments.")] = 0,
    format_: FormatOption = Format.table,
) -> None:
    """Try a cluster hard: one of its own, beside any that is up.

    \b
    draggan soak --kills 100                 engines are killed in mid-drag
    draggan soak --kills 20 --what session   session, manager, or node (of several on this machine)

    Every step is held against an undisturbed drag, bit for bit. Exit code 1 if a step was lost, came twice or differs,
    or a drag did not go on.
    """
    setting = Setting(model, config, tuple(set_ or ()), nodes=nodes or (3 if what is Victim.node else 1))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the cluster ends too
    with watched(kills, "{task.completed} of {task.total} kills", "killing") as watch:
        result = soak_kills(setting, what, kills, steps, seed, watch.show, lambda: not watch.interrupted)
    _print(result, format_)
    if failed(result):
        raise typer.Exit(1)


def _print(result: dict[str, Any], format_: Format) -> None:
    if format_ is Format.json:
        print_json(result)
        return
    table = Table("", "")
    for name, value in result.items():
        table.add_row(name.replace("_", " "), f"{value:.0f}" if isinstance(value, float) else str(value))
    Console().print(table)
