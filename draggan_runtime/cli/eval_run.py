"""Running a protocol of ``draggan eval`` with a progress bar, and showing what was measured."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from draggan_runtime import trainings
from draggan_runtime.cli.common import INTERRUPTED, Format, print_json
from draggan_runtime.cli.progress import watched
from draggan_runtime.errors import UserError
from draggan_runtime.evaluation.methods import Method
from draggan_runtime.evaluation.protocol import Evaluated

if TYPE_CHECKING:
    from draggan_runtime.evaluation.runner import EvalProgress

_SAID = 3  # how many cases under way fit the bar


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
    workers: int,
    address: str,
) -> None:
    """Measure what ``out`` lacks of a protocol's first ``count`` cases, then show all of it; exit as commands do.

    Parameters from ``method`` on are the options of these names. Exits with 1 if a row failed, with 130 after Ctrl-C.
    """
    from draggan_runtime.evaluation import methods
    from draggan_runtime.evaluation.runner import Evaluation
    from draggan_runtime.graph import load_launch
    from draggan_runtime.graph.lasting import model_of

    if method:
        rows = methods.parse(method)
    else:
        rows = ready(protocol, model_of(load_launch(launch, set_ or (), config=config)))
    evaluation = Evaluation(protocol, rows, count, out, launch=launch, config=config, set=set_ or ())
    if done := evaluation.total - len(evaluation.todo):
        print(f"draggan: {done} of {evaluation.total} rows were measured already", file=sys.stderr)
    failed = 0
    with watched(evaluation.total, "{task.completed}/{task.total}", "measuring") as watch:

        def tell(now: EvalProgress) -> bool:
            nonlocal failed
            watch.show(now.done, _doing(now))
            if now.row is not None and "error" in now.row:
                failed += 1
                watch.say(f"draggan: {now.row['method']}, case {now.row['case']}: {now.row['error']}")
            return not watch.interrupted

        if workers > 1 or address:
            from draggan_runtime.evaluation import spread

            spread.run(evaluation, workers, address, tell)
        else:
            evaluation.run(tell)
    if evaluation.rows:
        show(out, format_, against)
    if watch.interrupted:
        print("draggan: interrupted; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)
    if failed:
        raise typer.Exit(1)


def ready(protocol: Evaluated, model: str) -> list[Method]:
    """All methods of its kind that the protocol can measure; what must be trained first is said on stderr."""
    from draggan_runtime.evaluation.learned_map.files import digest
    from draggan_runtime.evaluation.methods import of_kind

    rows = []
    for row in of_kind(protocol.kind).values():
        if row.one_shot and not protocol.edits:
            continue
        try:
            if row.one_shot:
                digest(model)
            if row.needs:
                trainings.digest(row.needs, model)
            rows.append(row)
        except UserError as error:
            print(f"draggan: {row.name} is left out: {error}", file=sys.stderr)
    return rows


def _doing(now: EvalProgress) -> str:
    step = f", step {now.step}" if now.step else ""
    said = [f"{unit.method.name}, case {unit.case.id}" for unit in now.under_way[:_SAID]]
    more = len(now.under_way) - _SAID
    return "; ".join(said) + step + (f" and {more} more" if more > 0 else "") if said else "starting"


def show(
    out: Path,
    format_: Format,
    against: str | None = None,
    pictures: Sequence[str] = (),
    failures: Path | None = None,
) -> None:
    """Print a folder's tables and write its report. The parameters are ``draggan eval report``'s options.

    Raises UserError if what ``against``, ``pictures`` or ``failures`` names was not measured.
    """
    from draggan_runtime.evaluation.failures import read_failures
    from draggan_runtime.evaluation.report import write_report
    from draggan_runtime.evaluation.rows import read_rows
    from draggan_runtime.evaluation.table import cells, plain, tables

    made = tables(read_rows(out), out, against)
    known = {method for table in made for method in table.rows}
    if unknown := [name for name in pictures if name not in known]:
        raise UserError(f"--pictures {unknown[0]}: this was not measured here; there are {', '.join(sorted(known))}")
    page = write_report(made, out, pictures, read_failures(failures, made) if failures is not None else ())
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
