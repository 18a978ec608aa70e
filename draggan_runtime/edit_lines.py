"""The lines of a batch: JSON, an edit each, checked so strictly that a slip does not pass for another edit.

{"seed": 7, "points": [{"handle": [512, 590], "target": [560, 590]}]}
{"seed": 8, "points": [...], "mask": "face.png", "params": {"tracker.radius": 8, "max_steps": 50}, "id": "smile"}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from draggan_runtime.errors import UserError
from draggan_runtime.graph.schema import brief
from draggan_runtime.registry import close_matches


def _folder_name(value: str) -> str:
    if not re.fullmatch(r"\w[\w.-]{0,99}", value):
        raise ValueError(f"'{value}' names no folder; use letters, digits, _ . and -")
    return value


def _number_as_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


Px = Annotated[float, Field(allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EditPoint(_Strict):
    """Where a point is and where it should go, (x, y) px of the full output."""

    handle: tuple[Px, Px]
    target: tuple[Px, Px]


class Edit(_Strict):
    """One line.

    ``mask``: a picture of what may move (> 127), beside the file of the lines. ``params``: by ``node.parameter`` or
    ``max_steps``, for this edit only. ``truncation_psi``: None = the batch's. ``video``: a film of the edit, true =
    mp4. ``id``: names the edit's folder, None = the number of the line.
    """

    seed: int = Field(ge=0, lt=2**32)
    points: tuple[EditPoint, ...] = Field(min_length=1)
    mask: str | None = Field(None, min_length=1)
    params: dict[str, Any] = {}
    truncation_psi: float | None = Field(None, ge=0, le=1.5)
    video: Literal[False, True, "mp4", "gif"] = False
    id: Annotated[str, AfterValidator(_folder_name), BeforeValidator(_number_as_text)] | None = None

    @property
    def film(self) -> str:
        """Name of the edit's film, "" if it has none."""
        return f"edit.{'mp4' if self.video is True else self.video}" if self.video else ""


def read_lines(path: Path) -> dict[int, bytes]:
    """By number, from 1, the lines that hold something. Raises UserError if the file cannot be read."""
    try:
        data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; give a file with an edit a line") from error
    return {number: line for number, line in enumerate(data.split(b"\n"), start=1) if line.strip()}


def as_lines(edits: Iterable[Mapping[str, Any]]) -> dict[int, bytes]:
    """Edits as :func:`read_lines` would read them; arrays become lists, and paths text."""
    return {n: json.dumps(edit, default=_plain).encode() for n, edit in enumerate(edits, start=1)}


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def parse_line(line: bytes) -> Edit:
    """The edit of a line. Raises UserError: what does not fit, and what would."""
    try:
        value = json.loads(line)
    except UnicodeDecodeError:
        raise UserError("not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        where = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(f"not JSON{where}; write one object a line") from None
    if not isinstance(value, dict):
        raise UserError('not an object; write {"seed": ..., "points": [...]}')
    try:
        return Edit.model_validate_json(line)
    except ValidationError as error:
        raise UserError(_first(error)) from None


def _first(error: ValidationError) -> str:
    problem = min(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
    name = str(problem["loc"][-1]) if problem["loc"] else ""
    inside: type[BaseModel] = EditPoint if problem["loc"][:1] == ("points",) else Edit
    if problem["type"] == "extra_forbidden":
        return f"unknown key '{name}'{close_matches(name, inside.model_fields)}"
    if problem["type"] == "missing":
        return f"missing {where}"
    return f"{where} {brief(problem)}"
