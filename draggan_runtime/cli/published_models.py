"""Models that others published: listed, and fetched from where they are."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from draggan_runtime import models, package_files
from draggan_runtime.cli.common import Format, print_json
from draggan_runtime.cli.progress import watched
from draggan_runtime.cli.tables import table_of
from draggan_runtime.download import download
from draggan_runtime.errors import UserError
from draggan_runtime.files import cache_dir


def show(format_: Format) -> None:
    """List the models that others published."""
    entries = [vars(entry) for library in models.libraries() for entry in library.published()]
    if format_ is Format.json:
        print_json(entries)
        return
    table = table_of("name", "what", "pictures", "licence")
    for entry in entries:
        table.add_row(entry["name"], entry["title"], "{} x {}".format(*entry["resolution"]), entry["licence"])
    Console().print(table)
    print("draggan models fetch NAME says where it is to be had")


def find(name: str) -> tuple[models.ModelLibrary, models.Published] | None:
    """The published model of this name, and the library that can add it."""
    every = ((library, entry) for library in models.libraries() for entry in library.published())
    return next(((library, entry) for library, entry in every if entry.name == name), None)


def fetch(library: models.ModelLibrary, entry: models.Published, from_file: Path | None, sha256: str) -> Path | None:
    """Fetch, convert and add a published model; where its converted weights lie.

    ``from_file``: what the user has already. Raises UserError: there is no address, no hash, or not the file of it.
    """
    print(f"{entry.name}: licence: {entry.licence}", file=sys.stderr)
    if from_file is None and entry.url is None:
        raise UserError(
            f"{entry.name} is to be had from {entry.page}; then draggan models add FILE --name {entry.name}"
        )
    expected = sha256 or entry.sha256
    if from_file is not None:
        if expected:
            package_files.check(from_file, expected.lower())
        return library.add(from_file, entry.name, entry.licence).cached()
    if not expected:
        raise UserError(
            f"the hash of {entry.name} is not known: give the one you trust with --sha256, or get {entry.url} yourself "
            f"and draggan models add FILE --name {entry.name}"
        )
    file = cache_dir() / "fetched" / Path(urlsplit(str(entry.url)).path).name
    with watched(0, "{task.completed:,} bytes", f"fetching {entry.name}") as watch:

        def tell(done: int, whole: int) -> bool:
            watch.show(done, "", whole or None)
            return not watch.interrupted

        download(str(entry.url), file, expected, tell)
    added = library.add(file, entry.name, entry.licence)
    file.unlink()
    return added.cached()
