"""Motion supervision: the loss that moves handles toward their targets (DragGAN, section 3.2, equation 1).

Plain functions on feature boxes. Positions are px of the full output; a float64 box gives a float64 loss.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
import torch

from draggan_runtime.box_set import BoxSet, bounds
from draggan_runtime.box_table import Table
from draggan_runtime.messages import Boxes

Array = np.ndarray[Any, np.dtype[np.float64]]


@cache
def disc(radius: float) -> Array:
    """Omega_1: every integer offset ``[K, 2]`` (x, y) within ``radius`` of the centre."""
    reach = int(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).astype(np.float64)
    inside = x**2 + y**2 <= radius**2
    return np.stack([x[inside], y[inside]], axis=1)


def steps_toward(positions: Array, targets: Array, length: float, arrived: float) -> Array:
    """d ``[P, 2]``: ``length`` px from each position toward its target, or the rest of the way if shorter.

    Zero for a point within ``arrived`` px of its target.
    """
    way = targets - positions
    distance = np.linalg.norm(way, axis=1, keepdims=True)
    d = way * np.minimum(1.0, length / np.maximum(distance, 1e-12))
    return np.where(distance <= arrived, 0.0, d)


def discs(positions: Array, steps: Array, offsets: Array) -> Array:
    """The disc around each of the M points that move, before and after the step: ``[M, 2K, 2]`` px."""
    moving = steps.any(axis=1)
    before = positions[moving, None]
    after = before + steps[moving, None]
    return np.concatenate([before + offsets, after + offsets], axis=1)


def regions_read(positions: Array, steps: Array, offsets: Array) -> Array:
    """The regions ``[M, 4]`` px that :func:`supervise` reads, one for each of the M points that move."""
    return bounds(discs(positions, steps, offsets))


def fixed_cells(movable: torch.Tensor, map_size: tuple[int, int]) -> torch.Tensor:
    """1 - M: how much of each cell must stay, float32 ``[rows, columns]``.

    ``movable`` ``[H, W]``, non-zero = may move, averaged over each cell's area; ``map_size`` (columns, rows).
    """
    fixed = (movable == 0).cpu().numpy().astype(np.float32)
    return torch.from_numpy(cv2.resize(fixed, map_size, interpolation=cv2.INTER_AREA))


def mask_term(
    values: torch.Tensor, reference: torch.Tensor, fixed: torch.Tensor, weight: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """``weight`` times the mean over all cells and channels of ``|(F - F0)(1 - M)|``, and its gradient by F.

    ``values`` and ``reference`` ``[C, rows, columns]``; ``fixed`` ``[rows, columns]`` is 1 - M.
    """
    share = fixed * (weight / values.numel())
    difference = values - reference
    # In parts, since fresh memory for a second whole map costs more than the arithmetic.
    change = torch.stack([part.abs().sum(dim=0) for part in torch.split(difference, 64)]).sum(dim=0)
    return (change * share).sum(), difference.sign_().mul_(share)


def whole_index(boxes: Boxes) -> int | None:
    """Index of the box that is the whole map, or None."""
    return next((i for i, box in enumerate(boxes) if box.whole), None)


def supervise(
    boxes: Boxes,
    positions: Array,
    steps: Array,
    offsets: Array,
    held: tuple[torch.Tensor, torch.Tensor, float] | None = None,
) -> tuple[float, tuple[torch.Tensor | None, ...]]:
    """The loss and its gradient with respect to each box's values, None for a box the loss does not read.

    ``positions``, ``steps`` ``[P, 2]`` and ``offsets`` ``[K, 2]`` px; a point whose step is zero adds
    nothing. ``held``: reference map ``[C, rows, columns]``, fixed cells ``[rows, columns]``, lambda; one of
    the boxes must then be the whole map. Raises ValueError if the boxes do not cover what is read.
    """
    gradients: list[torch.Tensor | None] = [None] * len(boxes)
    losses = []
    if held is not None:
        index = whole_index(boxes)
        if index is None:
            raise ValueError("no box is the whole map, which the mask term reads")
        reference, fixed, weight = held
        values = torch.as_tensor(boxes[index].values).detach()
        loss, gradient = mask_term(values, reference.to(values), fixed.to(values), weight)
        losses.append(loss)
        gradients[index] = gradient.contiguous()
    places = discs(positions, steps, offsets)
    if len(places):
        losses.append(_pull(BoxSet(boxes), places, gradients))
    return float(sum(losses)), tuple(gradients)


@torch.no_grad()
def _pull(boxes: BoxSet, places: Array, gradients: list[torch.Tensor | None]) -> torch.Tensor:
    """The loss of the points that move, whose discs are ``places`` ``[M, 2K, 2]``; its gradient goes to ``gradients``.

    Of ``|sg F(q) - F(q + d)|`` the slope with F(q + d) is plus or minus one.
    """
    which = boxes.covering(bounds(places))
    if (which < 0).any():
        raise ValueError("no box covers what the loss reads")
    reads = boxes.reads(which, places)
    table = Table(boxes, reads)
    k = places.shape[1] // 2
    values = table.read(reads)
    difference = values[:, k:] - values[:, :k]
    mean = 1 / (k * values.shape[2])
    table.add_to(gradients, table.spread(reads[:, k:], difference.sign() * mean))
    loss: torch.Tensor = difference.abs().sum() * mean
    return loss
