"""MobileStyleGAN: a StyleGAN2 student that predicts wavelet coefficients.

Belousov 2021, "MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity Image Synthesis",
section 3. Built of depthwise-separable modulated convolutions; demodulation is folded into the weights, noise
is constant.

Style slots have the numbers of the StyleGAN2 it was distilled from: slot 0 drives the first convolution, slot
3i + 1 block i's modulation before the wavelet and its first convolution, 3i + 2 its second, and 21 the last
1x1. Slots 3, 6, ..., 18 and 22, where StyleGAN2 has its other toRGB layers, drive nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn
from torch.nn.functional import conv2d, leaky_relu, leaky_relu_, linear

from draggan_nodes.generation.protocol import Level


def inverse_haar(x: torch.Tensor) -> torch.Tensor:
    """Inverse 2D Haar wavelet transform: ``[B, 4 C, h, w]`` -> ``[B, C, 2 h, 2 w]``.

    The first C channels are L; then (LH, HL, HH) for each channel in turn.
    """
    batch, channels, h, w = x.shape
    c = channels // 4
    low = x[:, :c] * 0.5
    lh, hl, hh = (x[:, c:].view(batch, c, 3, h, w) * 0.5).unbind(2)
    even, odd = low + lh, low - lh
    diagonal, anti = hl + hh, hl - hh
    out = x.new_empty(batch, c, h, 2, w, 2)
    out[:, :, :, 0, :, 0] = even + diagonal
    out[:, :, :, 0, :, 1] = even - diagonal
    out[:, :, :, 1, :, 0] = odd + anti
    out[:, :, :, 1, :, 1] = odd - anti
    return out.view(batch, c, 2 * h, 2 * w)


class _Weights(nn.Module):
    """Tensors under dotted names, as buffers: they move with the module and never want gradients."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name.replace(".", "/"), tensor)

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.get_buffer(name.replace(".", "/"))


class MobileStyleGAN(nn.Module):
    """The network; implements :class:`~draggan_nodes.generation.protocol.GeneratorNetwork`.

    ``tensors`` are those that :func:`~draggan_nodes.generation.convert.convert` makes.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], *, name: str, sha256: str) -> None:
        super().__init__()
        self._w = _Weights(tensors)
        self._name, self._sha256 = name, sha256
        self._depth = sum(key.endswith(".up.affine.weight") for key in tensors)
        self._layers = sum(key.startswith("mapping.") for key in tensors) // 2
        side = tensors["const"].shape[-1] << self._depth + 1
        self._side = side
        levels = {"4": Level(side / 4, tensors["first.bias"].shape[0], 1)}
        for i in range(self._depth):
            rows = tensors["const"].shape[-1] << i + 1
            levels[str(rows)] = Level(side / rows, tensors[f"blocks.{i}.2.bias"].shape[0], 3 * i + 3)
        levels["rgb"] = Level(1.0, 3, 3 * self._depth + 1)
        self._levels = levels

    @property
    def name(self) -> str:
        return self._name

    @property
    def sha256(self) -> str:
        return self._sha256

    @property
    def size(self) -> tuple[int, int]:
        return self._side, self._side

    @property
    def z_dim(self) -> int:
        return int(self._w["mapping.0.weight"].shape[1])

    @property
    def w_dim(self) -> int:
        return int(self.w_mean.shape[0])

    @property
    def num_ws(self) -> int:
        return 3 * self._depth + 2

    @property
    def coarse_slots(self) -> int:
        return 10

    @property
    def levels(self) -> Mapping[str, Level]:
        return self._levels

    @property
    def w_mean(self) -> torch.Tensor:
        return self._w["w_mean"]

    @property
    def w_whitening(self) -> torch.Tensor:
        return self._w["w_whitening"]

    @property
    def device(self) -> torch.device:
        return self.w_mean.device

    def map_w(self, z: torch.Tensor) -> torch.Tensor:
        """w ``[B, w_dim]`` of z ``[B, z_dim]``, without truncation."""
        x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for i in range(self._layers):
            x = leaky_relu(linear(x, self._w[f"mapping.{i}.weight"], self._w[f"mapping.{i}.bias"]), 0.2) * 2**0.5
        return x

    def mapping(self, z: torch.Tensor, truncation_psi: float = 1.0) -> torch.Tensor:
        w = self.w_mean + truncation_psi * (self.map_w(z) - self.w_mean)
        return w[:, None].expand(-1, self.num_ws, -1).contiguous()

    def features(self, w_plus: torch.Tensor, levels: Iterable[str]) -> dict[str, torch.Tensor]:
        wanted = set(levels)
        if unknown := wanted - self._levels.keys():
            raise KeyError(f"no level {sorted(unknown)}")
        maps: dict[str, torch.Tensor] = {}
        x = self._first(w_plus[:, 0])
        for i in range(-1, self._depth):
            if i >= 0:
                x = self._block(x, i, w_plus[:, 3 * i + 1], w_plus[:, 3 * i + 2])
            rows = str(x.shape[-2])
            if rows in wanted:
                maps[rows] = x
            if maps.keys() == wanted:
                return maps
        maps["rgb"] = self._to_rgb(x, w_plus[:, 3 * self._depth])
        return maps

    def image(self, w_plus: torch.Tensor) -> torch.Tensor:
        return self.features(w_plus, ["rgb"])["rgb"]

    def _style(self, w: torch.Tensor, layer: str) -> torch.Tensor:
        return linear(w, self._w[f"{layer}.affine.weight"], self._w[f"{layer}.affine.bias"])

    def _first(self, w: torch.Tensor) -> torch.Tensor:
        x = self._w["const"] * self._style(w, "first")[:, :, None, None]
        return self._activate(conv2d(x, self._w["first.weight"], padding=1), "first")

    def _block(self, x: torch.Tensor, i: int, w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
        x = inverse_haar(x * self._style(w1, f"blocks.{i}.up")[:, :, None, None])
        return self._convolution(self._convolution(x, f"blocks.{i}.1", w1), f"blocks.{i}.2", w2)

    def _convolution(self, x: torch.Tensor, layer: str, w: torch.Tensor) -> torch.Tensor:
        depthwise = self._w[f"{layer}.depthwise"]
        x = conv2d(x, depthwise, padding=1, groups=depthwise.shape[0])
        return self._activate(self._pointwise(x, layer, w), layer)

    def _pointwise(self, x: torch.Tensor, layer: str, w: torch.Tensor) -> torch.Tensor:
        """Modulated 1x1 convolution.

        A depthwise convolution commutes with the modulation of its input, so that the modulation of the layer
        can be had in the small matrix of its 1x1.
        """
        matrix = self._w[f"{layer}.pointwise"] * self._style(w, layer)[:, None, :]
        return torch.matmul(matrix, x.flatten(2)).view(len(x), -1, *x.shape[2:])

    def _activate(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        x = x.add_(self._w[f"{layer}.noise"]).add_(self._w[f"{layer}.bias"][:, None, None])
        return leaky_relu_(x, 0.2)

    def _to_rgb(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return inverse_haar(self._pointwise(x, "to_rgb", w).add_(self._w["to_rgb.bias"][:, None, None]))
