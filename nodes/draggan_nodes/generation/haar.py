"""The inverse Haar wavelet transform on maps with channels last."""

from __future__ import annotations

from typing import Any, cast

import torch


def inverse_haar(bands: torch.Tensor) -> torch.Tensor:
    """``[B, h, w, 4 C]`` -> ``[B, 2 h, 2 w, C]``, twice the orthonormal inverse transform.

    The last axis holds L, LH, HL, HH, C channels each. Callers halve the bands, which most scale anyway.
    """
    return cast(torch.Tensor, _InverseHaar.apply(bands))  # type: ignore[no-untyped-call]


class _InverseHaar(torch.autograd.Function):
    """Autograd through writes into slices would copy the whole map for each of them."""

    @staticmethod
    def forward(ctx: Any, bands: torch.Tensor) -> torch.Tensor:
        batch, h, w, _ = bands.shape
        low, lh, hl, hh = bands.chunk(4, -1)
        out = bands.new_empty(batch, h, 2, w, 2, low.shape[-1])
        _butterfly(low + lh, hl + hh, out[:, :, 0, :, 0], out[:, :, 0, :, 1])
        _butterfly(low - lh, hl - hh, out[:, :, 1, :, 0], out[:, :, 1, :, 1])
        return out.view(batch, 2 * h, 2 * w, -1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        batch, rows, columns, c = gradient.shape
        g = gradient.reshape(batch, rows // 2, 2, columns // 2, 2, c)
        (a, b), (d, e) = (g[:, :, row].unbind(3) for row in (0, 1))
        out = g.new_empty(batch, rows // 2, columns // 2, 4, c)
        _butterfly(a + b, d + e, out[..., 0, :], out[..., 1, :])
        _butterfly(a - b, d - e, out[..., 2, :], out[..., 3, :])
        return out.flatten(3)


def _butterfly(a: torch.Tensor, b: torch.Tensor, plus: torch.Tensor, minus: torch.Tensor) -> None:
    torch.add(a, b, out=plus)
    torch.sub(a, b, out=minus)
