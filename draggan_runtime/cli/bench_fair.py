"""``draggan bench fair``: what each session gets when there are more than a cluster has room for."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from draggan_runtime.cli.common import Format, FormatOption, SetOption, print_json
from draggan_runtime.cli.progress import watched
from draggan_runtime.soak.fair import measure_fair
from draggan_runtime.soak.private import SMALL, Setting


def fair(
    sessions: Annotated[int, typer.Option(min=2, help="How many want to drag at once.")] = 20,
    engines: Annotated[int, typer.Option(min=1, help="Engines there are.")] = 2,
    room: Annotated[int, typer.Option(min=1, help="Sessions that an engine takes.")] = 4,
    steps: Annotated[int, typer.Option(min=10, help="Steps of each drag.")] = 100,
    greedy: Annotated[int, typer.Option(min=1, help="Points of the first session; the others have one.")] = 68,
    model: Annotated[str, typer.Option(help="Model; see draggan models list.")] = SMALL,
    config: Annotated[str | None, typer.Option(help="Parameter preset, instead of the model's own.")] = None,
    set_: SetOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Let more sessions drag than there is room for, one of them greedy, on a cluster of their own.

    A session's share is its steps against an equal part of what its engine made while it dragged there.
    """
    setting = Setting(model, config, tuple(set_ or ()), replicas=engines, spares=0, sessions=room, step_budget=60)
    with watched(sessions, "{task.completed} of {task.total} sessions done", "sharing") as watch:
        result = measure_fair(setting, sessions, steps, greedy, watch.show)
    if format_ is Format.json:
        print_json(result)
        return
    table = Table("session", "points", "places in the line", "steps", "share", "ended")
    for row in result["each"]:
        share = "" if row["share"] is None else f"{row['share']:.2f}"
        places = " ".join(map(str, row["places"]))
        table.add_row(row["session"], str(row["points"]), places, str(row["steps"]), share, row["ended"])
    Console().print(table)
    print(
        f"at most {result['most_running']} ran and {result['most_waiting']} waited; "
        f"{result['finished']} of {sessions} finished in {result['seconds']:.0f} s"
    )
