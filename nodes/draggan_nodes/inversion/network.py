"""What inversion asks of a generator; those of ``draggan_runtime.models`` have it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, Self

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
    def levels(self) -> Mapping[str, object]:
        """The maps by name: "64" has 64 rows."""

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

    @property
    def tunable(self) -> Mapping[str, tuple[int, int]]:
        """Weights that may be changed for a picture, as matrices: by name (outputs, inputs)."""

    def tuned(self, changes: Mapping[str, torch.Tensor]) -> Self:
        """The network with ``changes`` ``[outputs, inputs]`` added to its tunable weights, differentiable in them."""

    def mapping(self, z: torch.Tensor, truncation_psi: float = 1.0) -> torch.Tensor:
        """w_plus ``[B, num_ws, w_dim]`` of z ``[B, z_dim]``."""
