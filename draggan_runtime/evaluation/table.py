"""The tables: a line a method, of each group of rows that have protocol and options in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from draggan_runtime.errors import UserError
from draggan_runtime.evaluation.protocol import Arrays, Column, Evaluated
from draggan_runtime.evaluation.protocols import protocol_of
from draggan_runtime.evaluation.rows import Row, by_group
from draggan_runtime.evaluation.statistics import Estimate, estimate

#: Words that say how cases ended; those of the last two gave no figure.
ENDED = ("stopped", "failed", "error")
#: The method that others are compared with, if it was measured and none is named.
AGAINST = "nearest"


@dataclass(frozen=True)
class Line:
    """A method in a table.

    ``cases``: how many were tried. ``figures``: by key of the protocol's columns. ``counts``: by key, how often each
    word; those of ``failed`` and ``error`` have no figures. ``of_set``: by title, what the whole set gives.
    ``difference``: of the first figure from the other method's, case by case; None where they share no case.
    """

    method: str
    cases: int
    figures: dict[str, Estimate]
    counts: dict[str, dict[str, int]]
    of_set: dict[str, float]
    difference: Estimate | None


@dataclass(frozen=True)
class Table:
    """All methods of one protocol with one set of options. ``rows``: by method. ``against``: see :class:`Line`."""

    group: str
    protocol: Evaluated
    lines: tuple[Line, ...]
    rows: dict[str, list[Row]]
    against: str


def tables(rows: Sequence[Row], out: Path, against: str | None = None) -> list[Table]:
    """The tables of a folder's rows, each method compared with ``against`` (None: with ``AGAINST``).

    Raises UserError if this version does not know a row's protocol, or if ``against`` was not measured.
    """
    groups = by_group(rows)
    known = dict.fromkeys(method for methods in groups.values() for method in methods)
    if against is not None and against not in known:
        raise UserError(f"--against {against}: this was not measured here; there are {', '.join(known)}")
    other = against or AGAINST
    made = []
    for group, methods in groups.items():
        protocol = protocol_of(next(iter(methods.values()))[0])
        base = methods.get(other, [])
        lines = tuple(
            _line(protocol, method, of, [] if method == other else base, out) for method, of in methods.items()
        )
        made.append(Table(group, protocol, lines, methods, other))
    return made


def plain(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """The tables as plain values, for JSON."""
    return [
        {
            "group": table.group,
            "protocol": table.protocol.name,
            "options": dict(table.protocol.options),
            "against": table.against,
            "methods": [asdict(line) for line in table.lines],
        }
        for table in tables
    ]


def cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Titles and, a method a line, cells, to be read by people."""
    columns = table.protocol.columns
    sets = list(dict.fromkeys(title for line in table.lines for title in line.of_set))
    compared = any(line.difference for line in table.lines)
    titles = ["method", "cases", *(column.title for column in columns), *sets, "ended"]
    if compared:
        titles.insert(3, f"less {table.against}'s")
    lines = []
    for line in table.lines:
        figures = [_cell(line.figures.get(column.key), column) for column in columns]
        if compared:
            figures.insert(1, _difference(line.difference, columns[0]))
        whole = [f"{line.of_set[title]:.3g}" if title in line.of_set else "" for title in sets]
        ended = [f"{word} {n}" for key in ENDED for word, n in line.counts.get(key, {}).items()]
        lines.append([line.method, str(line.cases), *figures, *whole, "\n".join(ended)])
    return titles, lines


def _cell(figure: Estimate | None, column: Column) -> str:
    if figure is None:
        return ""
    said, low, high = (f"{value:.{column.digits}f}" for value in (figure.value, figure.low, figure.high))
    return f"{said}\n{low}–{high}" if column.interval else said


def _difference(figure: Estimate | None, column: Column) -> str:
    if figure is None:
        return ""
    mean, low, high = (f"{value:+.{column.digits}f}" for value in (figure.value, figure.low, figure.high))
    return f"{mean}\n{low}…{high}"


def _line(protocol: Evaluated, method: str, rows: list[Row], base: list[Row], out: Path) -> Line:
    figures: dict[str, list[float]] = {}
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        if "error" in row:
            counts.setdefault("error", Counter())[row["error"]] += 1
        for key, value in row.get("figures", {}).items():
            if isinstance(value, str):
                counts.setdefault(key, Counter())[value] += 1
            else:
                figures.setdefault(key, []).append(value)
    return Line(
        method=method,
        cases=len(rows),
        figures={c.key: estimate(figures[c.key], median=c.median) for c in protocol.columns if c.key in figures},
        counts={key: dict(count.most_common()) for key, count in counts.items()},
        of_set=protocol.of_set([_arrays(out / row["arrays"]) for row in rows if row.get("arrays")]),
        difference=_paired(rows, base, protocol.columns[0].key),
    )


def _paired(rows: list[Row], base: list[Row], key: str) -> Estimate | None:
    """Of cases are all that two methods share: their spread leaves the mean of differences alone."""
    ours, theirs = (
        {row["case"]: row["figures"][key] for row in of if key in row.get("figures", {})} for of in (rows, base)
    )
    both = [value - theirs[case] for case, value in ours.items() if case in theirs]
    return estimate(both) if both else None


def _arrays(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)
