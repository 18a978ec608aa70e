"""What the map learns from: moves of w, and where they take the places of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
import torch

from draggan_runtime.evaluation.at_512 import AT
from draggan_runtime.evaluation.dense_flow import BLUR, Grey, grey, there_and_back

#: Truncation of the latents, that of seeds.
PSI = 0.7
#: Moves of a face, and how much of the way toward another face's w they go: farther, and flow no longer follows.
MOVES, REACH = 5, 0.4
#: Rows and columns of the places at which flow is kept.
GRID = 32
#: Height, px, at which flow is sought: at 512 it takes as long as the pictures.
ROWS = 256
#: px at 512 by which the way there and back may miss its start.
MISS = 2.0


@dataclass(frozen=True)
class Samples:
    """N moves: ``w`` ``[N, w_dim]``, of the coarse slots, where one begins, and ``move`` ``[N, w_dim]``.

    Of the P places of :func:`places`, ``way`` ``[N, P, 2]`` (x, y) px at 512, and ``known`` ``[N, P]``: flow could
    follow them.
    """

    w: torch.Tensor
    move: torch.Tensor
    way: torch.Tensor
    known: torch.Tensor

    @classmethod
    def joined(cls, parts: Sequence[Samples]) -> Samples:
        """All their moves, in order."""
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def places() -> torch.Tensor:
    """``[GRID^2, 2]`` (x, y) in -1 .. 1, which are the picture's edges: centres of cells."""
    centres = (torch.arange(GRID) + 0.5) / GRID * 2 - 1
    return torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1).flatten(0, 1)


@torch.no_grad()
def face(generator: Any, number: int) -> Samples:
    """Moves of a random face, there and back. ``generator``: as :meth:`ModelSource.load` gives it.

    Only the coarse slots move, together, as a drag moves them. The faces are none that a ``--seed`` gives.
    """
    z = np.random.default_rng([0, number]).standard_normal((1 + MOVES, generator.z_dim), dtype=np.float32)
    start, *others = generator.mapping(torch.from_numpy(z), PSI)
    slots = generator.coarse_slots
    first = _grey(generator, start)
    made = []
    for other in others:
        end = start.clone()
        end[:slots] += REACH * (other - start)[:slots]
        second = _grey(generator, end)
        made += [_sample(start[0], end[0], first, second), _sample(end[0], start[0], second, first)]
    return Samples.joined(made)


def _grey(generator: Any, w_plus: torch.Tensor) -> Grey:
    pixels = generator.image(w_plus[None])[0].clamp(-1, 1).add(1).mul(127.5).round().byte()
    _, height, width = pixels.shape
    size = round(ROWS * width / height), ROWS
    return grey(cv2.resize(pixels.permute(1, 2, 0).numpy(), size, interpolation=cv2.INTER_AREA), BLUR * ROWS / AT)


def _sample(start: torch.Tensor, end: torch.Tensor, first: Grey, second: Grey) -> Samples:
    way, miss = there_and_back(first, second)
    # The pixel beside a cell's centre will do: half a pixel away, flow is the same.
    at = np.ix_(*(((np.arange(GRID) + 0.5) * size / GRID).astype(int) for size in first.shape))
    return Samples(
        start[None],
        (end - start)[None],
        torch.from_numpy(way[at].reshape(1, -1, 2) * (AT / ROWS)),
        torch.from_numpy(miss[at].reshape(1, -1) * (AT / ROWS) <= MISS),
    )
