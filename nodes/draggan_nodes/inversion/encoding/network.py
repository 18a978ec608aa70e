"""The encoder: a picture in, a likely w_plus out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Self

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate, leaky_relu

from draggan_nodes.inversion.network import Invertible

#: Rows at which it looks; channels after each halving of the rows; cells and channels of what the answer is made of.
ROWS, WIDTHS, CELLS, LAST = 128, (32, 64, 128, 256, 384), 4, 128
#: Slots come in so many groups, coarse to fine, each with a w of its own, as mixed styles have it.
GROUPS = 3


class Encoder(nn.Module):
    """Residual convolutions (He et al. 2016), then one linear layer to a w for each group of slots.

    It answers in standard deviations of w, ``w_std``, from ``w_mean``: both ``[w_dim]``.
    """

    w_mean: torch.Tensor
    w_std: torch.Tensor

    def __init__(self, w_mean: torch.Tensor, w_std: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("w_mean", w_mean.clone())
        self.register_buffer("w_std", w_std.clone())
        channels = (3, *WIDTHS)
        self.halvings = nn.ModuleList(_Halving(a, b) for a, b in itertools.pairwise(channels))
        self.narrow = nn.Conv2d(WIDTHS[-1], LAST, 1)
        self.answer = nn.Linear(LAST * CELLS**2, GROUPS * len(w_mean))

    @classmethod
    def of_generator(cls, network: Invertible) -> Self:
        """An untrained one."""
        w_std = torch.linalg.inv(network.w_whitening.double()).square().sum(1).sqrt().float()
        return cls(network.w_mean.cpu(), w_std.cpu())

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Self:
        """The one whose state dict that is."""
        encoder = cls(tensors["w_mean"], tensors["w_std"])
        encoder.load_state_dict(dict(tensors))
        return encoder.eval()

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """w ``[B, GROUPS, w_dim]`` of pictures ``[B, 3, H, W]``, RGB in [-1, 1], of any size."""
        x = seen(pictures)
        for halving in self.halvings:
            x = halving(x)
        x = adaptive_avg_pool2d(leaky_relu(self.narrow(x), 0.2), CELLS).flatten(1)
        w: torch.Tensor = self.w_mean + self.answer(x).unflatten(1, (GROUPS, -1)) * self.w_std
        return w

    def w_plus(self, pictures: torch.Tensor, num_ws: int) -> torch.Tensor:
        """``[B, num_ws, w_dim]``: what each slot gets."""
        w: torch.Tensor = self(pictures)
        return w[:, groups(num_ws)]


class _Halving(nn.Module):
    """Half the rows and columns, then a residual block."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, out, 3, stride=2, padding=1)
        self.first, self.second = (nn.Conv2d(out, out, 3, padding=1) for _ in range(2))
        self.norm, self.inner = (nn.GroupNorm(8, out) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = leaky_relu(self.norm(self.down(x)), 0.2)
        within = leaky_relu(self.inner(self.first(x)), 0.2)
        result: torch.Tensor = leaky_relu(x + self.second(within), 0.2)
        return result


def seen(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures ``[B, 3, H, W]`` at the size the encoder looks at: :data:`ROWS` rows, or as many as there are."""
    rows = min(ROWS, pictures.shape[-2])
    columns = max(1, round(rows * pictures.shape[-1] / pictures.shape[-2]))
    return interpolate(pictures, size=(rows, columns), mode="area")


def groups(num_ws: int) -> torch.Tensor:
    """The group of each slot, ``[num_ws]``: thirds, coarse to fine."""
    return torch.arange(num_ws) * GROUPS // num_ws
