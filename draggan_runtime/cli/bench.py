"""``draggan bench``: what a step costs."""

from __future__ import annotations

import hashlib
import statistics
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from draggan_runtime import api, cost_file
from draggan_runtime.cli.bench_batch import batch
from draggan_runtime.cli.bench_edit import edit, render
from draggan_runtime.cli.bench_fair import fair
from draggan_runtime.cli.bench_invert import invert
from draggan_runtime.cli.bench_load import load
from draggan_runtime.cli.bench_step import step
from draggan_runtime.cli.bench_window import window
from draggan_runtime.cli.common import Format, FormatOption, SetOption, parse_point, print_json
from draggan_runtime.graph.draw import cost_of
from draggan_runtime.messages import Progress

app = typer.Typer(help="Measure what a step costs.", no_args_is_help=True)

app.command()(step)
app.command()(edit)
app.command()(render)
app.command()(window)
app.command()(fair)
app.command()(batch)
app.command()(invert)
app.command()(load)

LAYOUTS = ("local", "live-headless", "spread")


@app.callback()
def _group() -> None:
    """Measure what a step costs."""


@app.command()
def layouts(
    launch: Annotated[list[str] | None, typer.Option(help="A layout to measure. Repeatable.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    point: Annotated[str, typer.Option(metavar="X,Y:X,Y")] = "512,590:640,590",
    steps: Annotated[int, typer.Option(min=2, help="Latent updates a repeat.")] = 30,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    set_: SetOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Run one edit in several layouts: ms and kB per step, the graph's own part, and whether the latents are the same.

    \b
    draggan bench layouts
    draggan bench layouts --launch local --launch spread --steps 60

    Every repeat runs each layout once, in turn, so that a machine whose speed drifts does not favour one. Bytes are
    those that cross between containers; what waits for idle time (pictures) is left out.
    """
    names = tuple(launch or LAYOUTS)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    sessions = {name: api.open(seed=seed, launch=name, set=set_ or []) for name in names}
    try:
        for _ in range(repeats):
            for name in names:
                runs[name].append(_run(sessions[name], seed, parse_point(point), steps))
        for session in sessions.values():
            cost_file.save(session.app)
    finally:
        for session in sessions.values():
            session.close()
    rows = [_summary(name, runs[name], _in_this_process(sessions[name])) for name in names]
    if format_ is Format.json:
        print_json(rows)
        return
    table = Table("layout", "steps", "ms/step", "graph's own", "kB/step", "final latent")
    for row in rows:
        own = "" if row["graph_fraction"] is None else f"{row['graph_fraction']:.2%}"
        crossed = f"{row['bytes_per_step'] / 1000:.1f}"
        figures = str(row["steps"]), f"{row['ms_per_step']:.1f}", own, crossed
        table.add_row(row["layout"], *figures, row["latent_sha256"][:12])
    Console().print(table)


def _run(session: api.Session, seed: int, pair: api.Pair, steps: int) -> dict[str, Any]:
    session.seed(seed)
    marks: list[tuple[float, float]] = []

    def mark(progress: Progress) -> None:
        marks.append((progress.seconds, sum(session.app.node_seconds().values())))

    before = _crossed(session)
    result = session.drag([pair], max_steps=steps, progress=mark)
    crossed = _crossed(session) - before
    # From the first feedback to the last: the features that open a drag are no step.
    wall, nodes = marks[-1][0] - marks[0][0], marks[-1][1] - marks[0][1]
    return {
        "steps": result.steps,
        "wall": wall,
        "nodes": nodes,
        "bytes": crossed / (result.steps + 1),  # the features that open a drag cross as those of a step do
        "latent": session.w_plus.tobytes(),
    }


def _crossed(session: api.Session) -> int:
    """Bytes that have crossed between containers so far, without what waits for idle time."""
    costs = session.app.costs()
    return sum(cost_of(edge, costs).bytes for edge in session.app.graph.edges if edge.qos.policy == "reliable")


def _in_this_process(session: api.Session) -> bool:
    graph = session.app.graph
    return graph.home is not None and graph.containers[graph.home].place == "driver"


def _summary(name: str, runs: list[dict[str, Any]], here: bool) -> dict[str, Any]:
    hashes = {hashlib.sha256(run["latent"]).hexdigest() for run in runs}
    return {
        "layout": name,
        "steps": runs[0]["steps"],
        "ms_per_step": statistics.median(run["wall"] / run["steps"] for run in runs) * 1e3,
        "bytes_per_step": statistics.median(run["bytes"] for run in runs),
        "graph_fraction": statistics.median(1 - run["nodes"] / run["wall"] for run in runs) if here else None,
        "latent_sha256": hashes.pop() if len(hashes) == 1 else "differs between repeats",
    }
