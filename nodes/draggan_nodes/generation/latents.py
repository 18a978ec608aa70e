"""Latents as the optimiser sees them: an offset from a start, over the coarse slots."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from draggan_nodes.generation.protocol import GeneratorNetwork
from draggan_runtime.errors import UserError
from draggan_runtime.messages import Latent

#: Below this many standard deviations a distance from the picture's latent counts less and less.
NEAR = 1e-3


def to_tensor(values: Any, like: torch.Tensor) -> torch.Tensor:
    """``values`` (tensor or numpy array) with the dtype and device of ``like``."""
    # Arrays that another process sent are read-only, of which torch warns.
    if isinstance(values, np.ndarray) and not values.flags.writeable:
        values = values.copy()
    return torch.as_tensor(values, dtype=like.dtype, device=like.device)


def to_w_plus(network: GeneratorNetwork, latent: Latent) -> torch.Tensor:
    """w_plus ``[num_ws, w_dim]`` of a latent in either space.

    Raises UserError if it has another model's shape, or values that are not finite.
    """
    values = to_tensor(latent.values, network.w_mean)
    expected = (network.z_dim,) if latent.space == "z" else (network.num_ws, network.w_dim)
    if values.shape == (1, network.w_dim):  # one w for all slots, as other tools keep it
        values = values.expand(expected).clone()
    if values.shape != expected:
        raise UserError(
            f"a latent of shape {list(values.shape)} in {latent.space} does not fit model '{network.name}', "
            f"which takes {list(expected)}"
        )
    if not torch.isfinite(values).all():
        raise UserError("the latent holds values that are not finite numbers")
    if latent.space == "w_plus":
        return values
    with torch.no_grad():
        return network.mapping(values[None], latent.truncation_psi)[0]


def moved(start: torch.Tensor, offset: torch.Tensor, slots: int) -> torch.Tensor:
    """w_plus ``[num_ws, w_dim]``: ``start`` with ``offset`` added to its first ``slots`` rows.

    ``offset`` ``[1, w_dim]`` moves them together ("w"), ``[slots, w_dim]`` each by itself ("w_plus").
    """
    return torch.cat([start[:slots] + offset, start[slots:]])


def prior_gradient(distance: torch.Tensor, whitening: torch.Tensor) -> torch.Tensor:
    """Gradient of the prior ``sqrt(((distance @ whitening.T) ** 2).mean() + NEAR ** 2)`` of ``[..., rows, w_dim]``.

    The length, not its square: it pulls with the same force from near, so that what is dragged back comes home, and
    from far, so that far targets can be reached.
    """
    whitened = distance @ whitening.T
    length = (whitened.square().mean(dim=(-2, -1), keepdim=True) + NEAR**2).sqrt()
    return whitened @ whitening / (distance.shape[-2] * distance.shape[-1] * length)
