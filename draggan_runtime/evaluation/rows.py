"""What is measured, a JSON line for each case and method, so that a run goes on where it was interrupted."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from draggan_runtime.errors import UserError
from draggan_runtime.files import unwritable, writable_folder

ROWS = "rows.jsonl"

Row = dict[str, Any]
_NEEDED = {"group", "case", "method", "settings"}


def read_rows(out: Path) -> list[Row]:
    """All rows of a folder that still count, in the order they were made; a line that is cut off does not.

    Of a method in a group those of its newest settings count, of a case the newest.
    """
    path = out / ROWS
    found = {}
    newest = {}
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.keys() >= _NEEDED:
            found[row["group"], row["method"], row["case"]] = row
            newest[row["group"], row["method"]] = row["settings"]
    return [row for (group, method, _), row in found.items() if row["settings"] == newest[group, method]]


def add_row(out: Path, row: Row) -> None:
    """Add a row, on the disk before this returns; after a line that was cut off it begins a new one."""
    path = writable_folder(out) / ROWS
    try:
        with path.open("ab+") as file:
            cut = False
            if file.tell():
                file.seek(-1, os.SEEK_END)
                cut = file.read(1) != b"\n"
            file.write(b"\n" * cut + json.dumps(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise unwritable(path, error) from error


def by_group(rows: Iterable[Row]) -> dict[str, dict[str, list[Row]]]:
    """Rows by group, and in it by method, both in the order of their first."""
    groups: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        groups.setdefault(row["group"], {}).setdefault(row["method"], []).append(row)
    return groups


def require_rows(out: Path) -> list[Row]:
    """As :func:`read_rows`. Raises UserError if there is none."""
    rows = read_rows(out)
    if not rows:
        raise UserError(f"{out / ROWS}: nothing has been measured here yet; draggan eval landmarks --out {out} does")
    return rows
