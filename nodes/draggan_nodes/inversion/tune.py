"""Pivotal tuning: the model's weights change a little, until the picture of one latent is the photo."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from draggan_nodes.inversion.likeness import Likeness
from draggan_nodes.inversion.network import Invertible

#: By weight the two matrices, ``[outputs, rank]`` and ``[rank, inputs]``, whose product is added to it.
Factors = Mapping[str, tuple[torch.Tensor, torch.Tensor]]
#: Rows, at most, of the map that tells whether other pictures stay as they are.
ROWS = 64
#: Steps in which the learning rate rises to its full size.
RISE = 3


@dataclass(frozen=True)
class TuningPace:
    """``steps`` of Adam at ``learning_rate``, falling as a cosine, on changes of ``rank``.

    ``fine`` weighs squared differences of pixels at full size, without which patterns appear that are finer than what
    the likeness looks at. ``keep`` weighs how far other pictures change; 0 saves some of the time.
    """

    steps: int
    learning_rate: float
    rank: int
    fine: float
    keep: float


class Tune:
    """Adam on changes of low rank to the weights, with the latent as it is (Roich et al. 2021, "Pivotal Tuning").

    There all weights are free (section 3.2), which would be tens of MB for each photo; changes of low rank (Hu et al.
    2021, "LoRA", section 4.1) are one, and leave the model nearer to what it was. Locality is theirs (section 3.3):
    pictures near the pivot stay what the model makes of them. ``pivot`` ``[num_ws, w_dim]``.
    """

    def __init__(self, network: Invertible, likeness: Likeness, pivot: torch.Tensor, pace: TuningPace) -> None:
        self.done, self.distance = 0, math.inf
        self._least = math.inf
        self.network, self.pace, self.pivot = network, pace, pivot
        self._likeness = likeness
        random = torch.Generator().manual_seed(0)
        like = network.w_mean
        self._leaves = {
            name: (
                torch.zeros(outputs, min(pace.rank, outputs), device=like.device, requires_grad=True),
                (torch.randn(min(pace.rank, outputs), inputs, generator=random) * inputs**-0.5)
                .to(like.device)
                .requires_grad_(),
            )
            for name, (outputs, inputs) in network.tunable.items()
        }
        self._random = random
        self.factors = self._now()
        self._adam = torch.optim.Adam([leaf for pair in self._leaves.values() for leaf in pair], betas=(0.9, 0.99))

    def step(self) -> None:
        """One step; afterwards ``factors``, and their ``distance`` from the photo, are the best looked at."""
        tuned = self.network.tuned({name: up @ down for name, (up, down) in self._leaves.items()})
        picture = tuned.features(self.pivot[None], ["rgb"])["rgb"]
        distance = self._likeness(picture)
        loss = distance + self.pace.fine * self._likeness.pixels(picture)
        if (now := float(loss.detach())) < self._least:
            self._least, self.distance, self.factors = now, float(distance.detach()), self._now()
        if self.pace.keep:
            loss = loss + self.pace.keep * self._moved(tuned)
        rise = min(1.0, (self.done + 1) / RISE)
        for group in self._adam.param_groups:
            group["lr"] = self.pace.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * self.done / self.pace.steps))
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self.done += 1

    def _moved(self, tuned: Invertible) -> torch.Tensor:
        """The part, squared, by which a map of a latent between the pivot and a random one changes."""
        level = max((name for name in self.network.levels if name.isdecimal() and int(name) <= ROWS), key=int)
        like = self.pivot
        z = torch.randn(1, self.network.z_dim, generator=self._random).to(like)
        part = torch.rand(1, generator=self._random).to(like)
        with torch.no_grad():
            near = torch.lerp(self.pivot[None], self.network.mapping(z), part)
            was = self.network.features(near, [level])[level]
        return (tuned.features(near, [level])[level] - was).square().mean() / was.square().mean()

    def _now(self) -> Factors:
        return {name: (up.detach().clone(), down.detach().clone()) for name, (up, down) in self._leaves.items()}


def name_of(factors: Factors) -> str:
    """A name for changes, of their content; "" if there are none."""
    if not factors:
        return ""
    digest = hashlib.blake2b(digest_size=8)
    for name, (up, down) in factors.items():
        digest.update(name.encode())
        digest.update(up.cpu().numpy().tobytes())
        digest.update(down.cpu().numpy().tobytes())
    return digest.hexdigest()
