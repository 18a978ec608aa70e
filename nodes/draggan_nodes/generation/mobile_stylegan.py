"""MobileStyleGAN: a StyleGAN2 student that predicts wavelet coefficients.

Belousov 2021, "MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity Image Synthesis",
section 3. Built of depthwise-separable modulated convolutions; demodulation is folded into the weights, noise
is constant.

Style slots have the numbers of the StyleGAN2 it was distilled from: slot 0 drives the first convolution, slot
3i + 1 block i's modulation before the wavelet and its first convolution, 3i + 2 its second, and 21 the last
1x1. Slots 3, 6, ..., 18 and 22, where StyleGAN2 has its other toRGB layers, drive nothing.

Inside, maps are ``[B, rows, columns, C]``: depthwise convolutions and the wavelet are several times faster so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn
from torch.nn.functional import conv2d, leaky_relu, leaky_relu_, linear, pad

from draggan_nodes.generation.haar import inverse_haar
from draggan_nodes.generation.latents import slots_of
from draggan_nodes.generation.protocol import Level, known

Rows = tuple[int, int]


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

    def features(
        self, w_plus: torch.Tensor, levels: Iterable[str], *, slots: int | None = None
    ) -> dict[str, torch.Tensor]:
        wanted = known(levels, self)
        ws = slots_of(w_plus, slots)
        maps: dict[str, torch.Tensor] = {}
        x = self._first(ws[0])
        for i in range(-1, self._depth):
            if i >= 0:
                x = self._block(x, i, ws, (0, 2 * x.shape[1]))
            if str(x.shape[1]) in wanted:
                maps[str(x.shape[1])] = x.permute(0, 3, 1, 2)
            if maps.keys() == wanted:
                return maps
        maps["rgb"] = self._picture(self._to_rgb(x, ws))
        return maps

    @torch.no_grad()
    def image(self, w_plus: torch.Tensor) -> torch.Tensor:
        ws = list(w_plus.unbind(1))
        x = self._first(ws[0])
        for i in range(self._depth - 1):
            x = torch.cat([self._block(x, i, ws, rows) for rows in _stripes(2 * x.shape[1])], 1)
        last = self._depth - 1
        stripes = _stripes(2 * x.shape[1])
        return self._picture(torch.cat([self._to_rgb(self._block(x, last, ws, rows), ws) for rows in stripes], 1))

    def _style(self, w: torch.Tensor, layer: str) -> torch.Tensor:
        return linear(w, self._w[f"{layer}.affine.weight"], self._w[f"{layer}.affine.bias"])

    def _first(self, w: torch.Tensor) -> torch.Tensor:
        x = self._w["const"] * self._style(w, "first")[:, :, None, None]
        x = conv2d(x, self._w["first.weight"], padding=1).permute(0, 2, 3, 1)
        return self._activate(x.flatten(1, 2), "first", self._w["first.noise"]).view(x.shape)

    def _block(self, x: torch.Tensor, i: int, ws: Sequence[torch.Tensor], rows: Rows) -> torch.Tensor:
        """``rows`` of block i's output from the whole of its input ``x``."""
        last = 2 * x.shape[1]
        w1, w2 = ws[3 * i + 1], ws[3 * i + 2]
        # Each of the two 3x3 convolutions reads one more row above and below.
        rows1, rows0 = _grown(rows, 1, last), _grown(rows, 2, last)
        top, bottom = rows0[0] // 2, (rows0[1] + 1) // 2
        style = self._style(w1, f"blocks.{i}.up")[:, None, None, :]
        x = inverse_haar(x[:, top:bottom] * (style * 0.5))[:, rows0[0] - 2 * top : rows0[1] - 2 * top]
        x = self._convolution(x, f"blocks.{i}.1", w1, rows1, last)
        return self._convolution(x, f"blocks.{i}.2", w2, rows, last)

    def _convolution(self, x: torch.Tensor, layer: str, w: torch.Tensor, rows: Rows, last: int) -> torch.Tensor:
        """``rows`` of a styled convolution; ``x`` holds these and the row on either side, where there is one."""
        above, below = rows[0] == 0, rows[1] == last
        if above != below:
            x = pad(x, (0, 0, 0, 0, int(above), int(below)))
        depthwise = self._w[f"{layer}.depthwise"]
        padding = (int(above and below), 1)
        x = conv2d(x.permute(0, 3, 1, 2), depthwise, padding=padding, groups=len(depthwise))
        out = self._pointwise(x.permute(0, 2, 3, 1), layer, w)
        out = self._activate(out, layer, self._w[f"{layer}.noise"][rows[0] : rows[1]])
        return out.view(len(x), rows[1] - rows[0], x.shape[3], -1)

    def _pointwise(self, x: torch.Tensor, layer: str, w: torch.Tensor) -> torch.Tensor:
        """Modulated 1x1 convolution, ``[B, rows x columns, C]``.

        A depthwise convolution commutes with the modulation of its input, so that the modulation of the layer
        can be had in the small matrix of its 1x1.
        """
        matrix = self._w[f"{layer}.pointwise"] * self._style(w, layer)[:, None, :]
        return torch.matmul(x.flatten(1, 2), matrix.mT)

    def _activate(self, x: torch.Tensor, layer: str, noise: torch.Tensor) -> torch.Tensor:
        """``x`` ``[B, rows x columns, C]`` is overwritten."""
        return leaky_relu_(x.add_(noise.reshape(-1, 1)).add_(self._w[f"{layer}.bias"]), 0.2)

    def _to_rgb(self, x: torch.Tensor, ws: Sequence[torch.Tensor]) -> torch.Tensor:
        out = self._pointwise(x, "to_rgb", ws[3 * self._depth]).add_(self._w["to_rgb.bias"])
        return out.view(*x.shape[:3], -1)

    def _picture(self, x: torch.Tensor) -> torch.Tensor:
        return inverse_haar(x * 0.5).permute(0, 3, 1, 2)


def _grown(rows: Rows, by: int, last: int) -> Rows:
    return max(rows[0] - by, 0), min(rows[1] + by, last)


def _stripes(last: int) -> list[Rows]:
    """Large maps in stripes of a few MB: whole, they are bound by the memory's speed and by page faults."""
    step = 32 if last >= 256 else last
    return [(row, min(row + step, last)) for row in range(0, last, step)]
