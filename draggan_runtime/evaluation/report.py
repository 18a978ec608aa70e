"""The report: one file, tables and pictures of each method's best, median and worst case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from draggan_runtime.evaluation.command import command_of
from draggan_runtime.evaluation.failures import Failure
from draggan_runtime.evaluation.figure import figure, interval, same_case
from draggan_runtime.evaluation.rows import Row
from draggan_runtime.evaluation.table import Table, cells
from draggan_runtime.files import write_atomically

REPORT = "report.html"
#: The method whose pictures are open from the start, beside the one compared with.
BEST = "best"

_LEGEND = (
    "A white dot is where a point is: the handle in the first picture, in the others where the judge, or in tracking "
    "the tracker, finds it. A blue ring is where it should be, a line joins the two. In words after a dash: how the "
    "drag ended. A picture leads to the same one in full, as long as this page lies in the folder it was written to."
)


def write_report(made: Sequence[Table], out: Path, show: Sequence[str] = (), failures: Sequence[Failure] = ()) -> Path:
    """Write ``report.html`` of these tables to ``out``, where the rows' pictures are, and say where.

    ``show``: methods whose pictures are open; none: ``BEST`` and the one that others are compared with.
    """
    rows = [row for table in made for of in table.rows.values() for row in of]
    links = [f"<li>{_link(table, show)}</li>" for table in made]
    links += ['<li><a href="#failures">Failures</a></li>'] if failures else []
    body = [_section(table, out, show) for table in made]
    if failures:
        body.append('<section id="failures">\n<h2>Failures</h2>')
        body += [_failure(failure, out) for failure in failures]
        body.append("</section>")
    style = (Path(__file__).parent / "report.css").read_text()
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n<title>How good the edits are</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n<h1>How good the edits are</h1>\n"
        f"<p>All pictures are synthetic. {_LEGEND}</p>\n<nav><ul>\n{_lines(links)}\n</ul></nav>\n{_lines(body)}\n"
        f"<footer>Measured with {_made_with(rows)}.</footer>\n</body>\n</html>\n"
    )
    path = out / REPORT
    write_atomically(path, page.encode())
    return path


def shown(table: Table, method: str) -> list[tuple[str, Row]]:
    """A method's best, median and worst case by the protocol's first figure, then those that gave none, at most 3."""
    key = table.protocol.columns[0].key
    rows = table.rows[method]
    ranked = sorted((row for row in rows if key in row.get("figures", {})), key=lambda row: float(row["figures"][key]))
    failed = [("failed", row) for row in rows if key not in row.get("figures", {}) and "error" not in row][:3]
    places = {0: "best", (len(ranked) - 1) // 2: "median", len(ranked) - 1: "worst"} if ranked else {}
    return [(place, ranked[i]) for i, place in sorted(places.items())] + failed


def _wanted(table: Table, show: Sequence[str]) -> list[str]:
    return [name for name in show or (BEST, table.against) if name in table.rows] or list(table.rows)


def _title(table: Table) -> str:
    options = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in table.protocol.options.items())
    return f"{table.protocol.name}: {options}" if options else table.protocol.name


def _link(table: Table, show: Sequence[str]) -> str:
    """To a table, with what it says of the methods whose pictures are open."""
    column = table.protocol.columns[0]
    lines = {line.method: line for line in table.lines if column.key in line.figures}
    means = [
        f"{name} {lines[name].figures[column.key].value:.{column.digits}f}"
        for name in _wanted(table, show)
        if name in lines
    ]
    words = f" – {', '.join(means)} {column.title}" if means else ""
    return f'<a href="#{escape(table.group)}">{escape(_title(table))}</a>{escape(words)}'


def _section(table: Table, out: Path, show: Sequence[str]) -> str:
    titles, lines = cells(table)
    wanted = _wanted(table, show)
    bars = [interval(table, line) for line in table.lines]
    head = _tr("th", [escape(title) for title in (*titles[:2], "", *titles[2:])])
    body = [
        _tr("td", [escape(line[0]), escape(line[1]), bar, *map(escape, line[2:])])
        for line, bar in zip(lines, bars, strict=True)
    ]
    parts = [
        f'<section id="{escape(table.group)}">\n<h2>{escape(_title(table))}</h2>',
        f"<p>{escape(table.protocol.about)}</p>",
        f"<pre>{escape(command_of(table))}</pre>",
        f'<div class="wide"><table>\n<thead>{head}</thead>\n<tbody>\n{_lines(body)}\n</tbody>\n</table></div>',
    ]
    middle = [row for place, row in shown(table, wanted[0]) if place in ("best", "median")][-1:]
    parts += [same_case(table, row["case"], wanted[0], out) for row in middle if len(table.rows) > 1]
    parts += [
        _method(table, name, out, name in wanted) for name in (*wanted, *(n for n in table.rows if n not in wanted))
    ]
    return _lines([*parts, "</section>"])


def _method(table: Table, method: str, out: Path, opened: bool) -> str:
    (line,) = (line for line in table.lines if line.method == method)
    row = table.rows[method][-1]
    overrides = " ".join(f"<code>{escape(text)}</code>" for text in row["overrides"]) or "the preset"
    what = overrides if row.get("edits", True) else "no edit"
    problems = line.counts.get("error", {}) | line.counts.get("failed", {})
    return _lines(
        [
            f"<details{' open' if opened else ''}>\n<summary>{escape(method)}: {what}</summary>",
            *(f"<p>{n} × {escape(text)}</p>" for text, n in problems.items()),
            *(figure(table, row, out, place) for place, row in shown(table, method)),
            "</details>",
        ]
    )


def _failure(failure: Failure, out: Path) -> str:
    where = f"{failure.row['method']}, {_title(failure.table)}"
    return (
        f"<h3>{escape(where)}</h3>\n<p>{escape(failure.why)}</p>\n{figure(failure.table, failure.row, out, large=True)}"
    )


def _made_with(rows: Sequence[Row]) -> str:
    commits = dict.fromkeys(str(row["commit"]) for row in rows if row.get("commit"))
    versions = dict.fromkeys(f"{name} {of}" for row in rows for name, of in row.get("versions", {}).items())
    return escape(", ".join([*(f"commit {commit}" for commit in commits), *versions]) or "an unknown version")


def _tr(cell: str, contents: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{cell}>{content}</{cell}>" for content in contents) + "</tr>"


def _lines(parts: Iterable[str]) -> str:
    return "\n".join(parts)
