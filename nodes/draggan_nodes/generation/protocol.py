"""What the generation stage asks of a generator; any StyleGAN2-like network can implement it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import torch

from draggan_nodes.generation.styles import Styles


@dataclass(frozen=True)
class Level:
    """One feature map of a generator.

    ``stride`` px of the full output per cell; ``channels`` C; the map depends on slots ``0 .. slots - 1``.
    """

    stride: float
    channels: int
    slots: int


class Window(NamedTuple):
    """Cells of a map: rows ``top .. bottom - 1``, columns ``left .. right - 1``."""

    top: int
    bottom: int
    left: int
    right: int


#: By level, of each latent, windows of its map.
Windows = Mapping[str, Sequence[Sequence[Window]]]


class GeneratorNetwork(Protocol):
    """A generator with a mapping network z -> w and a synthesis network driven by one w per slot ("W+").

    Weights are constants: gradients flow to ``w_plus`` only. All results are deterministic (constant noise).
    """

    @property
    def name(self) -> str:
        """Name in the catalogue."""

    @property
    def sha256(self) -> str:
        """Hash of the file the weights came from: tells whether two sessions mean the same model."""

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the output, px."""

    @property
    def z_dim(self) -> int:
        """Length of z."""

    @property
    def w_dim(self) -> int:
        """Length of w."""

    @property
    def num_ws(self) -> int:
        """How many slots w_plus has."""

    @property
    def coarse_slots(self) -> int:
        """Slots ``0 .. coarse_slots - 1`` place and shape things; an edit moves these by default."""

    @property
    def levels(self) -> Mapping[str, Level]:
        """The feature maps by name: "64" is the map of 64 rows, "rgb" the picture."""

    @property
    def w_mean(self) -> torch.Tensor:
        """Mean of w ``[w_dim]``, toward which truncation pulls."""

    @property
    def w_whitening(self) -> torch.Tensor:
        """``[w_dim, w_dim]``: ``offset @ w_whitening.T`` has about unit variance where w varies."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    def to(self, device: str | torch.device) -> Self:
        """Move to ``device``; returns itself."""

    def mapping(self, z: torch.Tensor, truncation_psi: float = 1.0) -> torch.Tensor:
        """w_plus ``[B, num_ws, w_dim]`` of z ``[B, z_dim]``: each slot is ``w_mean + psi * (w - w_mean)``."""

    def boxes(self, styles: Styles, windows: Windows) -> dict[str, list[list[torch.Tensor]]]:
        """Windows of feature maps ``[C, rows, columns]``: by level, those wanted of each latent, differentiable in it.

        Equal, up to rounding, to what :meth:`features` gives there, but computes little more than the cells that
        these depend on; the whole map where that is cheaper. Raises KeyError for a level it does not have.
        """

    def products(self, windows: Windows) -> int:
        """How many products, about, the convolutions of :meth:`boxes` take; the backward pass takes as many again."""

    def features(
        self, w_plus: torch.Tensor, levels: Iterable[str], *, slots: int | None = None
    ) -> dict[str, torch.Tensor]:
        """Whole maps ``[B, C, rows, columns]`` of w_plus ``[B, num_ws, w_dim]``, differentiable in it.

        Gradients flow to slots ``0 .. slots - 1`` only (None: to all); the fewer, the cheaper. Computes only the
        layers that ``levels`` need. Raises KeyError for a level it does not have.
        """

    @property
    def tunable(self) -> Mapping[str, tuple[int, int]]:
        """Weights that may be changed for a picture, as matrices: by name (outputs, inputs)."""

    def tuned(self, changes: Mapping[str, torch.Tensor]) -> Self:
        """The network with ``changes`` ``[outputs, inputs]`` added to its tunable weights, differentiable in them.

        Shares all other weights with this one, which stays as it is.
        """

    def image(self, w_plus: torch.Tensor) -> torch.Tensor:
        """Picture ``[B, 3, H, W]``, RGB, about [-1, 1], not clamped; without gradient."""
