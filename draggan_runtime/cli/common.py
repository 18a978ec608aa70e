"""What several commands share: option types, how points are written, how overrides are built."""

from __future__ import annotations

import enum
import json
import re
import sys
from typing import Annotated, Any

import typer

from draggan_runtime.errors import UserError


class Format(enum.StrEnum):
    """How a command prints what it found."""

    table = "table"
    json = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="table for people, json for programs.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NODE.PARAM=VALUE", help="Override, for example tracker.radius=8. Repeatable."),
]

FaceOption = Annotated[
    int | None, typer.Option(min=1, help="Which of a photo's faces, the largest is 1.", show_default=False)
]
BoxOption = Annotated[
    str | None,
    typer.Option(metavar="L,T,R,B", help="Cut this out of the photo, px, instead of looking for a face."),
]

INTERRUPTED = 130

_POINT = re.compile(r"^\s*([\d.+-]+)\s*,\s*([\d.+-]+)\s*:\s*([\d.+-]+)\s*,\s*([\d.+-]+)\s*$")


def parse_point(text: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """``X,Y:X,Y`` as (handle, target), px of the full output. Raises UserError."""
    match = _POINT.match(text)
    try:
        if match is None:
            raise ValueError
        x, y, tx, ty = map(float, match.groups())
    except ValueError:
        raise UserError(
            f"--point {text}: not a point pair; write X,Y:X,Y (handle:target), for example 512,590:560,590"
        ) from None
    return (x, y), (tx, ty)


def parse_box(text: str | None) -> tuple[float, float, float, float] | None:
    """``LEFT,TOP,RIGHT,BOTTOM``, px. Raises UserError."""
    if text is None:
        return None
    try:
        left, top, right, bottom = map(float, text.split(","))
    except ValueError:
        raise UserError(f"--box {text}: not a box; write LEFT,TOP,RIGHT,BOTTOM, for example 100,50,900,850") from None
    return left, top, right, bottom


def override(key: str, value: Any) -> str:
    """``key=value`` with the value as YAML reads it back."""
    return f"{key}={json.dumps(value)}"


def say(text: str) -> None:
    """One line to the terminal, beside what a command prints."""
    print(f"draggan: {text}", file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """A value as JSON on stdout."""
    print(json.dumps(value, indent=2))
