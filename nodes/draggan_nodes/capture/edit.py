"""The edit file: a picture and the drags to do on it, in YAML or JSON.

    seed: 7                     # left out: the picture the session already has
    truncation_psi: 0.7
    mask: mask.png              # beside the edit file
    points: [{handle: [512, 590], target: [464, 590]}]

or, for several drags one after another, in place of ``points``:

    drags:
      - points: [{handle: [512, 590], target: [464, 590]}]
      - {points: [{handle: [500, 700], target: [500, 720]}], mask: mouth.png}
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from draggan_runtime.errors import UserError
from draggan_runtime.messages import PointPair


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


Px = Annotated[float, AfterValidator(_finite)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EditPoint(_Model):
    """A handle and its target, (x, y) px of the full output."""

    handle: tuple[Px, Px]
    target: tuple[Px, Px]


class Drag(_Model):
    """One drag: its points, and a mask from here on."""

    points: tuple[EditPoint, ...] = Field(min_length=1)
    mask: str | None = None


class Edit(_Model):
    """A whole edit."""

    seed: int | None = Field(None, ge=0, lt=2**32)
    truncation_psi: float = Field(0.7, ge=-2, le=2)
    mask: str | None = None
    points: tuple[EditPoint, ...] = ()
    drags: tuple[Drag, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Edit:
        if bool(self.points) == bool(self.drags):
            raise ValueError("an edit has either points (one drag) or drags (several)")
        return self

    @property
    def all_drags(self) -> tuple[Drag, ...]:
        """The drags in order; ``mask`` belongs to the first unless it has its own."""
        drags = self.drags or (Drag(points=self.points),)
        return (drags[0].model_copy(update={"mask": drags[0].mask or self.mask}), *drags[1:])


def load_edit(path: str | Path) -> Edit:
    """Read an edit file. Mask paths come back relative to nothing: joined with the file's folder.

    Raises UserError, in one line, for a file that cannot be read or does not hold an edit.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read edit {path}: {error.strerror or error}; check the path") from error
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read edit {path}: it is not text; give a YAML or JSON file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else f"{path}"
        raise UserError(f"{where}: not YAML: {getattr(error, 'problem', None) or error}".splitlines()[0]) from error
    try:
        edit = Edit.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{path}: {_first(error)}") from error
    return _masks_beside(edit, path.parent)


def _first(error: ValidationError) -> str:
    """pydantic's first complaint in one line."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    known = " (known here: " + ", ".join(Edit.model_fields) + ")" if first["type"] == "extra_forbidden" else ""
    return f"{where}: {message}{known}" if where else message


def _masks_beside(edit: Edit, folder: Path) -> Edit:
    def beside(mask: str | None) -> str | None:
        return str(folder / mask) if mask else None

    drags = tuple(drag.model_copy(update={"mask": beside(drag.mask)}) for drag in edit.drags)
    return edit.model_copy(update={"mask": beside(edit.mask), "drags": drags})


def point_pairs(
    points: Sequence[EditPoint], first_id: int = 0, size: tuple[int, int] | None = None, where: str = "points"
) -> tuple[PointPair, ...]:
    """``points`` numbered from ``first_id``.

    Raises UserError for one outside a picture of ``size`` (W, H).
    """
    for point in points:
        for name, (x, y) in (("handle", point.handle), ("target", point.target)):
            if size is not None and not inside((x, y), size):
                raise UserError(
                    f"{where}: {name} {x:g},{y:g} lies outside the picture, which is {size[0]}x{size[1]} px: "
                    f"give x from 0 to {size[0] - 1} and y from 0 to {size[1] - 1}"
                )
    return tuple(PointPair(first_id + i, p.handle, p.target) for i, p in enumerate(points))


def inside(xy: tuple[float, float], size: tuple[int, int]) -> bool:
    """True if ``xy`` lies on a picture of ``size`` (W, H), whose pixels reach half a px around their centres."""
    return -0.5 <= xy[0] <= size[0] - 0.5 and -0.5 <= xy[1] <= size[1] - 0.5
