"""Motion supervision: the loss that moves handles toward their targets (DragGAN, section 3.2, equation 1).

Plain functions on feature boxes. Positions are px of the full output; a float64 box gives a float64 loss.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch

from draggan_runtime.boxes import Region, bounds, covering, sample
from draggan_runtime.messages import Box, Boxes

Array = np.ndarray[Any, np.dtype[np.float64]]


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


def regions_read(positions: Array, steps: Array, offsets: Array) -> list[Region]:
    """The region :func:`supervise` reads for each point that moves: its disc before and after the step."""
    return [
        bounds(np.concatenate([p + offsets, p + d + offsets])) for p, d in zip(positions, steps, strict=True) if d.any()
    ]


def motion_loss(box: Box, position: Array, step: Array, offsets: Array) -> torch.Tensor:
    """Mean over disc and channels of ``|sg F(q) - F(q + d)|`` for one point; ``sg`` stops the gradient."""
    q = position + offsets
    return (sample(box, q).detach() - sample(box, q + step)).abs().mean()


def fixed_cells(movable: torch.Tensor, map_size: tuple[int, int]) -> torch.Tensor:
    """1 - M: how much of each cell must stay, float32 ``[rows, columns]``.

    ``movable`` ``[H, W]``, non-zero = may move, averaged over each cell's area; ``map_size`` (columns, rows).
    """
    fixed = (movable == 0).cpu().numpy().astype(np.float32)
    return torch.from_numpy(cv2.resize(fixed, map_size, interpolation=cv2.INTER_AREA))


def mask_loss(values: torch.Tensor, reference: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
    """Mean over all cells and channels of ``|(F - F0)(1 - M)|``; ``fixed`` ``[rows, columns]`` is 1 - M."""
    return ((values - reference) * fixed).abs().mean()


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
    leaves: dict[int, torch.Tensor] = {}

    def leaf(index: int | None) -> Box:
        if index is None:
            raise ValueError("no box covers what the loss reads")
        box = boxes[index]
        if index not in leaves:
            leaves[index] = torch.as_tensor(box.values).detach().clone().requires_grad_()
        return replace(box, values=leaves[index])

    moving = steps.any(axis=1)
    regions = regions_read(positions, steps, offsets)
    terms = [
        motion_loss(leaf(covering(boxes, region)), position, step, offsets)
        for region, position, step in zip(regions, positions[moving], steps[moving], strict=True)
    ]
    if held is not None:
        reference, fixed, weight = held
        values = torch.as_tensor(leaf(whole_index(boxes)).values)
        terms.append(weight * mask_loss(values, reference.to(values), fixed.to(values)))
    if not terms:
        return 0.0, (None,) * len(boxes)
    loss = torch.stack(terms).sum()
    gradients = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    return float(loss.detach()), tuple(gradients.get(index) for index in range(len(boxes)))
