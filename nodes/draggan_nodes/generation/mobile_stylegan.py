"""MobileStyleGAN: a StyleGAN2 student that predicts wavelet coefficients.

Belousov 2021, "MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity Image Synthesis",
section 3. Built of depthwise-separable modulated convolutions; demodulation is folded into the weights, noise
is constant.

Style slots have the numbers of the StyleGAN2 it was distilled from: slot 0 drives the first convolution, slot
3i + 1 block i's modulation before the wavelet and its first convolution, 3i + 2 its second, and 21 the last
1x1. Slots 3, 6, ..., 18 and 22, where StyleGAN2 has its other toRGB layers, drive nothing.

Styles scale the maps, not the weights: n cells of C_in channels are n C_in products, forward and backward, where scaled
weights are C_in C_out, and n C_in C_out for their gradient. Of the whole map of 64 rows a step takes 66 ms so, 81 with
scaled weights; of 6 x 6 cells of it the weights would be most of the work.

Inside, maps are ``[B, rows, columns, C]``: depthwise convolutions and the wavelet are several times faster so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Self

import torch
from torch import nn
from torch.nn.functional import conv2d, leaky_relu, leaky_relu_, linear, pad

from draggan_nodes.generation.buffers import with_buffers
from draggan_nodes.generation.compute import Layered
from draggan_nodes.generation.haar import inverse_haar
from draggan_nodes.generation.plan import Step
from draggan_nodes.generation.protocol import Level
from draggan_nodes.generation.styles import Styles

Rows = tuple[int, int]


class _Weights(nn.Module):
    """Tensors under dotted names, as buffers: they move with the module and never want gradients."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(buffer(name), tensor)

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.get_buffer(buffer(name))


def buffer(name: str) -> str:
    """A tensor's name as that of a buffer, in which there may be no dots."""
    return name.replace(".", "/")


