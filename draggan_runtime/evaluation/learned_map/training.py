"""Training a model's map: faces one by one, which are kept until it is learned, then the network."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from draggan_runtime import tensor_files
from draggan_runtime.evaluation.learned_map import files
from draggan_runtime.evaluation.learned_map.network import LearnedMap
from draggan_runtime.evaluation.learned_map.samples import Samples, face, places
from draggan_runtime.threads import at_most

STEPS, BATCH = 3000, 64
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.1
#: Points shown together, at most; from 1 on, with equal odds of a factor of two more.
MOST_POINTS = 68
#: Moves are shown enlarged by these factors, ways and all, again with equal odds of a factor of two more: edits go
#: farther than flow can follow, and are taken to go on as they begin.
ENLARGED = (0.5, 3.7)


class Training:
    """Of the map that ``file`` shall hold: go through :meth:`sample`, then :meth:`learn`, which ends by writing it.

    ``generator``: as :meth:`ModelSource.load` gives it; ``about``: what the file says of it. Sampling can be left at
    any face: another Training of the same file goes on with those that were made, and ends in the same map.
    """

    def __init__(self, generator: Any, file: Path, faces: int, about: dict[str, str], steps: int = STEPS) -> None:
        self.file, self.samples, self.steps = file, faces, steps
        self._generator = generator
        made = {"format": files.FORMAT, "sha256": generator.sha256, "faces": str(faces), "steps": str(steps)}
        self._metadata = about | made
        self._parts = file.with_name(f"{file.stem}-{files.FORMAT}-{generator.sha256[:8]}.parts")

    @property
    def finished(self) -> bool:
        """True if the file is there already, of these settings."""
        return tensor_files.said(self.file) == self._metadata

    def sample(self) -> Iterator[int]:
        """Make the faces that are missing; yields how many there are."""
        for number in range(self.samples):
            if not self._part(number).is_file():
                tensor_files.write(self._part(number), asdict(face(self._generator, number)), {})
            yield number + 1

    def learn(self) -> Iterator[tuple[int, float]]:
        """Train the network on all faces; yields as :func:`learn`. The faces are removed when the map is written."""
        samples = Samples.joined([Samples(**tensor_files.read(self._part(n))) for n in range(self.samples)])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            learned = LearnedMap.of_generator(self._generator)
        yield from learn(learned, samples, self.steps)
        tensor_files.write(self.file, learned.state_dict(), self._metadata)
        shutil.rmtree(self._parts, ignore_errors=True)

    def _part(self, number: int) -> Path:
        return self._parts / f"{number}.safetensors"


def learn(learned: LearnedMap, samples: Samples, steps: int) -> Iterator[tuple[int, float]]:
    """Train ``learned``; yields how many steps are made and what part of the squared moves is left unexplained.

    The loss is the squared error of the move in w, as it is and not whitened: directions in which w varies little also
    change the picture little. Its least is at the mean of all moves that take the points so: a likely one.
    AdamW (Loshchilov and Hutter 2019), one cycle of the learning rate (Smith and Topin 2018).
    """
    draw = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(learned.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps)
    whole = samples.move.square().sum(1).mean()
    unexplained = 1.0
    learned.train()
    for number in range(1, steps + 1):
        with at_most(1):
            loss = _loss(learned, samples, draw) / whole
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            rate.step()
        unexplained += (loss.item() - unexplained) * max(1 / number, 0.02)
        yield number, unexplained
    learned.eval()


def _loss(learned: LearnedMap, samples: Samples, draw: torch.Generator) -> torch.Tensor:
    count = int(MOST_POINTS ** float(torch.rand(1, generator=draw)) + 0.5)
    which = torch.randint(len(samples.w), (BATCH,), generator=draw)
    low, high = map(math.log, ENLARGED)
    factor = torch.exp(low + (high - low) * torch.rand(BATCH, 1, generator=draw))
    known = samples.known[which]
    # Points that flow has lost are only taken when there are no others, and then not shown.
    at = torch.multinomial(known.float().clamp(min=1e-9), count, generator=draw)
    ways = samples.way[which[:, None], at] * factor[..., None]
    answer = learned(samples.w[which], places()[at], ways, ~known.gather(1, at))
    error: torch.Tensor = answer / factor - samples.move[which]
    return error.square().sum(1).mean()
