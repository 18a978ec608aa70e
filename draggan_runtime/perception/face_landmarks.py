"""Faces and their 68 landmarks by dlib: the judge of edits, which has never seen the generator or its features, and
the finder of faces in photos.

Its model: Kazemi and Sullivan, "One Millisecond Face Alignment with an Ensemble of Regression Trees" (2014), trained on
iBUG 300-W.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np

from draggan_runtime.errors import UserError
from draggan_runtime.perception.fetched_file import FetchedFile
from draggan_runtime.pictures import Pixels

Array = np.ndarray[Any, np.dtype[np.float64]]

LANDMARKS = FetchedFile(
    name="landmarks",
    requirement="face-recognition-models==0.3.0",
    sha256="b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
    megabytes=100,
    member="face_recognition_models-0.3.0/face_recognition_models/models/shape_predictor_68_face_landmarks.dat",
    licence="CC0, but trained on iBUG 300-W, whose licence excludes commercial use: for research",
    source=True,
)


#: How many rectangles around a face the predictor starts from, and how far they lie from the one found: standard
#: deviation of place and of the logarithm of size, in the face's size. From one rectangle a landmark is off by 1 px.
LOOKS, ASIDE = 32, 0.03

#: In photos the longer side that faces are looked for at, px, and how much a small photo is enlarged for that: dlib's
#: detector knows faces from 80 px on.
SEEN, ENLARGED = 1600, 2
#: The detector's score from which a face is one for sure: patches and folds have less, faces in half profile more.
SURE = 0.35
#: Of a face the region its landmarks are found in, in sides of its rectangle, and at how many px a side.
REGION, PRECISE = 2.0, 512


_LEFT_EYE, _RIGHT_EYE = slice(36, 42), slice(42, 48)


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a photo, in px of the photo; it may reach out of it.

    ``rectangle``: left, top, right, bottom, from the eyebrows to the chin. ``landmarks``: ``[68, 2]``, iBUG 300-W's.
    """

    rectangle: tuple[float, float, float, float]
    landmarks: Array


def prepare(extra: str = "eval") -> None:
    """Fetch and load what :func:`landmarks` and :func:`faces` need.

    Raises UserError if dlib, which ``extra`` of this package brings, or the model cannot be had.
    """
    try:
        _judge()
    except ImportError as error:
        raise UserError(
            f"dlib, which finds faces' landmarks, is missing: pip install 'draggan-runtime[{extra}]'"
        ) from error


@cache
def _judge() -> tuple[Any, Any]:
    import dlib

    path = LANDMARKS.fetch()
    try:
        return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(path))
    except RuntimeError as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run again") from error


def landmarks(image: Pixels) -> Array | None:
    """Where a face's 68 landmarks are, ``[68, 2]`` px at 512; None if no face is found. The largest face counts.

    The predictor answers in whole px and depends on the rectangle it starts from: the mean of ``LOOKS`` answers.

    ``image``: uint8 RGB ``[512, W, 3]``. Some may lie outside the picture. Raises UserError as :func:`prepare`.
    """
    prepare()
    find, _ = _judge()
    image = np.ascontiguousarray(image)
    found = find(image, 0)
    if not len(found):
        return None
    return _landmarks(image, max(found, key=lambda rectangle: rectangle.area()))


def faces(photo: Pixels) -> list[Face]:
    """Every upright face that dlib finds in a photo of any size, the largest first; doubtful ones for want of others.

    ``photo``: uint8 RGB ``[H, W, 3]``. It is looked at with its longer side at most ``SEEN`` px, so faces count from
    about a twentieth of that side; the landmarks of each are then found in the photo's own pixels. Raises UserError as
    :func:`prepare`, for the extra ``photo``.
    """
    prepare("photo")
    find, _ = _judge()
    height, width = photo.shape[:2]
    scale = min(ENLARGED, SEEN / max(height, width))
    seen = _resized(photo, (max(1, round(width * scale)), max(1, round(height * scale))))
    to_photo = np.array([width / seen.shape[1], height / seen.shape[0]])
    rectangles, scores, _ = find.run(seen, 0, 0.0)
    least = SURE if max(scores, default=0) >= SURE else 0
    sure = [rectangle for rectangle, score in zip(rectangles, scores, strict=True) if score >= least]
    found = [_edges(rectangle) * np.tile(to_photo, 2) - 0.5 for rectangle in sure]
    found.sort(key=lambda edges: (edges[0] - edges[2], *edges))
    return [Face(tuple(edges.tolist()), _precise(photo, edges)) for edges in found]


def _precise(photo: Pixels, edges: Array) -> Array:
    """The landmarks of the face with these ``edges``, found once more after the face was made level.

    What the predictor says depends on the size and the roll of a face; its training pictures were nearly level.
    """
    import dlib

    centre, side = (edges[:2] + edges[2:]) / 2, edges[2] - edges[0]
    half = max(1, round(REGION * side / 2))
    start = np.rint(centre).astype(int) - half
    scale = PRECISE / (2 * half)
    region = _resized(_part(photo, start, 2 * half), (PRECISE, PRECISE))
    inside = np.rint((edges + 0.5 - np.tile(start, 2)) * scale).astype(int) - (0, 0, 1, 1)
    rectangle = dlib.rectangle(*inside.tolist())
    first = _landmarks(region, rectangle)
    right, down = first[_RIGHT_EYE].mean(axis=0) - first[_LEFT_EYE].mean(axis=0)
    middle = (PRECISE - 1) / 2
    turn = cv2.getRotationMatrix2D((middle, middle), float(np.degrees(np.arctan2(down, right))), 1.0)
    level = cv2.warpAffine(region, turn, (PRECISE, PRECISE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    again = _judge()[0](level, 0)
    if len(again):
        rectangle = min(again, key=lambda one: abs(one.center().x - middle) + abs(one.center().y - middle))
    found = (_landmarks(level, rectangle) - turn[:, 2]) @ turn[:, :2]
    in_photo: Array = (found + 0.5) / scale - 0.5 + start
    return in_photo


def _part(photo: Pixels, start: Any, side: int) -> Pixels:
    """A square of ``photo``, whose border's pixels go on outside of it."""
    rows, columns = (np.arange(side) + first for first in (start[1], start[0]))
    return photo[np.ix_(np.clip(rows, 0, photo.shape[0] - 1), np.clip(columns, 0, photo.shape[1] - 1))]


def _edges(rectangle: Any) -> Array:
    """Outer edges of a rectangle of dlib, which holds its last px: left, top, right, bottom from the picture's."""
    return np.array([rectangle.left(), rectangle.top(), rectangle.right() + 1, rectangle.bottom() + 1], float)


def _resized(image: Pixels, size: tuple[int, int]) -> Pixels:
    shrinks = size[0] < image.shape[1]
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.ascontiguousarray(resized, np.uint8)


def _landmarks(image: Pixels, face: Any) -> Array:
    _, predict = _judge()
    found = [[(p.x, p.y) for p in predict(image, rectangle).parts()] for rectangle in _looks(face)]
    mean: Array = np.mean(found, axis=0)
    return mean


def _looks(face: Any) -> list[Any]:
    """Rectangles about that of a face, always the same."""
    import dlib

    aside = np.random.RandomState(0).randn(LOOKS, 3) * ASIDE * face.width()
    x, y = face.center().x + aside[:, :1], face.center().y + aside[:, 1:2]
    half = face.width() / 2 * np.exp(aside[:, 2:] / face.width())
    return [
        dlib.rectangle(*map(round, edges)) for edges in np.hstack([x - half, y - half, x + half, y + half]).tolist()
    ]
