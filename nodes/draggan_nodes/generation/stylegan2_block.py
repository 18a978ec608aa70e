"""A block of StyleGAN2's synthesis network: the layers of one size of map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from draggan_nodes.generation.protocol import Window
from draggan_nodes.generation.stylegan2_layers import Modulation, StyledConvolution, ToRGB


class Block(nn.Module):
    """Doubles the map and convolves it twice; the first block, of 4 rows, has a constant and one convolution.

    ``state`` holds ``conv1.weight`` and so on; all layers ``clamp``.
    """

    def __init__(self, state: Mapping[str, torch.Tensor], clamp: float | None = None) -> None:
        super().__init__()
        up = "conv0.weight" in state
        self.conv0 = StyledConvolution(under("conv0", state), up=True, clamp=clamp) if up else None
        self.conv1 = StyledConvolution(under("conv1", state), up=False, clamp=clamp)
        self.to_rgb = ToRGB(under("torgb", state), clamp)

    @property
    def layers(self) -> Sequence[StyledConvolution]:
        """The convolutions, in order."""
        return (self.conv1,) if self.conv0 is None else (self.conv0, self.conv1)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the output."""
        return self.conv1.size

    def reads(self, window: Window) -> Window:
        """The cells of the block's input that ``window`` of its output depends on."""
        middle = self.conv1.reads(window)
        return middle if self.conv0 is None else self.conv0.reads(middle)

    def window(self, x: torch.Tensor, modulations: Sequence[Modulation], window: Window) -> torch.Tensor:
        """``window`` of the output ``[B, C, rows, columns]``, from x, the cells that it reads.

        ``modulations`` of each of the convolutions.
        """
        if self.conv0 is not None:
            x = self.conv0.window(x, modulations[0], self.conv1.reads(window))
        return self.conv1.window(x, modulations[-1], window)


def under(prefix: str, state: Mapping[str, torch.Tensor], but: str = "") -> dict[str, torch.Tensor]:
    """The tensors whose names begin with ``prefix`` and a dot, by the rest of their names."""
    start = f"{prefix}."
    return {name[len(start) :]: tensor for name, tensor in state.items() if name.startswith(start) and name != but}
