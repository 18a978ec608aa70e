"""The judge of faces: 68 landmarks by dlib, which has never seen the generator or its features.

Its model: Kazemi and Sullivan, "One Millisecond Face Alignment with an Ensemble of Regression Trees" (2014), trained on
iBUG 300-W.
"""

from __future__ import annotations

from functools import cache
from typing import Any

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


def prepare() -> None:
    """Fetch and load what :func:`landmarks` needs. Raises UserError if dlib or the model cannot be had."""
    _judge()


@cache
def _judge() -> tuple[Any, Any]:
    try:
        import dlib
    except ImportError as error:
        raise UserError(
            "dlib, which finds faces' landmarks, is missing: pip install 'draggan-runtime[eval]'"
        ) from error
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
    find, predict = _judge()
    image = np.ascontiguousarray(image)
    faces = find(image, 0)
    if not len(faces):
        return None
    face = max(faces, key=lambda rectangle: rectangle.area())
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
