"""Failures that the report explains: a YAML list that a person writes, each entry about one measured row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from draggan_runtime.errors import UserError
from draggan_runtime.evaluation.rows import Row
from draggan_runtime.evaluation.table import Table
from draggan_runtime.graph.schema import brief


@dataclass(frozen=True)
class Failure:
    """A row of a table, and why it went wrong."""

    table: Table
    row: Row
    why: str


class _Entry(BaseModel):
    """``protocol``: a table's name, ``landmarks-points1-max_steps300``."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    protocol: str
    case: str
    method: str
    why: str


def read_failures(path: Path, made: Sequence[Table]) -> list[Failure]:
    """The entries of a file, each with its row of ``made``. Raises UserError for a file that cannot be meant."""
    try:
        entries = TypeAdapter(list[_Entry]).validate_python(yaml.safe_load(path.read_text()) or [])
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--failures {path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"--failures {path}: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = " ".join(f"entry {part + 1}" if isinstance(part, int) else f"'{part}'" for part in problem["loc"])
        raise UserError(f"--failures {path}: {where or 'the file'}: {brief(problem)}") from None
    return [_found(entry, made, f"--failures {path}: entry {number}") for number, entry in enumerate(entries, 1)]


def _found(entry: _Entry, made: Sequence[Table], where: str) -> Failure:
    tables = {table.group: table for table in made}
    if entry.protocol not in tables:
        raise UserError(f"{where}: no table '{entry.protocol}'; there are {', '.join(tables)}")
    table = tables[entry.protocol]
    for row in table.rows.get(entry.method, []):
        if row["case"] == entry.case:
            return Failure(table, row, entry.why.strip())
    raise UserError(f"{where}: case {entry.case} was not measured under '{entry.method}' in {entry.protocol}")
