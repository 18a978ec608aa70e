"""StyleGAN2's mapping network, z -> w.

Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks", section 2.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.functional import leaky_relu, linear, one_hot

from draggan_nodes.generation.stylegan2_state import MAPPING_LR_MULTIPLIER


class MappingNetwork(nn.Module):
    """Fully connected layers with leaky ReLU; a class is embedded and joined to z.

    ``state`` holds ``fc0.weight``, ..., and ``embed.weight`` if conditional. Weights are stored for a runtime
    scale of ``1 / sqrt(inputs)`` (Karras et al. 2018, section 4.1) times the learning-rate multiplier.
    """

    def __init__(self, state: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self._depth = sum(name.startswith("fc") for name in state) // 2
        self._c_dim = state["embed.weight"].shape[1] if "embed.weight" in state else 0
        if self._c_dim:
            self._add("embed", state, 1.0, 1.0)
        for i in range(self._depth):
            # The leaky ReLU commutes with its gain, sqrt 2.
            self._add(f"fc{i}", state, MAPPING_LR_MULTIPLIER, 2**0.5)

    def _add(self, layer: str, state: Mapping[str, torch.Tensor], lr_multiplier: float, gain: float) -> None:
        weight = state[f"{layer}.weight"]
        scale = lr_multiplier * gain
        self.register_buffer(f"{layer}_weight", weight * (scale * weight.shape[1] ** -0.5))
        self.register_buffer(f"{layer}_bias", state[f"{layer}.bias"] * scale)

    def forward(self, z: torch.Tensor, c: torch.Tensor | None) -> torch.Tensor:
        """w ``[B, w_dim]`` of z ``[B, z_dim]`` and, if conditional, c ``[B, c_dim]`` (a row of 0 with a 1)."""
        x = _normalised(z)
        if self._c_dim and c is not None:
            x = torch.cat([x, _normalised(self._linear(c, "embed"))], 1)
        for i in range(self._depth):
            x = leaky_relu(self._linear(x, f"fc{i}"), 0.2)
        return x

    def any_w(self, z: torch.Tensor, label: int | None = None) -> torch.Tensor:
        """w ``[B, w_dim]`` of z ``[B, z_dim]`` for a class, without one for all classes in turn."""
        if not self._c_dim:
            return self(z, None)  # type: ignore[no-any-return]
        labels = torch.arange(len(z)) % self._c_dim if label is None else torch.full((len(z),), label)
        return self(z, one_hot(labels, self._c_dim).to(z))  # type: ignore[no-any-return]

    def _linear(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        return linear(x, self.get_buffer(f"{layer}_weight"), self.get_buffer(f"{layer}_bias"))


def _normalised(x: torch.Tensor) -> torch.Tensor:
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)
