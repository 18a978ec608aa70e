"""Looking for the latent of a photo by descent: step by step, the best so far kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from draggan_nodes.inversion.likeness import Likeness
from draggan_nodes.inversion.network import Invertible
from draggan_nodes.inversion.tune import Factors

#: Adam's decays. The second is short, since the loss falls by much within few steps.
BETAS = (0.9, 0.99)
#: Steps in which the learning rate rises to its full size.
RISE = 5


@dataclass(frozen=True)
class Pace:
    """How a descent goes: ``steps`` of Adam, ``learning_rate`` in standard deviations of w, falling as a cosine.

    ``space`` "w": one w for all slots, "w_plus": each its own.
    ``prior`` weighs the mean square of the whitened offset from the mean of w, ``together`` that of the slots'
    offsets from their own mean: far from what the model knows, or slot by slot, photos are matched better and
    dragged worse (Tov et al. 2021, "Designing an Encoder for StyleGAN Image Manipulation", section 3).
    """

    steps: int
    learning_rate: float
    prior: float
    together: float
    space: Literal["w", "w_plus"] = "w_plus"


class Descent:
    """Adam on w_plus, whitened (Abdal et al. 2019, "Image2StyleGAN", with w as it varies for coordinates).

    Begins at the best of ``starts``, each ``[num_ws, w_dim]`` or ``[1, w_dim]``, by the loss.
    """

    def __init__(self, network: Invertible, likeness: Likeness, starts: Sequence[torch.Tensor], pace: Pace) -> None:
        self.network, self.pace = network, pace
        self.name, self.done, self.of = likeness.name, 0, pace.steps
        self.factors: Factors = {}
        self._likeness = likeness
        self._whitening = network.w_whitening
        self._spread = torch.linalg.inv(self._whitening.double()).float()
        if pace.space == "w":
            starts = [start.mean(dim=0, keepdim=True) for start in starts]
        whole = [start.expand(network.num_ws, -1) for start in starts]
        with torch.no_grad():
            losses = [float(likeness(self._picture(start))) for start in whole]
        self.distance = min(losses)
        self.best = whole[losses.index(self.distance)].clone()
        free = self.best[:1] if pace.space == "w" else self.best
        self._x = ((free - network.w_mean) @ self._whitening.T).requires_grad_()
        self._adam = torch.optim.Adam([self._x], betas=BETAS)

    def step(self) -> None:
        """One step; afterwards ``best``, and its ``distance`` from the photo, are those of the best one looked at."""
        w_plus = (self.network.w_mean + self._x @ self._spread.T).expand(self.network.num_ws, -1)
        distance = self._likeness(self._picture(w_plus))
        if (now := float(distance.detach())) < self.distance:
            self.distance, self.best = now, w_plus.detach().clone()
        apart = self._x - self._x.mean(dim=0, keepdim=True)
        loss = distance + self.pace.prior * self._x.square().mean() + self.pace.together * apart.square().mean()
        for group in self._adam.param_groups:
            group["lr"] = self._learning_rate()
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self.done += 1

    def _learning_rate(self) -> float:
        rise = min(1.0, (self.done + 1) / RISE)
        return self.pace.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * self.done / self.pace.steps))

    def _picture(self, w_plus: torch.Tensor) -> torch.Tensor:
        return self.network.features(w_plus[None], ["rgb"])["rgb"]
