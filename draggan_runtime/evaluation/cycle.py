"""The protocol ``cycle``: drag there and back, and see what has become of the picture.

After FreeDrag (Ling et al. 2023, "FreeDrag: Feature Dragging for Reliable Point-based Image Editing"): it takes no
second picture to judge by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from draggan_runtime.api import Session
from draggan_runtime.evaluation.at_512 import Array, at_512, from_512, squared_error
from draggan_runtime.evaluation.cases import Case, single_seeds
from draggan_runtime.evaluation.drawn import drawn
from draggan_runtime.evaluation.methods import Method
from draggan_runtime.evaluation.protocol import Column, Evaluated, Figure, Outcome
from draggan_runtime.evaluation.sessions import Sessions
from draggan_runtime.perception import face_landmarks, vgg
from draggan_runtime.pictures import Pixels

#: The landmark that is moved: the nose's base, as in the protocol ``landmarks``.
NOSE = 33


@dataclass(frozen=True)
class Look:
    """A picture at 512, where its nose's base is ``[2]`` px at 512 (None: no face found), and its features."""

    picture: Pixels
    nose: Array | None
    maps: vgg.Maps


class Cycle(Evaluated):
    """The nose's base is dragged ``px`` at 512 in a direction drawn from the case's seed, then from there back.

    Each way takes ``max_steps`` at most. Figures say how unlike its start the picture has become, and how far the nose
    has been away: who moves nothing comes back at no cost.
    """

    name = "cycle"
    counted = "faces"
    shared = ("before",)
    columns = (
        Column("perceptual", f"{vgg.VGG.name} distance", 3, interval=True),
        Column("squared", "MSE", 4),
        Column("moved", "px moved", interval=True),
        Column("returned", "px from start"),
        Column("steps", "steps", 0),
        Column("seconds", "s both ways"),
    )

    def __init__(self, px: int = 24, max_steps: int = 300) -> None:
        self.options = {"px": px, "max_steps": max_steps}
        self.about = (
            f"The nose's base dragged {px} px in a random direction, and back, at most {max_steps} steps each way. "
            "How far the last picture is from the first, at 512, mean and its 95% interval. px moved: how far of the "
            f"{px} the nose had come in between; px from start: how far it ends from where it began; both by dlib's "
            "68-point model. A small distance counts only where the nose had moved."
        )
        self._px = px
        self._max_steps = max_steps
        self._made: dict[tuple[str, str], Look] = {}

    def cases(self, count: int) -> list[Case]:
        return single_seeds(count)

    def prepare(self) -> None:
        face_landmarks.prepare()
        vgg.prepare()

    def run(self, case: Case, method: Method, sessions: Sessions) -> Outcome:
        session = sessions.open(method)
        start = self._start(session, case)
        if start.nose is None:
            return Outcome({"failed": "no face"}, {"before": start.picture})
        angle = np.random.RandomState(case.seeds[0]).uniform(0, 2 * np.pi)
        way = np.array([np.cos(angle), np.sin(angle)])
        target = start.nose + self._px * way
        middle = after = start
        figures = dict[str, Figure]()
        if method.edits:
            session.seed(case.seeds[0])
            height, width = session.image().shape[:2]
            here, there = from_512(np.array([start.nose, target]), (width, height))
            out = sessions.drag(session, [(here, there)], self._max_steps)
            middle = _look(session.image())
            back = sessions.drag(session, [(there, here)], self._max_steps)
            after = _look(session.image())
            figures |= {"steps": out.steps + back.steps, "seconds": out.seconds + back.seconds}
            figures["stopped"] = f"{out.stopped}, {back.stopped}"
        figures["perceptual"] = vgg.distance(start.maps, after.maps)
        figures["squared"] = squared_error(start.picture, after.picture)
        if middle.nose is not None:
            figures["moved"] = float((middle.nose - start.nose) @ way)
        if after.nose is not None:
            figures["returned"] = float(np.linalg.norm(after.nose - start.nose))
        if middle.nose is None or after.nose is None:
            figures["failed"] = f"no face {'there' if middle.nose is None else 'back'}"
        pictures = {
            "before": _with_nose(start, target),
            "there": _with_nose(middle, target),
            "back": _with_nose(after, start.nose),
        }
        return Outcome(figures, pictures)

    def _start(self, session: Session, case: Case) -> Look:
        key = session.record.model, case.id
        if key not in self._made:
            self._made.clear()  # a case's methods follow each other
            session.seed(case.seeds[0])
            self._made[key] = _look(session.image())
        return self._made[key]


def _look(image: Pixels) -> Look:
    picture = at_512(image)
    found = face_landmarks.landmarks(picture)
    return Look(picture, None if found is None else found[NOSE], vgg.features(picture))


def _with_nose(look: Look, wanted: Array) -> Pixels:
    return drawn(look.picture, dots=[] if look.nose is None else [look.nose.tolist()], rings=[wanted.tolist()])
