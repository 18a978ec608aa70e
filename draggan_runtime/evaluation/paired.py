"""The protocol ``paired``: make of one picture another, from some of its points (DragGAN, section 4.2, table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from draggan_runtime.api import Session
from draggan_runtime.evaluation.at_512 import Array, at_512, from_512, squared_error
from draggan_runtime.evaluation.cases import Case, pairs_of_seeds
from draggan_runtime.evaluation.dense_flow import matches
from draggan_runtime.evaluation.drawn import drawn
from draggan_runtime.evaluation.frechet import frechet_distance
from draggan_runtime.evaluation.latents import Latents, shown, way_toward
from draggan_runtime.evaluation.methods import Method
from draggan_runtime.evaluation.protocol import Arrays, Column, Evaluated, Figure, Outcome
from draggan_runtime.evaluation.sessions import Sessions
from draggan_runtime.perception import vgg
from draggan_runtime.pictures import Pixels

#: How many points are dragged, as in the paper.
POINTS = 32


@dataclass(frozen=True)
class Pair:
    """A case: the latent w1, the pictures of w1 and w2 at 512, and points of the first and where the second has them.

    ``points``: two of ``[32, 2]`` px at 512; None if too few were found. ``size`` (W, H) of the full output. ``maps``:
    the second's features. ``squared`` and ``perceptual``: how far the pictures are apart.
    """

    w_plus: Latents
    first: Pixels
    second: Pixels
    points: tuple[Array, Array] | None
    size: tuple[int, int]
    maps: vgg.Maps
    squared: float
    perceptual: float


class Paired(Evaluated):
    """A picture and a second one, whose latent is the first's moved part of the way toward another face.

    ``amount``: how much of the way. 32 points that optical flow finds in both are dragged from where the first has them
    to where the second has them; figures say how far the result is from the second.
    """

    name = "paired"
    shared = ("before", "target")
    columns = (
        Column("squared", "MSE", 4, interval=True),
        Column("squared_left", "of no edit's MSE", 2),
        Column("perceptual", f"{vgg.VGG.name} distance", 3, interval=True),
        Column("perceptual_left", "of its distance", 2),
        Column("steps", "steps", 0),
        Column("seconds", "s per edit"),
    )

    def __init__(self, amount: float = 0.3, max_steps: int = 100) -> None:
        self.options = {"amount": float(amount), "max_steps": max_steps}
        self.about = (
            f"Pictures of w1 and w2, whose coarse slots are {amount:g} of the way from w1 to another face's; {POINTS} "
            f"points that optical flow finds in both are dragged in the first, at most {max_steps} steps. How far the "
            "result is from the second picture, at 512, mean and its 95% interval; values of MSE go from -1 to 1."
        )
        self._amount = amount
        self._max_steps = max_steps
        self._made: dict[tuple[str, str], Pair] = {}

    def cases(self, count: int) -> list[Case]:
        return pairs_of_seeds(count)

    def prepare(self) -> None:
        vgg.prepare()

    def run(self, case: Case, method: Method, sessions: Sessions) -> Outcome:
        session = sessions.open(method)
        pair = self._pair(session, case)
        after, figures = pair.first, dict[str, Figure]()
        if pair.points is None:
            figures["failed"] = f"flow finds fewer than {POINTS} points"
        elif method.edits:
            session.set_latent(pair.w_plus)
            handles, targets = (from_512(points, pair.size) for points in pair.points)
            result = sessions.drag(session, zip(handles, targets, strict=True), self._max_steps)
            figures |= {"steps": result.steps, "seconds": result.seconds, "stopped": result.stopped}
            after = at_512(session.image())
        maps = vgg.features(after)
        if pair.points is not None:
            squared, perceptual = squared_error(after, pair.second), vgg.distance(maps, pair.maps)
            figures |= {"squared": squared, "squared_left": squared / pair.squared}
            figures |= {"perceptual": perceptual, "perceptual_left": perceptual / pair.perceptual}
        arrays = {"target": vgg.embedding(pair.maps), "after": vgg.embedding(maps)}
        return Outcome(figures, self._pictures(pair, after), arrays)

    def of_set(self, arrays: Sequence[Arrays]) -> dict[str, float]:
        if len(arrays) < 2:
            return {}
        target, after = (np.stack([each[key] for each in arrays]) for key in ("target", "after"))
        return {f"{vgg.VGG.name} Frechet to targets": frechet_distance(target, after)}

    def _pair(self, session: Session, case: Case) -> Pair:
        key = session.record.model, case.id
        if key not in self._made:
            self._made.clear()  # a case's methods follow each other
            w1, w2 = way_toward(session, case.seeds, np.array([0, self._amount]))
            full = shown(session, w1)
            first, second = at_512(full), at_512(shown(session, w2))
            maps = vgg.features(second)
            self._made[key] = Pair(
                w_plus=w1,
                first=first,
                second=second,
                points=matches(first, second, POINTS, case.seeds),
                size=(full.shape[1], full.shape[0]),
                maps=maps,
                squared=squared_error(first, second),
                perceptual=vgg.distance(vgg.features(first), maps),
            )
        return self._made[key]

    def _pictures(self, pair: Pair, after: Pixels) -> dict[str, Pixels]:
        handles, targets = ([], []) if pair.points is None else (points.tolist() for points in pair.points)
        return {
            "before": drawn(pair.first, dots=handles, rings=targets),
            "target": drawn(pair.second, rings=targets),
            "after": drawn(after, rings=targets),
        }