class MobileStyleGAN(Layered, nn.Module):
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

    @torch.no_grad()
    def image(self, w_plus: torch.Tensor) -> torch.Tensor:
        styles = Styles(w_plus)
        x = self._first(styles, self.constant_of(w_plus)).permute(0, 2, 3, 1)
        for i in range(self._depth - 1):
            x = torch.cat([self._block(x, i, styles, rows) for rows in _stripes(2 * x.shape[1])], 1)
        last = self._depth - 1
        stripes = _stripes(2 * x.shape[1])
        style = self._rgb_style(styles)
        rgb = [self._to_rgb(self._block(x, last, styles, rows), style) for rows in stripes]
        return self._picture(torch.cat(rgb, 1))

    @cached_property
    def tunable(self) -> Mapping[str, tuple[int, int]]:
        layers = [f"blocks.{i}.{number}" for i in range(self._depth) for number in (1, 2)]
        shapes = {f"{layer}.pointwise": self._w[f"{layer}.pointwise"].shape for layer in [*layers, "to_rgb"]}
        return {name: (shape[0], shape[1]) for name, shape in shapes.items()}

    def tuned(self, changes: Mapping[str, torch.Tensor]) -> Self:
        return with_buffers(self, {f"_w.{buffer(name)}": self._w[name] + more for name, more in changes.items()})

    @property
    def constant(self) -> torch.Tensor:
        return self._w["const"]

    @cached_property
    def products_by_cell(self) -> Sequence[int]:
        by_cell = [self._w["first.weight"].numel()]
        for i in range(self._depth):
            for layer in (f"blocks.{i}.1", f"blocks.{i}.2"):
                by_cell.append(self._w[f"{layer}.depthwise"].numel() + self._w[f"{layer}.pointwise"].numel())
        return [*by_cell, self._w["to_rgb.pointwise"].numel() // 4]

    def rgb(
        self, styles: Styles, i: int, x: torch.Tensor, before: torch.Tensor | None, step: Step
    ) -> torch.Tensor | None:
        """What the last layer gives, and no other."""
        return x if i == 2 * self._depth + 1 else None

    def layer(self, styles: Styles, i: int, x: torch.Tensor, step: Step) -> torch.Tensor:
        """What ``step`` computes of layer i, from what the layer before gave; ``[T, C, rows, columns]``."""
        if i == 0:
            return self._first(styles, x)
        block, number = (i - 1) // 2, 2 - i % 2
        x = step.take(x).permute(0, 2, 3, 1)
        if block == self._depth:  # the picture, made of the last map as a block is, but of no cells around its own
            x = x if step.tiles.whole else x[:, 1:-1, 1:-1]
            return self._picture(self._to_rgb(x, step.of_latents(self._rgb_style(styles))))
        if number == 1:
            x = self._up(x, step.of_latents(self._style(styles, f"blocks.{block}.up", 3 * block + 1)))
            x = x if step.tiles.whole else x[:, 1:-1, 1:-1]
        layer = f"blocks.{block}.{number}"
        style = step.of_latents(self._style(styles, layer, 3 * block + number))
        noise = step.cells(self._w[f"{layer}.noise"])
        return self._convolution(x, layer, style, noise, int(step.tiles.whole)).permute(0, 3, 1, 2)

    def _style(self, styles: Styles, layer: str, slot: int) -> torch.Tensor:
        """``[B, C_in]``."""
        weight, bias = self._w[f"{layer}.affine.weight"], self._w[f"{layer}.affine.bias"]
        return styles.of(layer, slot, lambda w: linear(w, weight, bias))

    def _first(self, styles: Styles, constant: torch.Tensor) -> torch.Tensor:
        x = conv2d(constant * self._style(styles, "first", 0)[:, :, None, None], self._w["first.weight"], padding=1)
        return self._activate(x.permute(0, 2, 3, 1), "first", self._w["first.noise"]).permute(0, 3, 1, 2)

    def _block(self, x: torch.Tensor, i: int, styles: Styles, rows: Rows) -> torch.Tensor:
        """``rows`` of block i's output from the whole of its input ``x``."""
        last = 2 * x.shape[1]
        # Each of the two 3x3 convolutions reads one more row above and below.
        rows1, rows0 = _grown(rows, 1, last), _grown(rows, 2, last)
        top, bottom = rows0[0] // 2, (rows0[1] + 1) // 2
        x = self._up(x[:, top:bottom], self._style(styles, f"blocks.{i}.up", 3 * i + 1))
        x = self._rows(x[:, rows0[0] - 2 * top : rows0[1] - 2 * top], i, 1, styles, rows1, last)
        return self._rows(x, i, 2, styles, rows, last)

    def _rows(self, x: torch.Tensor, i: int, number: int, styles: Styles, rows: Rows, last: int) -> torch.Tensor:
        """``rows`` of a styled convolution; ``x`` holds these and the row on either side, where there is one."""
        layer = f"blocks.{i}.{number}"
        above, below = rows[0] == 0, rows[1] == last
        if above != below:
            x = pad(x, (0, 0, 0, 0, int(above), int(below)))
        style = self._style(styles, layer, 3 * i + number)
        noise = self._w[f"{layer}.noise"][rows[0] : rows[1]]
        return self._convolution(x, layer, style, noise, (int(above and below), 1))

    def _up(self, x: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        return inverse_haar(x * (style * 0.5)[:, None, None, :])

    def _convolution(
        self, x: torch.Tensor, layer: str, style: torch.Tensor, noise: torch.Tensor, padding: int | tuple[int, int]
    ) -> torch.Tensor:
        """A styled convolution of ``[B, rows, columns, C]``, padded with that many zeros on each side."""
        depthwise = self._w[f"{layer}.depthwise"]
        x = conv2d(x.permute(0, 3, 1, 2), depthwise, padding=padding, groups=len(depthwise)).permute(0, 2, 3, 1)
        # A depthwise convolution commutes with the modulation of its input.
        factors = style[:, None, None, :]
        x = x * factors if torch.is_grad_enabled() else x.mul_(factors)
        return self._activate(linear(x, self._w[f"{layer}.pointwise"]), layer, noise)

    def _activate(self, x: torch.Tensor, layer: str, noise: torch.Tensor) -> torch.Tensor:
        """``x`` is overwritten; ``noise`` ``[rows, columns]`` or ``[T, 1, rows, columns]`` is that of its cells."""
        noise = noise.unsqueeze(-1) if noise.dim() == 2 else noise.permute(0, 2, 3, 1)
        return leaky_relu_(x.add_(noise).add_(self._w[f"{layer}.bias"]), 0.2)

    def _rgb_style(self, styles: Styles) -> torch.Tensor:
        return self._style(styles, "to_rgb", 3 * self._depth)

    def _to_rgb(self, x: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        return linear(x * style[:, None, None, :], self._w["to_rgb.pointwise"], self._w["to_rgb.bias"])

    def _picture(self, x: torch.Tensor) -> torch.Tensor:
        return inverse_haar(x * 0.5).permute(0, 3, 1, 2)


def _grown(rows: Rows, by: int, last: int) -> Rows:
    return max(rows[0] - by, 0), min(rows[1] + by, last)


def _stripes(last: int) -> list[Rows]:
    """Large maps in stripes of a few MB: whole, they are bound by the memory's speed and by page faults."""
    step = 32 if last >= 256 else last
    return [(row, min(row + step, last)) for row in range(0, last, step)]
