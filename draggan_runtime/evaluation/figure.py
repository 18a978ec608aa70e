"""What the report shows: a row's pictures with its figures, a case under all methods, a mean with its interval."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from functools import lru_cache
from html import escape
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from draggan_runtime.evaluation.rows import Row
from draggan_runtime.evaluation.table import Line, Table
from draggan_runtime.pictures import xmp_packet

_SMALL, _LARGE = 320, 448  # px
_BAR = 160  # px


def figure(table: Table, row: Row, out: Path, place: str = "", *, large: bool = False) -> str:
    """The pictures of a row, which are in ``out``, under its case and figures; ``place`` in bold."""
    bold = f"<b>{escape(place)}</b> " if place else ""
    caption = f"{bold}case {escape(row['case'])}: {escape(said(table, row))}"
    pictures = [_picture(out, path, name, large) for name, path in row.get("pictures", {}).items()]
    return _figure(caption, pictures, large)


def said(table: Table, row: Row) -> str:
    """A row's figures with their titles, and words."""
    if "error" in row:
        return str(row["error"])
    numbers = [
        f"{column.title} {row['figures'][column.key]:.{column.digits}f}"
        for column in table.protocol.columns
        if column.key in row["figures"]
    ]
    words = [value for value in row["figures"].values() if isinstance(value, str)]
    return " – ".join(part for part in ("; ".join(numbers), "; ".join(words)) if part)


def same_case(table: Table, case: str, of: str, out: Path) -> str:
    """A case's shared pictures, then the last one of each method with its first figure; the case is ``of``'s median."""
    column = table.protocol.columns[0]
    rows = [row for methods in table.rows.values() for row in methods if row["case"] == case and row.get("pictures")]
    shared = {name: path for row in rows for name, path in row["pictures"].items() if name in table.protocol.shared}
    pictures = [_picture(out, path, name) for name, path in shared.items()]
    for row in rows:
        *_, (name, path) = row["pictures"].items()
        value = row["figures"].get(column.key)
        words = "" if value is None else f", {value:.{column.digits}f}"
        if name not in shared:
            pictures.append(_picture(out, path, f"{row['method']}{words}"))
    caption = (
        f"<b>one case under each method</b> case {escape(case)}, the median of {escape(of)}: {escape(column.title)}"
    )
    return _figure(caption, pictures)


def interval(table: Table, line: Line) -> str:
    """A method's mean of the first figure and its 95% interval as a drawing; all of a table at one scale from 0."""
    key = table.protocol.columns[0].key
    most = max((of.figures[key].high for of in table.lines if key in of.figures), default=0.0)
    if key not in line.figures or most <= 0:
        return ""
    at = {name: max(0.0, getattr(line.figures[key], name)) / most * (_BAR - 8) + 4 for name in ("low", "value", "high")}
    return (
        f'<svg width="{_BAR}" height="14" role="img" aria-label="mean and interval">'
        f'<path d="M4 1V13" stroke="#bbb"/><path d="M{at["low"]:.1f} 7H{at["high"]:.1f}" stroke="#1b5fbf" '
        f'stroke-width="2"/><circle cx="{at["value"]:.1f}" cy="7" r="4" fill="#1b5fbf"/></svg>'
    )


def _figure(caption: str, pictures: Iterable[str], large: bool = False) -> str:
    tiles = "\n".join(pictures)
    size = "large" if large else "small"
    return (
        f'<figure class="{size}">\n<figcaption>{caption}</figcaption>\n'
        f'<div class="pictures">\n{tiles}\n</div>\n</figure>'
    )


def _picture(out: Path, path: str, words: str, large: bool = False) -> str:
    try:
        source = _embedded(out / path, _LARGE if large else _SMALL)
    except OSError:
        return f"<div>{escape(words)}: the picture is gone</div>"
    text = escape(words)
    return f'<div><a href="{quote(path)}"><img src="{source}" alt="{text}"></a>{text}</div>'


@lru_cache(maxsize=256)
def _embedded(path: Path, height: int) -> str:
    """A picture file as a data URL, smaller, and marked as synthetic as the file is."""
    with Image.open(path) as picture:
        size = max(1, round(picture.width * height / picture.height)), height
        small = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "WEBP", quality=82, method=2, xmp=xmp_packet().encode())
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"
