"""Adam as a function (Kingma & Ba 2015, algorithm 1), so that its state is data that can be saved."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Moments:
    """First and second moment, shaped as the parameter, after ``count`` updates."""

    first: torch.Tensor
    second: torch.Tensor
    count: int = 0


def no_moments(parameter: torch.Tensor) -> Moments:
    """The moments before the first update."""
    return Moments(torch.zeros_like(parameter), torch.zeros_like(parameter))


def adam(
    gradient: torch.Tensor,
    moments: Moments,
    *,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    isotropic: bool = False,
) -> tuple[torch.Tensor, Moments]:
    """One update: what to add to the parameter, and the new moments; the arguments stay as they are.

    ``isotropic``: one second moment for all coordinates, their mean. The update then has the first moment's direction,
    and turns with the coordinates, as the gradient does.
    """
    beta1, beta2 = betas
    count = moments.count + 1
    square = gradient.square()
    if isotropic:
        square = square.mean().expand_as(square)
    first = beta1 * moments.first + (1 - beta1) * gradient
    second = beta2 * moments.second + (1 - beta2) * square
    scale = (second / (1 - beta2**count)).sqrt() + epsilon
    return -learning_rate / (1 - beta1**count) * first / scale, Moments(first, second, count)
