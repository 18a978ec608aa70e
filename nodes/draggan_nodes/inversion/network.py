"""What inversion asks of a generator; those of ``draggan_runtime.models`` have it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import torch


class Invertible(Protocol):
    """A generator whose picture can be followed back to its w."""

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the picture, px."""

    @property
    def z_dim(self) -> int:
        """Length of z."""

    @property
    def num_ws(self) -> int:
        """How many slots w_plus has."""

    @property
    def w_mean(self) -> torch.Tensor:
        """Mean of w ``[w_dim]``."""

    @property
    def w_whitening(self) -> torch.Tensor:
        """``[w_dim, w_dim]``: ``offset @ w_whitening.T`` has about unit variance where w varies."""

    def features(self, w_plus: torch.Tensor, levels: Iterable[str]) -> Mapping[str, torch.Tensor]:
        """Maps ``[B, C, rows, columns]``, differentiable in w_plus ``[B, num_ws, w_dim]``; "rgb" is the picture."""

    def image(self, w_plus: torch.Tensor) -> torch.Tensor:
        """Picture ``[B, 3, H, W]``, RGB, about [-1, 1], not clamped; without gradient."""

    def mapping(self, z: torch.Tensor, truncation_psi: float = 1.0) -> torch.Tensor:
        """w_plus ``[B, num_ws, w_dim]`` of z ``[B, z_dim]``."""
