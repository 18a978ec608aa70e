"""The network: what must happen to w so that given points move as asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

WIDTH, HEADS, LAYERS = 96, 4, 2
#: Directions of w, those in which it varies most, that the answer depends on.
SEEN = 8
#: Waves across half the picture, doubling, in which places are written.
WAVES = 4
#: px at 512 that count as one.
UNIT = 8.0


class LearnedMap(nn.Module):
    """Points are the tokens of a transformer (Vaswani et al. 2017), w is one more, from which the answer is read.

    So neither the order of the points nor their number matters. ``mean`` ``[w_dim]``, ``axes`` ``[w_dim, SEEN]``, and
    ``spread`` ``[w_dim, w_dim]``, see :meth:`of_generator`, are kept with the weights; ``slots`` is how many of the
    first slots share the w that is answered for.
    """

    mean: torch.Tensor
    axes: torch.Tensor
    spread: torch.Tensor
    slots: torch.Tensor

    def __init__(self, mean: torch.Tensor, axes: torch.Tensor, spread: torch.Tensor, slots: int) -> None:
        super().__init__()
        for name, value in {"mean": mean, "axes": axes, "spread": spread, "slots": torch.tensor(slots)}.items():
            self.register_buffer(name, value)
        self.token = nn.Linear(2 * (1 + 2 * WAVES) + 2, WIDTH)
        self.of_w = nn.Linear(axes.shape[1], WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 2 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, len(mean), bias=False)
        nn.init.zeros_(self.out.weight)

    @classmethod
    def of_generator(cls, generator: Any) -> LearnedMap:
        """One that moves nothing yet, its weights drawn from torch's own generator."""
        whitening = generator.w_whitening.detach().cpu().double()
        narrow, axes = torch.linalg.eigh(whitening)  # in its narrow directions w varies most
        spread = torch.linalg.inv(whitening)
        seen = (axes * narrow)[:, :SEEN]
        return cls(generator.w_mean.detach().cpu(), seen.float(), spread.float(), generator.coarse_slots)

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> LearnedMap:
        """The one that has this state."""
        learned = cls(tensors["mean"], tensors["axes"], tensors["spread"], int(tensors["slots"]))
        learned.load_state_dict(dict(tensors))
        return learned.eval()

    def forward(
        self, w: torch.Tensor, places: torch.Tensor, ways: torch.Tensor, missing: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Offsets ``[B, w_dim]`` of ``w`` ``[B, w_dim]`` that take the points at ``places`` by ``ways``.

        Both ``[B, P, 2]`` (x, y): places in -1 .. 1, which are the picture's edges, ways in px at 512. ``missing``
        ``[B, P]``: points that are not there.
        """
        tokens = self.token(torch.cat([_waves(places), ways / UNIT], -1))
        first = self.of_w((w - self.mean) @ self.axes)[:, None]
        if missing is not None:
            missing = torch.cat([missing.new_zeros(len(missing), 1), missing], 1)
        answer: torch.Tensor = self.out(self.layers(torch.cat([first, tokens], 1), src_key_padding_mask=missing)[:, 0])
        return answer @ self.spread

    @torch.inference_mode()
    def answer(self, w_plus: np.ndarray, handles: np.ndarray, targets: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The latent ``[num_ws, w_dim]`` in whose picture the handles of ``w_plus``'s are at their targets.

        ``handles``, ``targets``: ``[P, 2]`` (x, y) px of the full output, of ``size`` (W, H). Only the coarse slots
        move, together.
        """
        slots = int(self.slots)
        w = torch.as_tensor(w_plus[:slots].mean(axis=0))
        places = torch.as_tensor((handles + 0.5) / size * 2 - 1).float()
        ways = torch.as_tensor((targets - handles) * 512 / size[1]).float()
        moved = w_plus.copy()
        moved[:slots] += self(w[None], places[None], ways[None])[0].numpy()
        return moved


def _waves(places: torch.Tensor) -> torch.Tensor:
    """``[..., 2 + 4 WAVES]``: the places, and sines and cosines of them (Tancik et al. 2020, "Fourier Features")."""
    angles = [places * (math.pi * 2**k / 2) for k in range(WAVES)]
    return torch.cat([places, *map(torch.sin, angles), *map(torch.cos, angles)], -1)
