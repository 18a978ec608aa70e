"""Running a protocol of ``draggan eval`` with a progress bar, and showing what was measured."""

from __future__ import annotations

import sys
from pathlib import Path

import typer
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from draggan_runtime.cli.common import Format, print_json
from draggan_runtime.cli.progress import watched
from draggan_runtime.errors import UserError
from draggan_runtime.evaluation.methods import Method
from draggan_runtime.evaluation.protocol import Evaluated

INTERRUPTED = 130


def run(
    protocol: Evaluated,
    count: int,
    method: list[str] | None,
    out: Path,
    launch: str,
    config: str | None,
    set_: list[str] | None,
    format_: Format,
    against: str | None,
) -> None:
    """Measure what ``out`` lacks of a protocol's first ``count`` cases, then show all of it; exit as commands do.

    ``method``, ``launch``, ``config``, ``set_``, ``against``: as the options of these names. Exits with 1 if a row
    failed, with 130 after Ctrl-C.
    """
    from draggan_runtime.evaluation import methods
    from draggan_runtime.evaluation.runner import EvalProgress, Evaluation
    from draggan_runtime.graph import load_launch
    from draggan_runtime.graph.lasting import model_of

    model = model_of(load_launch(launch, set_ or (), config=config))
    rows = methods.parse(method) if method else ready(protocol, model)
    evaluation = Evaluation(protocol, rows, count, out, launch=launch, config=config, set=set_ or ())
    if done := evaluation.total - len(evaluation.todo):
        print(f"draggan: {done} of {evaluation.total} rows were measured already", file=sys.stderr)
    failed = 0
    with watched(evaluation.total, "{task.completed}/{task.total}", "measuring") as watch:

        def tell(now: EvalProgress) -> bool:
            nonlocal failed
            step = f", step {now.drag.drag_steps}" if now.drag else ""
            watch.show(now.done, f"{now.unit.method.name}, case {now.unit.case.id}{step}")
            if now.row is not None and "error" in now.row:
                failed += 1
                watch.say(f"draggan: {now.unit.method.name}, case {now.unit.case.id}: {now.row['error']}")
            return not watch.interrupted

        evaluation.run(tell)
    if evaluation.rows:
        show(out, format_, against)
    if watch.interrupted:
        print("draggan: interrupted; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)
    if failed:
        raise typer.Exit(1)


def ready(protocol: Evaluated, model: str) -> list[Method]:
    """All methods with names that the protocol can measure; what must be trained first is said on stderr."""
    from draggan_runtime.evaluation.learned_map.files import digest
    from draggan_runtime.evaluation.methods import known

    rows = []
    for row in known().values():
        if row.one_shot and not protocol.edits:
            continue
        try:
            if row.one_shot:
                digest(model)
            rows.append(row)
        except UserError as error:
            print(f"draggan: {row.name} is left out: {error}", file=sys.stderr)
    return rows


def show(out: Path, format_: Format, against: str | None = None) -> None:
    """Print a folder's tables and write its report. Raises UserError if ``against`` was not measured."""
    from draggan_runtime.evaluation.report import write_report
    from draggan_runtime.evaluation.rows import read_rows
    from draggan_runtime.evaluation.table import cells, plain, tables

    made = tables(read_rows(out), out, against)
    page = write_report(made, out)
    if format_ is Format.json:
        print_json(plain(made))
        return
    console = Console()
    for table in made:
        titles, lines = cells(table)
        view = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for title, column in zip(titles, zip(*lines, strict=True), strict=True):
            # The last column, words, is what gives way on a narrow terminal.
            whole = [part for cell in column for part in (cell.split() if title == titles[-1] else cell.split("\n"))]
            view.add_column(title, min_width=max(map(len, [*whole, *title.split()])))
        for line in lines:
            view.add_row(*line)
        console.print(table.group)
        # A table that does not fit runs over: lines that wrap can still be read, figures that are cut cannot.
        needed = Measurement.get(console, console.options, view).minimum
        console.print(view, width=max(needed, console.width), crop=False, no_wrap=needed > console.width)
    print(page)
