"""The piece of a photo that a model shall draw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from draggan_nodes.inversion.alignment import Placement, align, centre_crop, crop
from draggan_runtime.errors import UserError
from draggan_runtime.perception.face_landmarks import Face, faces
from draggan_runtime.pictures import Pixels

Kind = Literal["auto", "face", "centre"]
Edges = tuple[float, float, float, float]


@dataclass(frozen=True)
class Piece:
    """What was cut out: uint8 RGB ``[H, W, 3]``, where it lay, what to tell the user, and how many faces there are."""

    pixels: Pixels
    placement: Placement
    notices: tuple[str, ...] = ()
    faces: int = 0


def cut(photo: Any, size: tuple[int, int], kind: Kind, face: int | None = None, box: Edges | None = None) -> Piece:
    """A piece of ``size`` (W, H) of ``photo``, uint8 RGB ``[H, W, 3]``.

    ``kind``: "face" aligns a face as FFHQ does, "centre" takes the largest piece in the middle, "auto" a face if there
    is one. ``face``: which one, from 1, the largest first; ``box`` (left, top, right, bottom) px: this, and no face.
    Raises UserError if there is no such face.
    """
    if box is not None or kind == "centre" or (kind == "auto" and face is None and size[0] != size[1]):
        return _piece(photo, centre_crop((photo.shape[1], photo.shape[0]), size, box))
    found, notice = _faces(photo, kind)
    if not found and kind == "auto" and face is None:
        return _piece(photo, centre_crop((photo.shape[1], photo.shape[0]), size), notice)
    if not found:
        raise UserError("no face was found in the photo; say where one is: --box LEFT,TOP,RIGHT,BOTTOM, in a window b")
    if face is not None and not 1 <= face <= len(found):
        raise UserError(f"face {face} is asked for, but {len(found)} were found; 1 is the largest")
    if face is None and len(found) > 1:
        notice = f"{len(found)} faces were found; the largest is taken; --face 2, in a window f, takes the next"
    return replace(_piece(photo, align(found[(face or 1) - 1].landmarks, size[0]), notice), faces=len(found))


def _faces(photo: Pixels, kind: Kind) -> tuple[list[Face], str]:
    """The faces, and what to say if there are none. Raises UserError if they cannot be looked for and must be."""
    try:
        found = faces(photo)
    except UserError as error:
        if kind == "face":
            raise
        return [], f"the middle of the photo is taken, for faces cannot be looked for: {error}"
    return found, "" if found else "no face was found: the middle is taken; --box, in a window b, takes another piece"


def _piece(photo: Pixels, placement: Placement, notice: str = "") -> Piece:
    return Piece(crop(photo, placement), placement, (notice,) if notice else ())
