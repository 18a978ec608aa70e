"""The protocol ``tracking``: pictures that move without an edit, and where trackers lose their points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from draggan_runtime.api import Session
from draggan_runtime.evaluation.at_512 import Array, apart, at_512, from_512, to_512
from draggan_runtime.evaluation.cases import Case, pairs_of_seeds
from draggan_runtime.evaluation.drawn import drawn
from draggan_runtime.evaluation.latents import Latents, shown, way_toward
from draggan_runtime.evaluation.methods import Method
from draggan_runtime.evaluation.protocol import Column, Evaluated, Figure, Outcome
from draggan_runtime.evaluation.sessions import Sessions
from draggan_runtime.perception import face_landmarks, face_mesh
from draggan_runtime.pictures import Pixels

#: The landmarks that are followed: the base of the nose, the eyes' and the mouth's corners.
FOLLOWED = (33, 36, 39, 42, 45, 48, 54)


@dataclass(frozen=True)
class Walk:
    """A case: latents ``[steps + 1, num_ws, w_dim]``; of the first, the middle and the last, by index, what is seen.

    ``pictures`` at 512; ``landmarks`` ``[7, 2]`` px at 512, None where no face is found; ``carried``: where the last
    picture's mesh has the first landmarks. ``size`` (W, H) of the output.
    """

    latents: Latents
    pictures: dict[int, Pixels]
    landmarks: dict[int, Array | None]
    carried: Array | None
    size: tuple[int, int]


class Tracking(Evaluated):
    """A latent walks part of the way toward another face's, and a method's tracker follows landmarks.

    ``amount``: how much of the way, in ``steps`` steps; only coarse slots, as in an edit. Nothing is edited, and the
    tracker gets no hint: its targets are the handles. The figure is how far its points are from the landmarks in the
    last picture.
    """

    name = "tracking"
    counted = "walks"
    edits = False
    shared = ("before", "target")
    columns = (
        Column("drift", "px from landmarks", 2, interval=True),
        Column("carried", "px by mesh", 2, interval=True),
        Column("halfway", "px halfway", 2),
        Column("moved", "px they moved", 1),
        Column("confidence", "sure, 0–1", 2),
    )

    def __init__(self, amount: float = 0.5, steps: int = 20) -> None:
        self.options = {"amount": float(amount), "steps": steps}
        self.about = (
            f"A latent walks {amount:g} of the way to another face's in {steps} steps, coarse slots only; the tracker "
            f"follows {len(FOLLOWED)} landmarks without an edit. How far its points are from where dlib's 68-point "
            "model finds the landmarks in the last picture, and halfway; px at 512, mean and its 95% interval. "
            "By mesh: from where a 468-point face mesh says that the first landmarks' places have been carried."
        )
        self._amount = amount
        self._steps = steps
        self._made: dict[tuple[str, str], Walk] = {}

    def cases(self, count: int) -> list[Case]:
        return pairs_of_seeds(count)

    def prepare(self) -> None:
        face_landmarks.prepare()
        face_mesh.prepare()

    def run(self, case: Case, method: Method, sessions: Sessions) -> Outcome:
        walk = self._walk(sessions.open(method), case)
        half, end = self._steps // 2, self._steps
        begun, halfway, ended = (walk.landmarks[at] for at in (0, half, end))
        if begun is None or halfway is None or ended is None or walk.carried is None:
            return Outcome({"failed": "no face"}, {"before": walk.pictures[0], "target": walk.pictures[end]})
        figures: dict[str, Figure] = {"moved": apart(ended, begun)}
        found = {half: begun, end: begun}
        if method.edits:
            handles = sessions.follow(method, walk.latents, from_512(begun, walk.size))
            for at in found:
                found[at] = to_512(np.array(list(handles[at].positions.values())), walk.size)
            figures["confidence"] = float(np.mean(list(handles[end].confidence.values())))
        figures |= {"drift": apart(found[end], ended), "halfway": apart(found[half], halfway)}
        figures["carried"] = apart(found[end], walk.carried)
        there = ended.tolist()
        pictures = {
            "before": drawn(walk.pictures[0], dots=begun.tolist(), rings=there),
            "target": drawn(walk.pictures[end], rings=there),
            "after": drawn(walk.pictures[end], dots=found[end].tolist(), rings=there),
        }
        return Outcome(figures, pictures)

    def _walk(self, session: Session, case: Case) -> Walk:
        key = session.record.model, case.id
        if key not in self._made:
            self._made.clear()  # a case's methods follow each other
            latents = way_toward(session, case.seeds, np.linspace(0, self._amount, self._steps + 1))
            full = {at: shown(session, latents[at]) for at in (0, self._steps // 2, self._steps)}
            pictures = {at: at_512(image) for at, image in full.items()}
            landmarks = {at: face_landmarks.landmarks(picture) for at, picture in pictures.items()}
            followed = {at: None if of is None else of[list(FOLLOWED)] for at, of in landmarks.items()}
            height, width = full[0].shape[:2]
            first = followed[0]
            before, after = (face_mesh.mesh(pictures[at]) for at in (0, self._steps))
            carried = None if first is None else face_mesh.carried(before, after, first)
            self._made[key] = Walk(latents, pictures, followed, carried, (width, height))
        return self._made[key]
