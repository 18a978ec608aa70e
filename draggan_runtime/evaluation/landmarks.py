"""The protocol ``landmarks``: give face A the landmarks of face B (DragGAN, section 4.2, table 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from draggan_runtime.api import Session
from draggan_runtime.errors import UserError
from draggan_runtime.evaluation.at_512 import AT, Array, apart, at_512, from_512
from draggan_runtime.evaluation.cases import Case, pairs_of_seeds
from draggan_runtime.evaluation.drawn import drawn
from draggan_runtime.evaluation.frechet import frechet_distance
from draggan_runtime.evaluation.methods import Method
from draggan_runtime.evaluation.protocol import Arrays, Column, Evaluated, Figure, Outcome
from draggan_runtime.evaluation.sessions import Sessions
from draggan_runtime.messages import XY
from draggan_runtime.perception import face_landmarks, face_mesh, vgg
from draggan_runtime.pictures import Pixels

#: Which landmarks are moved, by how many. 1: the nose's base, for of its tip the two judges say different things;
#: 5: it, the eyes' outer and the mouth's corners.
MOVED = {1: (33,), 5: (36, 45, 33, 48, 54), 68: tuple(range(68))}


@dataclass(frozen=True)
class Face:
    """A picture at 512, its landmarks ``[68, 2]`` and mesh ``[468, 2]`` px at 512, None: no face; and its features."""

    picture: Pixels
    landmarks: Array | None
    mesh: Array
    embedding: np.ndarray[Any, Any]


class Landmarks(Evaluated):
    """Pairs of random faces A, B: the landmarks of A are dragged to where B has them, and found again on the result.

    ``points``: 1, 5 or 68 of them, see ``MOVED``. The figure is the mean distance of the moved ones, as the detector
    finds them, from B's, px at 512. The detector answers in whole px, on A, B and the result alike. A second judge says
    how far from the targets the places are where the handles were put, by the face's mesh.
    """

    name = "landmarks"
    shared = ("before", "target")
    columns = (
        Column("distance", "px from target", 2, interval=True),
        Column("carried", "px by mesh", 2, interval=True),
        Column("reported", "px the tracker says", 2),
        Column("steps", "steps", 0),
        Column("seconds", "s per edit"),
    )

    def __init__(self, points: int = 1, max_steps: int = 300) -> None:
        if points not in MOVED:
            raise UserError(f"--points {points}: landmarks are moved by {', '.join(map(str, MOVED))}")
        self.options = {"points": points, "max_steps": max_steps}
        self.about = (
            f"Pairs of random faces; {points} of A's landmarks dragged to where B has them, at most {max_steps} steps. "
            "Landmarks found by dlib's 68-point model on A, B and the result; px at 512, mean and its 95% interval. "
            "By mesh: how far from the targets a 468-point face mesh says that the handles' places have been carried."
        )
        self._moved = list(MOVED[points])
        self._max_steps = max_steps
        self._faces: dict[tuple[str, int], Face] = {}

    def cases(self, count: int) -> list[Case]:
        return pairs_of_seeds(count)

    def prepare(self) -> None:
        face_landmarks.prepare()
        face_mesh.prepare()
        vgg.prepare()

    def run(self, case: Case, method: Method, sessions: Sessions) -> Outcome:
        session = sessions.open(method)
        a, b = (self._face(session, seed) for seed in case.seeds)
        after, figures = a, dict[str, Figure]()
        if a.landmarks is None or b.landmarks is None:
            figures["failed"] = f"no face in {'A' if a.landmarks is None else 'B'}"
        elif method.edits:
            session.seed(case.seeds[0])
            height, width = session.image().shape[:2]
            points = self._pairs(a.landmarks, b.landmarks, (width, height))
            result = sessions.drag(session, points, self._max_steps)
            figures |= {"steps": result.steps, "seconds": result.seconds, "stopped": result.stopped}
            left = [point["distance"] for point in result.points]
            if None not in left:
                figures["reported"] = float(np.mean(left)) * AT / height
            after = _judged(session.image())
        if "failed" not in figures:
            assert a.landmarks is not None
            assert b.landmarks is not None
            if after.landmarks is None:
                figures["failed"] = "no face in the result"
            else:
                start, goal, found = (face[self._moved] for face in (a.landmarks, b.landmarks, after.landmarks))
                figures["distance"] = apart(found, goal)
                figures["carried"] = apart(face_mesh.carried(a.mesh, after.mesh, start), goal)
        return Outcome(figures, self._pictures(a, b, after), {"before": a.embedding, "after": after.embedding})

    def of_set(self, arrays: Sequence[Arrays]) -> dict[str, float]:
        if len(arrays) < 2:
            return {}
        before, after = (np.stack([each[key] for each in arrays]) for key in ("before", "after"))
        return {f"{vgg.VGG.name} Frechet": frechet_distance(before, after)}

    def _face(self, session: Session, seed: int) -> Face:
        key = session.record.model, seed
        if key not in self._faces:
            while len(self._faces) > 1:  # a case's methods follow each other
                del self._faces[next(iter(self._faces))]
            session.seed(seed)
            self._faces[key] = _judged(session.image())
        return self._faces[key]

    def _pairs(self, a: Array, b: Array, size: tuple[int, int]) -> list[tuple[XY, XY]]:
        """(handle, target) px of the full output; what the detector puts outside the picture is put at its border."""
        return list(zip(from_512(a[self._moved], size), from_512(b[self._moved], size), strict=True))

    def _pictures(self, a: Face, b: Face, after: Face) -> dict[str, Pixels]:
        start, goal, found = (
            [] if face.landmarks is None else face.landmarks[self._moved].tolist() for face in (a, b, after)
        )
        return {
            "before": drawn(a.picture, dots=start, rings=goal),
            "target": drawn(b.picture, dots=goal),
            "after": drawn(after.picture, dots=found, rings=goal),
        }


def _judged(image: Pixels) -> Face:
    small = at_512(image)
    return Face(small, face_landmarks.landmarks(small), face_mesh.mesh(small), vgg.embedding(vgg.features(image)))
