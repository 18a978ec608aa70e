"""``draggan fuzz``: damaged and hostile files through the reader of weights and latents, and into models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from draggan_runtime.cli.common import Format, FormatOption, print_json
from draggan_runtime.cli.progress import watched


def fuzz(
    files: Annotated[int, typer.Option(min=1, help="Files to make and read.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Of the mutations.")] = 0,
    seconds: Annotated[float, typer.Option(min=0.1, help="A file may take so long.")] = 5.0,
    out: Annotated[Path, typer.Option(help="Folder for the files that did harm.")] = Path("fuzz"),
    format_: FormatOption = Format.table,
) -> None:
    """Try the reader of weights and latents with mutated files: does one run anything, crash, hang, or fill the memory?

    \b
    draggan fuzz --files 10000 --seed 0

    Whole files of each format are made and damaged, or get hostile opcodes; a process of its own reads them, and
    converts what is still a model. Exit code 1 if one did harm; it is then kept.
    """
    from draggan_runtime.inert.fuzz import run

    with watched(files, "{task.completed} of {task.total} files", "reading") as watch:
        result = run.fuzz(files, seed, seconds, out, watch.show, lambda: not watch.interrupted)
    if format_ is Format.json:
        print_json(result)
    else:
        _print(result)
    if run.failed(result):
        raise typer.Exit(1)


def _print(result: dict[str, Any]) -> None:
    table = Table("", "", show_header=False)
    for name, value in result.items():
        shown = "\n".join(value) if isinstance(value, list) else f"{value:.0f}"
        table.add_row(name, shown)
    Console().print(table)
