"""A second judge of faces: 468 points of the face's surface, by a network that knows neither dlib nor the generator.

Its model: Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs" (2019).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np

from draggan_runtime.errors import UserError
from draggan_runtime.perception.fetched_file import FetchedFile
from draggan_runtime.pictures import Pixels

Array = np.ndarray[Any, np.dtype[np.float64]]

MESH = FetchedFile(
    name="face-mesh",
    requirement="mediapipe==0.10.21",
    sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    megabytes=36,
    member="mediapipe/modules/face_landmark/face_landmark.tflite",
    licence="Apache-2.0",
    tags=("3.11", "manylinux_2_28_x86_64"),
)
#: Side of the picture that the network reads, px, and its output that holds the points.
SIDE, POINTS = 192, "conv2d_21"
#: Where a face lies in an aligned picture, px at 512: centre and side; from there the crop is made 1.5 times the face.
CENTRE, ALIGNED, ROOM, ROUNDS = (256.0, 290.0), 400.0, 1.5, 3
#: How far, px at 512, points of the mesh count for a place on the face.
NEAR = 6.0


def prepare() -> None:
    """Fetch and load what :func:`mesh` needs. Raises UserError if it cannot be had."""
    _network()


@cache
def _network() -> Any:
    path = MESH.fetch()
    try:
        return cv2.dnn.readNetFromTFLite(str(path), engine=cv2.dnn.ENGINE_CLASSIC)
    except cv2.error as error:
        raise UserError(f"{path} is damaged ({error.err}); delete it and run again") from error


def mesh(image: Pixels) -> Array:
    """``[468, 2]`` px: where the points of the face's surface are, hidden ones too; without sense if there is no face.

    ``image``: uint8 RGB ``[512, W, 3]``, an aligned face. Raises UserError as :func:`prepare`.
    """
    centre, side = np.array(CENTRE), ALIGNED
    points = np.empty((0, 2))
    for _ in range(ROUNDS):
        points = _points(image, centre, side)
        low, high = points.min(axis=0), points.max(axis=0)
        centre, side = (low + high) / 2, ROOM * float((high - low).max())
    return points


def _points(image: Pixels, centre: Array, side: float) -> Array:
    scale = SIDE / side
    x, y = side / 2 - centre
    crop = cv2.warpAffine(
        image, np.array([[scale, 0, x * scale], [0, scale, y * scale]]), (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE
    )
    network = _network()
    network.setInput((crop.astype(np.float32) / 255).transpose(2, 0, 1)[None])
    points: Array = network.forward(POINTS).reshape(-1, 3)[:, :2].astype(np.float64)
    return points / scale + centre - side / 2


def carried(before: Array, after: Array, places: Array) -> Array:
    """Where ``places`` ``[P, 2]`` of a face have gone: ``[P, 2]`` px, from its mesh ``[468, 2]`` before and after.

    The affine map that fits the mesh around each place best, points weighted by exp(-d^2 / 2 NEAR^2).
    """
    return np.stack([_carried(before, after - before, place) for place in places])


def _carried(before: Array, ways: Array, place: Array) -> Array:
    offsets = before - place
    weights = np.exp(-(offsets**2).sum(axis=1, keepdims=True) / (4 * NEAR**2))  # square roots
    terms = np.hstack([np.ones_like(weights), offsets])
    fit, *_ = np.linalg.lstsq(terms * weights, ways * weights, rcond=None)
    moved: Array = place + fit[0]
    return moved
