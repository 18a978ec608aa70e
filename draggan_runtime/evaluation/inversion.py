"""The protocol ``inversion``: pictures whose latent is known, looked for as if they were photos, then dragged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from draggan_runtime.api import Pair, Session
from draggan_runtime.evaluation.at_512 import Array, at_512, from_512, squared_error
from draggan_runtime.evaluation.cases import Case, single_seeds
from draggan_runtime.evaluation.drawn import drawn
from draggan_runtime.evaluation.methods import Method
from draggan_runtime.evaluation.protocol import Column, Evaluated, Figure, Outcome
from draggan_runtime.evaluation.sessions import Sessions
from draggan_runtime.perception import face_landmarks, vgg
from draggan_runtime.pictures import Pixels

#: The landmark that is dragged: the nose's base, as in the protocol ``cycle``.
NOSE = 33


@dataclass(frozen=True)
class Truth:
    """A case: its full picture, and at 512 where the nose is and goes, and what the drag of the true latent gives.

    ``nose`` and ``target``: ``[2]`` px at 512; ``dragged``: where the nose is then, None if no face is found.
    """

    full: Pixels
    picture: Pixels
    maps: vgg.Maps
    nose: Array
    target: Array
    after: Pixels
    after_maps: vgg.Maps
    dragged: Array | None
    stopped: str


class Inversion(Evaluated):
    """The whole picture of a seed is inverted, and its nose dragged ``px`` at 512 in a direction drawn from the seed.

    Figures say how like the picture the found latent's is, and how like the true latent's drag its own. Methods without
    an inversion (``edits`` False) have the true latent.
    """

    name = "inversion"
    kind = "inversions"
    counted = "faces"
    shared = ("picture", "dragged")
    columns = (
        Column("perceptual", f"{vgg.VGG.name} distance, median", 3, interval=True, median=True),
        Column("psnr", "PSNR, dB, median", 1, interval=True, median=True),
        Column("dragged_apart", "distance after the drag, median", 3, interval=True, median=True),
        Column("nose_apart", "px from its nose, median", 1, median=True),
        Column("moved", "px moved", 1),
        Column("seconds", "s to invert", 0),
    )

    def __init__(self, px: int = 24, max_steps: int = 300) -> None:
        self.options = {"px": px, "max_steps": max_steps}
        self.about = (
            "Pictures of seeds, whose latents are looked for as if they were photos. How far the picture of what was "
            f"found is from the given one, at 512: {vgg.VGG.name} distance and PSNR. Then the nose's base is dragged "
            f"{px} px in a random direction, at most {max_steps} steps, from the latent that was found and from the "
            "true one: how far the two results are apart, as pictures and by where dlib's 68-point model finds the "
            "nose. Medians and their 95% intervals. px moved: how far the nose went in the asked direction, mean."
        )
        self._px = px
        self._max_steps = max_steps
        self._made: dict[tuple[str, str], Truth | Pixels] = {}

    def cases(self, count: int) -> list[Case]:
        return single_seeds(count)

    def prepare(self) -> None:
        face_landmarks.prepare()
        vgg.prepare()

    def run(self, case: Case, method: Method, sessions: Sessions) -> Outcome:
        truth = self._truth(case, sessions)
        if not isinstance(truth, Truth):
            return Outcome({"failed": "no face"}, {"picture": truth})
        session = sessions.open(method)
        figures = dict[str, Figure]()
        found, maps, after, after_maps = truth.picture, truth.maps, truth.after, truth.after_maps
        stopped, nose = truth.stopped, truth.dragged
        if method.edits:
            height, width = truth.full.shape[:2]
            inversion = sessions.invert(session, truth.full, (0, 0, width, height))
            figures["seconds"] = inversion.seconds
            found = at_512(session.image())
            maps = vgg.features(found)
            figures["psnr"] = 10 * math.log10(4 / max(squared_error(found, truth.picture), 1e-9))
            stopped = sessions.drag(session, [_pair(truth.nose, truth.target, truth.full)], self._max_steps).stopped
            after = at_512(session.image())
            after_maps, nose = vgg.features(after), _nose(after)
        figures["perceptual"] = vgg.distance(maps, truth.maps)
        figures["dragged_apart"] = vgg.distance(after_maps, truth.after_maps)
        figures["stopped"] = stopped
        if nose is None or truth.dragged is None:
            figures["failed"] = "no face after the drag"
        else:
            figures["nose_apart"] = float(np.linalg.norm(nose - truth.dragged))
            figures["moved"] = float((nose - truth.nose) @ (truth.target - truth.nose)) / self._px
        pictures = {
            "picture": drawn(truth.picture, dots=[truth.nose.tolist()], rings=[truth.target.tolist()]),
            "dragged": _with_nose(truth.after, truth.dragged, truth.target),
            "found": found,
            "found dragged": _with_nose(after, nose, truth.target),
        }
        return Outcome(figures, pictures)

    def _truth(self, case: Case, sessions: Sessions) -> Truth | Pixels:
        """What the preset makes of the case's own latent; the picture alone if there is no face in it."""
        session = sessions.open(Method("the preset"))
        key = session.record.model, case.id
        if key not in self._made:
            self._made.clear()  # a case's methods follow each other
            self._made[key] = self._drag(session, case, sessions)
        return self._made[key]

    def _drag(self, session: Session, case: Case, sessions: Sessions) -> Truth | Pixels:
        session.seed(case.seeds[0])
        full = session.image()
        picture = at_512(full)
        nose = _nose(picture)
        if nose is None:
            return picture
        angle = np.random.RandomState(case.seeds[0]).uniform(0, 2 * np.pi)
        target = nose + self._px * np.array([np.cos(angle), np.sin(angle)])
        result = sessions.drag(session, [_pair(nose, target, full)], self._max_steps)
        after = at_512(session.image())
        return Truth(
            full=full,
            picture=picture,
            maps=vgg.features(picture),
            nose=nose,
            target=target,
            after=after,
            after_maps=vgg.features(after),
            dragged=_nose(after),
            stopped=result.stopped,
        )


def _nose(picture: Pixels) -> Array | None:
    found = face_landmarks.landmarks(picture)
    return None if found is None else found[NOSE]


def _pair(nose: Array, target: Array, full: Pixels) -> Pair:
    height, width = full.shape[:2]
    handle, goal = from_512(np.array([nose, target]), (width, height))
    return handle, goal


def _with_nose(picture: Pixels, nose: Array | None, target: Array) -> Pixels:
    return drawn(picture, dots=[] if nose is None else [nose.tolist()], rings=[target.tolist()])
