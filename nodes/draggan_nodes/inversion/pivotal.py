"""Inversion by pivotal tuning: a latent that edits well, then weights that make its picture the photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field

from draggan_nodes.inversion.descent import Descent
from draggan_nodes.inversion.likeness import Likeness, perceptual_or_not
from draggan_nodes.inversion.optimise import OptimiseParams, OptimiseSource
from draggan_nodes.inversion.photo_source import Search
from draggan_nodes.inversion.tune import Factors, Tune, TuningPace
from draggan_runtime.node import NodeParams

#: Rows at which the tuning compares features: finer than the search for a latent, which cannot reach what is so small.
ROWS = 256


class PivotalParams(OptimiseParams):
    steps: int = Field(40, ge=1, le=10_000, description="steps of the search for the latent")
    space: Literal["w", "w_plus"] = Field("w", description="one w for all slots, or each its own")
    tuning_steps: int = Field(60, ge=1, le=10_000, description="steps of the tuning of the weights")
    tuning_rate: float = Field(8e-3, gt=0, description="Adam's step size in the tuning")
    rank: int = Field(16, ge=1, description="rank of the change of a weight")
    fine: float = Field(10, ge=0, description="weight of pixels at full size in the tuning")
    keep: float = Field(1, ge=0, description="weight of how far other pictures change")


class Pivotal:
    """A :class:`~draggan_nodes.inversion.photo_source.Search`: a descent, then a tuning where it ended.

    ``likeness`` is the tuning's.
    """

    def __init__(self, descent: Descent, likeness: Likeness, pace: TuningPace) -> None:
        self._descent, self._likeness, self._pace = descent, likeness, pace
        self._tune: Tune | None = None
        self.name, self.done, self.of = descent.name, 0, descent.of + pace.steps

    @property
    def best(self) -> torch.Tensor:
        return self._descent.best

    @property
    def factors(self) -> Factors:
        return self._tune.factors if self._tune is not None and self._tune.done > 0 else {}

    @property
    def distance(self) -> float:
        return self._tune.distance if self._tune is not None and self._tune.done > 0 else self._descent.distance

    def step(self) -> None:
        if self._descent.done < self._descent.of:
            self._descent.step()
        else:
            if self._tune is None:
                self._tune = Tune(self._descent.network, self._likeness, self.best, self._pace)
            self._tune.step()
        self.done += 1


class PivotalSource(OptimiseSource):
    """Pivotal tuning (Roich et al. 2021, "Pivotal Tuning for Latent-based Editing of Real Images")."""

    Params: ClassVar[type[NodeParams]] = PivotalParams

    def search(self, photo: torch.Tensor) -> tuple[Search, Sequence[str]]:
        params: PivotalParams = self.params
        perceptual, why = perceptual_or_not(params.perceptual)
        descent = self.descent(photo, Likeness(photo, perceptual=perceptual))
        likeness = Likeness(photo, perceptual=perceptual, rows=ROWS)
        pace = TuningPace(params.tuning_steps, params.tuning_rate, params.rank, params.fine, params.keep)
        return Pivotal(descent, likeness, pace), [why] if why else []
