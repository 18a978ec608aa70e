"""Layers of StyleGAN2's synthesis network, each of which computes any cells of its output.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 2.2: the style modulates the
weights, ``w' = s w`` (equation 1), and demodulation, ``w'' = w' / sqrt(sum w'^2 + eps)`` (equations 2 and 3), gives
the outputs unit variance. Both scale whole channels, of the input and of the output, so the maps are scaled instead.

Of n x n cells, C_in inputs and C_out outputs, that is n^2 (C_in + C_out) products, where modulated weights are
2 * 9 C_in C_out: fewer on large maps of few channels, but with them the backward pass needs the gradient with respect
to the weights, 9 n^2 C_in C_out products: half as much again as forward and backward without it.

Maps are ``[B, C, rows, columns]`` with the channels last in memory, in which the transposed convolution runs 1.4 to
3 times, and the FIR filter 2 to 4 times, as fast as in the usual order.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu_, linear, pad

from draggan_nodes.generation.plan import Step
from draggan_nodes.generation.protocol import Window
from draggan_nodes.generation.stylegan2_state import FILTER

Modulation = tuple[torch.Tensor, torch.Tensor]


class StyledConvolution(nn.Module):
    """Modulated 3x3 convolution, with ``up`` after doubling the map, then noise, bias and leaky ReLU.

    ``state`` holds the layer's tensors, under their names within the layer. ``clamp``: the most that an output's
    magnitude may be; None: anything.
    """

    weight: torch.Tensor
    squares: torch.Tensor
    affine_weight: torch.Tensor
    affine_bias: torch.Tensor
    noise: torch.Tensor
    bias: torch.Tensor
    taps: torch.Tensor

    def __init__(self, state: Mapping[str, torch.Tensor], *, up: bool, clamp: float | None = None) -> None:
        super().__init__()
        self.up, self.clamp = up, clamp
        weight = state["weight"]
        # A convolution, where torch's are correlations; so the weights of the transposed one are as they come.
        kernel = weight.transpose(0, 1) if up else weight
        self.register_buffer("weight", kernel.contiguous(memory_format=torch.channels_last))
        self.register_buffer("squares", weight.square().sum((2, 3)))
        _register_affine(self, state, 1.0)
        # Leaky ReLU commutes with its gain, sqrt 2, which is had for nothing on what is added before it.
        self.register_buffer("noise", state["noise_const"] * state["noise_strength"] * 2**0.5)
        self.register_buffer("bias", state["bias"] * 2**0.5)
        self.register_buffer("taps", _upsampling_filter(len(weight), weight) if up else weight.new_empty(0))

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the whole output."""
        rows, columns = self.noise.shape
        return rows, columns

    @property
    def matrix(self) -> tuple[int, int]:
        """The size of the weights as a matrix, (C_out, 9 C_in)."""
        outputs, inputs = self.squares.shape
        return outputs, 9 * inputs

    @property
    def products(self) -> int:
        """For each cell of the output, but for those of the FIR filter."""
        return self.weight.numel() // (4 if self.up else 1)

    def reads(self, window: Window) -> Window:
        """The cells of the input that ``window`` of the output depends on."""
        top, bottom, left, right = self._under(window)
        rows, columns = self._size_under
        return Window(max(top - 1, 0), min(bottom + 1, rows), max(left - 1, 0), min(right + 1, columns))

    def forward(self, x: torch.Tensor, modulation: Modulation, step: Step) -> torch.Tensor:
        """What ``step`` computes of the output, from what the step before it gave."""
        style, demodulation = (step.of_latents(factors) for factors in modulation)
        x = self.convolve(step.take(x) * style[:, :, None, None], int(step.tiles.whole))
        return self.activate(x, demodulation, step.cells(self.noise))

    def window(self, x: torch.Tensor, modulation: Modulation, window: Window) -> torch.Tensor:
        """``window`` of the output, from x, the cells that it reads."""
        style, demodulation = modulation
        top, bottom, left, right = window
        x = self.convolve(self._padded(x * style[:, :, None, None], window), 0)
        if self.up:
            x = x[:, :, top % 2 : top % 2 + bottom - top, left % 2 : left % 2 + right - left]
        return self.activate(x, demodulation, self.noise[top:bottom, left:right])

    def modulation(self, w: torch.Tensor) -> Modulation:
        """Factors of the input's channels ``[B, C_in]``, and of the output's ``[B, C_out]``.

        ``sum w'^2`` over inputs and taps is a product of s^2 with a constant matrix.
        """
        style = linear(w, self.affine_weight, self.affine_bias)
        return style, torch.rsqrt(linear(style.square(), self.squares) + 1e-8) * 2**0.5

    def plus(self, change: torch.Tensor) -> dict[str, torch.Tensor]:
        """The buffers that differ if ``change`` ``[C_out, 9 C_in]`` is added to the weights ``[C_out, C_in, 3, 3]``."""
        weight = self.weight.transpose(0, 1) if self.up else self.weight
        weight = weight + change.view(weight.shape)
        kernel = weight.transpose(0, 1) if self.up else weight
        kernel = kernel.contiguous(memory_format=torch.channels_last)
        return {"weight": kernel, "squares": weight.square().sum((2, 3))}

    def convolve(self, x: torch.Tensor, padding: int) -> torch.Tensor:
        """The convolution alone: of a whole map with padding 1, of a window and a cell around it with 0.

        Upsampling: a transposed convolution, then the FIR filter; 9 products an input cell, where the filter
        before the convolution would take 36.
        """
        if not self.up:
            return conv2d(x, self.weight, padding=padding)
        x = conv_transpose2d(x, self.weight, stride=2, padding=1 - padding)
        return conv2d(x, self.taps, padding=padding, groups=len(self.taps))

    def activate(self, x: torch.Tensor, demodulation: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """``noise`` ``[rows, columns]`` or ``[T, 1, rows, columns]`` is that of the cells in ``x``."""
        x = torch.addcmul(self.bias[:, None, None], x, demodulation[:, :, None, None])
        x = leaky_relu_(x.add_(noise), 0.2)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    @property
    def _size_under(self) -> tuple[int, int]:
        """Rows and columns of the input."""
        rows, columns = self.size
        return (rows // 2, columns // 2) if self.up else (rows, columns)

    def _under(self, window: Window) -> Window:
        """The cells of the input that lie under ``window`` of the output."""
        top, bottom, left, right = window
        return Window(top // 2, (bottom + 1) // 2, left // 2, (right + 1) // 2) if self.up else window

    def _padded(self, x: torch.Tensor, window: Window) -> torch.Tensor:
        """Zeros around ``x`` where ``window`` reads over the map's border."""
        top, bottom, left, right = self._under(window)
        rows, columns = self._size_under
        return pad(x, (int(left == 0), int(right == columns), int(top == 0), int(bottom == rows)))


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to RGB, without demodulation (Karras et al. 2020, section 4.1).

    Here weights are modulated: there are but 3 a channel. ``clamp`` as for the convolutions.
    """

    weight: torch.Tensor
    affine_weight: torch.Tensor
    affine_bias: torch.Tensor
    bias: torch.Tensor

    def __init__(self, state: Mapping[str, torch.Tensor], clamp: float | None = None) -> None:
        super().__init__()
        self.clamp = clamp
        weight = state["weight"][:, :, 0, 0]
        self.register_buffer("weight", weight.clone())
        _register_affine(self, state, weight.shape[1] ** -0.5)
        self.register_buffer("bias", state["bias"])

    @property
    def matrix(self) -> tuple[int, int]:
        """The size of the weights, (3, C)."""
        return self.weight.shape[0], self.weight.shape[1]

    def plus(self, change: torch.Tensor) -> dict[str, torch.Tensor]:
        """The buffer that differs if ``change`` ``[3, C]`` is added to the weights."""
        return {"weight": self.weight + change}

    def style(self, w: torch.Tensor) -> torch.Tensor:
        """``[B, C]`` of w ``[B, w_dim]``."""
        return linear(w, self.affine_weight, self.affine_bias)

    def forward(self, x: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        """``[B, 3, rows, columns]`` of any cells x ``[B, C, rows, columns]``; ``style`` of each, or one for all."""
        matrix = self.weight * style[:, None, :]
        cells = x.permute(0, 2, 3, 1).flatten(1, 2)
        out = torch.matmul(cells, matrix.mT) + self.bias
        if self.clamp is not None:
            out = out.clamp(-self.clamp, self.clamp)
        return out.view(len(x), *x.shape[2:], 3).permute(0, 3, 1, 2)


def upsample(rgb: torch.Tensor, around: int = 0) -> torch.Tensor:
    """Twice the rows and columns of ``rgb`` ``[B, C, rows, columns]``, by zeros between and the FIR filter.

    But for those ``around`` on each side, which are only read; beyond them, zeros.
    """
    taps = _upsampling_filter(rgb.shape[1], rgb)
    return conv_transpose2d(rgb, taps, stride=2, padding=1 + 2 * around, groups=rgb.shape[1])


def _upsampling_filter(channels: int, like: torch.Tensor) -> torch.Tensor:
    """``[channels, 1, 4, 4]`` with a sum of 4, since three of four cells are zeros."""
    taps = like.new_tensor(FILTER) / (sum(FILTER) / 2)
    return taps.outer(taps).repeat(channels, 1, 1, 1)


def _register_affine(layer: nn.Module, state: Mapping[str, torch.Tensor], gain: float) -> None:
    """The map from w to a style, equalised learning rate (Karras et al. 2018, section 4.1) and ``gain`` folded in."""
    weight = state["affine.weight"]
    layer.register_buffer("affine_weight", weight * (gain * weight.shape[1] ** -0.5))
    layer.register_buffer("affine_bias", state["affine.bias"] * gain)
