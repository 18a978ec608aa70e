"""``draggan soak``: a private cluster is tried hard, and said is what it stood."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from draggan_runtime.cli.common import Format, FormatOption, SetOption, print_json
from draggan_runtime.cli.progress import watched
from draggan_runtime.soak import hours, kills
from draggan_runtime.soak.private import SMALL, Setting


def soak(
    kills_: Annotated[int, typer.Option("--kills", min=1, help="kill -9 of this many processes in mid-drag.")] = 10,
    what: Annotated[kills.Victim, typer.Option(help="What --kills kills.")] = kills.Victim.engine,
    steps: Annotated[int, typer.Option(min=40, help="Steps of a drag, with --kills.")] = 200,
    nodes: Annotated[int | None, typer.Option(min=1, help="Nodes to pretend; unset: 3 to kill nodes, else 1.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="Instead: edit at random for so long.")] = None,
    sessions: Annotated[int, typer.Option(min=1, help="Sessions that are edited, with --minutes.")] = 8,
    kill_every: Annotated[float, typer.Option(min=0, help="s between two kills, with --minutes; 0: none.")] = 60.0,
    out: Annotated[Path | None, typer.Option(help="A CSV file for the samples, with --minutes.")] = None,
    model: Annotated[str, typer.Option(help="Model; see draggan models list.")] = SMALL,
    config: Annotated[str | None, typer.Option(help="Parameter preset, instead of the model's own.")] = None,
    set_: SetOption = None,
    seed: Annotated[int, typer.Option(help="Of the random moments and edits.")] = 0,
    format_: FormatOption = Format.table,
) -> None:
    """Try a cluster hard: one of its own, beside any that is up.

    \b
    draggan soak --kills 100                   engines are killed in mid-drag
    draggan soak --kills 20 --what session     session, manager, or node (of several on this machine)
    draggan soak --minutes 60 --sessions 8     random edits, people who come and go, kills: does anything grow?

    With --kills every step is held against an undisturbed drag, bit for bit. Exit code 1 if a step was lost, came twice
    or differs, or a drag did not go on; with --minutes, if a process grew or was left behind.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the cluster ends too
    overrides = tuple(set_ or ())
    if minutes is not None:
        room = -(-sessions // 2)
        setting = Setting(model, config, overrides, nodes=nodes or 1, replicas=2, sessions=room)
        with watched(int(60 * minutes), "{task.completed} of {task.total} s", "editing") as watch:
            result = hours.soak_hours(
                setting, minutes, sessions, kill_every, seed, out, watch.show, lambda: not watch.interrupted
            )
        failed = hours.failed(result)
    else:
        setting = Setting(model, config, overrides, nodes=nodes or (3 if what is kills.Victim.node else 1))
        with watched(kills_, "{task.completed} of {task.total} kills", "killing") as watch:
            result = kills.soak_kills(setting, what, kills_, steps, seed, watch.show, lambda: not watch.interrupted)
        failed = kills.failed(result)
    if format_ is Format.json:
        print_json(result)
    else:
        _print(result)
    if failed:
        raise typer.Exit(1)


def _print(result: dict[str, Any]) -> None:
    kinds = result.pop("kinds", [])
    table = Table("", "", show_header=False)
    for name, value in result.items():
        table.add_row(name.replace("_", " "), f"{value:.0f}" if isinstance(value, float) else str(value))
    console = Console()
    console.print(table)
    if kinds:
        table = Table("process", "min", "MB", "then", "MB/h", "files", "then", "flat")
        for row in kinds:
            figures = [row[key] for key in ("minutes", "rss_mb_first", "rss_mb_last", "rss_mb_per_hour")]
            figures += [row["handles_first"], row["handles_last"]]
            table.add_row(row["kind"], *(f"{figure:.0f}" for figure in figures), "yes" if row["flat"] else "NO")
        console.print(table)
