"""The report: one page of tables, and pictures of each method's best, median and worst case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from draggan_runtime.evaluation.rows import Row
from draggan_runtime.evaluation.table import Table, cells
from draggan_runtime.files import write_atomically

REPORT = "report.html"

_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 80em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
th, td { text-align: left; padding: .3em .8em; border-bottom: 1px solid #ccc }
td { font-variant-numeric: tabular-nums; white-space: pre-line; vertical-align: top }
figure { margin: 1em 0 2em } figure img { width: 32%; max-width: 512px } figcaption { margin: .3em 0; color: #555 }
code { background: #f2f2f2; padding: 0 .3em }
"""


def write_report(made: Sequence[Table], out: Path) -> Path:
    """Write ``report.html`` of these tables to ``out``, where the rows' pictures are, and say where."""
    rows = [row for table in made for of in table.rows.values() for row in of]
    body = "\n".join(_section(table) for table in made)
    page = (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>draggan eval</title>\n'
        f"<style>{_STYLE}</style>\n<h1>draggan eval</h1>\n<p>All pictures are synthetic. {_made_with(rows)}</p>\n"
        f"{body}\n</html>\n"
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


def _section(table: Table) -> str:
    titles, lines = cells(table)
    head = _tr("th", titles)
    body = "\n".join(_tr("td", line) for line in lines)
    parts = [f"<h2>{escape(table.group)}</h2>\n<p>{escape(table.protocol.about)}</p>"]
    parts.append(f"<table>\n{head}\n{body}\n</table>")
    for line in table.lines:
        overrides = " ".join(f"<code>{escape(text)}</code>" for text in table.rows[line.method][-1]["overrides"])
        parts.append(f"<h3>{escape(line.method)}</h3>\n<p>{overrides}</p>")
        errors = line.counts.get("error", {}) | line.counts.get("failed", {})
        parts += [f"<p>{n} x {escape(text)}</p>" for text, n in errors.items()]
        parts += [_figure(table, place, row) for place, row in shown(table, line.method)]
    return "\n".join(parts)


def _figure(table: Table, place: str, row: Row) -> str:
    said = [f"case {row['case']}"]
    for column in table.protocol.columns:
        if column.key in row["figures"]:
            said.append(f"{column.title} {row['figures'][column.key]:.{column.digits}f}")
    said += [str(value) for value in row["figures"].values() if isinstance(value, str)]
    images = "\n".join(
        f'<img src="{quote(path)}" alt="{escape(name)}" title="{escape(name)}" loading="lazy">'
        for name, path in row["pictures"].items()
    )
    names = ", ".join(row["pictures"])
    caption = f"<b>{place}</b> ({escape(names)}): {escape('; '.join(said))}"
    return f"<figure>\n{images}\n<figcaption>{caption}</figcaption>\n</figure>"


def _made_with(rows: Sequence[Row]) -> str:
    commits = dict.fromkeys(str(row["commit"]) for row in rows if row.get("commit"))
    versions = dict.fromkeys(f"{name} {of}" for row in rows for name, of in row.get("versions", {}).items())
    return escape("; ".join([*(f"commit {commit}" for commit in commits), ", ".join(versions)]))


def _tr(cell: str, texts: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{cell}>{escape(text)}</{cell}>" for text in texts) + "</tr>"
