"""The loss that moves handles, against explicit loops and finite differences in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from box_helpers import STRIDE, anywhere, boxes_for, random_map, value
from draggan_nodes.motion.supervision import disc, fixed_cells, mask_term, regions_read, steps_toward, supervise
from hypothesis import given, settings
from hypothesis import strategies as st

from draggan_runtime.boxes import crop, whole

SIDE = 12  # cells
OFFSETS = disc(3) * 2.0
INSIDE = np.array([[60.3, 71.9], [120.0, 100.5]])
TARGETS = np.array([[90.0, 60.0], [110.0, 140.0]])


def feature_map(seed: int = 0, channels: int = 5) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).randn(channels, SIDE, SIDE))


def loss_by_loops(
    now: np.ndarray,
    frozen: np.ndarray,
    positions: np.ndarray,
    steps: np.ndarray,
    held: tuple[np.ndarray, np.ndarray, float] | None = None,
) -> float:
    """Equation 1; F(q) is read from ``frozen``, F(q + d) from ``now``."""
    total = 0.0
    for (x, y), (dx, dy) in zip(positions, steps, strict=True):
        if dx == 0 and dy == 0:
            continue
        terms = [
            abs(a - b)
            for ox, oy in OFFSETS
            for a, b in zip(value(frozen, x + ox, y + oy), value(now, x + ox + dx, y + oy + dy), strict=True)
        ]
        total += sum(terms) / len(terms)
    if held is not None:
        reference, fixed, weight = held
        terms = [abs((now[c, j, i] - reference[c, j, i]) * fixed[j, i]) for c, j, i in np.ndindex(*now.shape)]
        total += weight * sum(terms) / len(terms)
    return total


def slopes(f: Callable[[np.ndarray], float], at: np.ndarray, where: list[tuple[int, ...]]) -> list[float]:
    """Central differences of ``f`` in some cells."""
    found = []
    for index in where:
        up, down = at.copy(), at.copy()
        up[index] += 1e-6
        down[index] -= 1e-6
        found.append((f(up) - f(down)) / 2e-6)
    return found


def some_cells(gradient: np.ndarray) -> list[tuple[int, ...]]:
    """Forty cells that matter and ten that do not."""
    random = np.random.RandomState(1)
    read, unread = np.argwhere(gradient != 0), np.argwhere(gradient == 0)
    chosen = [read[i] for i in random.permutation(len(read))[:40]]
    chosen += [unread[i] for i in random.permutation(len(unread))[:10]]
    return [tuple(int(n) for n in index) for index in chosen]


def held_cells(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    movable = torch.zeros(int(SIDE * STRIDE), int(SIDE * STRIDE), dtype=torch.uint8)
    movable[30:150, 41:170] = 1
    reference = values + torch.from_numpy(np.random.RandomState(2).randn(*values.shape))
    return reference, fixed_cells(movable, (SIDE, SIDE)), 2.5


@pytest.mark.parametrize("with_mask", [False, True])
@pytest.mark.parametrize(
    "positions",
    [INSIDE, np.array([[0.0, 0.0], [191.0, 100.0]]), np.array([[3.0, 188.0], [100.0, 1.0]])],
    ids=["inside", "on the border", "near the border"],
)
def test_loss_and_gradient_are_those_of_equation_1(positions: np.ndarray, with_mask: bool) -> None:
    values = feature_map()
    steps = steps_toward(positions, TARGETS, 2.0, 2.0)
    held = held_cells(values) if with_mask else None
    loss, (gradient,) = supervise((whole(values, STRIDE),), positions, steps, OFFSETS, held)
    assert gradient is not None
    assert gradient.dtype == torch.float64

    now = values.numpy()
    plain = (held[0].numpy(), held[1].numpy(), held[2]) if held is not None else None

    def moving(cells: np.ndarray) -> float:
        return loss_by_loops(cells, now, positions, steps, plain)

    assert loss == pytest.approx(moving(now), rel=1e-12)
    where = some_cells(gradient.numpy())
    np.testing.assert_allclose([gradient[i].item() for i in where], slopes(moving, now, where), atol=1e-7)


def test_a_small_box_gives_what_the_whole_map_gives() -> None:
    values = feature_map()
    steps = steps_toward(INSIDE, TARGETS, 2.0, 2.0)
    regions = regions_read(INSIDE, steps, OFFSETS)
    boxes = tuple(crop(values, region, STRIDE) for region in regions)
    assert all(not box.whole for box in boxes)
    loss, gradients = supervise(boxes, INSIDE, steps, OFFSETS)
    loss_whole, (gradient_whole,) = supervise((whole(values, STRIDE),), INSIDE, steps, OFFSETS)
    assert gradient_whole is not None
    assert loss == pytest.approx(loss_whole, rel=1e-14)
    summed = torch.zeros_like(values)
    for box, gradient in zip(boxes, gradients, strict=True):
        assert gradient is not None
        x, y = box.origin
        summed[:, y : y + gradient.shape[1], x : x + gradient.shape[2]] += gradient
    torch.testing.assert_close(summed, gradient_whole, rtol=0, atol=1e-15)


def test_a_box_nobody_reads_gets_no_gradient() -> None:
    values = feature_map()
    steps = steps_toward(INSIDE[:1], TARGETS[:1], 2.0, 2.0)
    unread = crop(values, (150.0, 150.0, 170.0, 170.0), STRIDE)
    _, gradients = supervise((unread, whole(values, STRIDE)), INSIDE[:1], steps, OFFSETS)
    assert gradients[0] is None
    assert gradients[1] is not None


def test_an_arrived_point_adds_nothing() -> None:
    values = feature_map()
    boxes = (whole(values, STRIDE),)
    near = np.array([INSIDE[0], TARGETS[1] + [0.9, 0.0]])
    both = supervise(boxes, near, steps_toward(near, TARGETS, 2.0, 1.0), OFFSETS)
    first = supervise(boxes, near[:1], steps_toward(near[:1], TARGETS[:1], 2.0, 1.0), OFFSETS)
    assert both[0] == first[0]
    assert torch.equal(both[1][0], first[1][0])  # type: ignore[arg-type]
    assert supervise(boxes, TARGETS, steps_toward(TARGETS, TARGETS, 2.0, 1.0), OFFSETS) == (0.0, (None,))


def test_points_outside_every_box_are_refused() -> None:
    box = crop(feature_map(), (0.0, 0.0, 40.0, 40.0), STRIDE)
    with pytest.raises(ValueError, match="no box covers"):
        supervise((box,), INSIDE, steps_toward(INSIDE, TARGETS, 2.0, 2.0), OFFSETS)


def test_descent_moves_the_pattern_along_the_step() -> None:
    """One cell to the right of the handle, descent makes the value what it was at the handle."""
    values = feature_map()
    position = np.array([[87.5, 87.5]])  # the centre of cell (5, 5)
    step = np.array([[STRIDE, 0.0]])
    moved = values.clone()
    for _ in range(1000):
        _, (gradient,) = supervise((whole(moved, STRIDE),), position, step, np.zeros((1, 2)))
        assert gradient is not None
        moved -= 0.02 * gradient
    torch.testing.assert_close(moved[:, 5, 6], values[:, 5, 5], rtol=0, atol=0.01)
    torch.testing.assert_close(moved[:, 5, 5], values[:, 5, 5], rtol=0, atol=0)


coordinate = st.floats(-2000, 2000)


@given(st.tuples(coordinate, coordinate), st.tuples(coordinate, coordinate), st.floats(0.1, 20))
def test_a_step_points_at_the_target_and_never_passes_it(
    p: tuple[float, float], target: tuple[float, float], length: float
) -> None:
    position, goal = np.array([p]), np.array([target])
    d = steps_toward(position, goal, length, 0.05)
    way = goal - position
    distance = np.linalg.norm(way)
    if distance <= 0.05:
        assert not d.any()
    else:
        assert np.linalg.norm(d) == pytest.approx(min(length, distance))
        np.testing.assert_allclose(d * distance, way * np.linalg.norm(d), atol=1e-6)


def test_the_disc_of_radius_3_has_29_places() -> None:
    offsets = disc(3)
    assert len(offsets) == 29
    assert {tuple(o) for o in offsets} >= {(3.0, 0.0), (2.0, 2.0), (0.0, 0.0)}
    assert (3.0, 1.0) not in {tuple(o) for o in offsets}


@pytest.mark.parametrize(("side", "cells"), [(48, 12), (50, 8)])
def test_fixed_cells_are_the_share_of_each_cell_s_area(side: int, cells: int) -> None:
    movable = (np.random.RandomState(0).rand(side, side) > 0.5).astype(np.uint8)
    # Every pixel cut into cells x cells parts, so that each cell is a whole number of parts.
    parts = np.kron(1.0 - movable, np.ones((cells, cells)))
    expected = parts.reshape(cells, side, cells, side).mean(axis=(1, 3))
    found = fixed_cells(torch.from_numpy(movable), (cells, cells))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@given(st.data(), anywhere(1, 4))
@settings(max_examples=25, deadline=None)
def test_many_boxes_give_what_autograd_gives_on_the_whole_map(data: st.DataObject, positions: np.ndarray) -> None:
    """Equation 1 written down once more, point by point; points may lie in one place, boxes overlap."""
    cells = random_map(3).requires_grad_()
    offsets, targets = disc(2) * 2.0, np.array([[50.0, 70.0]])
    steps = steps_toward(positions, targets, 2.0, 2.0)
    terms = [cells.sum() * 0]
    for p, d in zip(positions, steps, strict=True):
        pairs = [(value(cells.detach(), *(p + o)), value(cells, *(p + d + o))) for o in offsets]
        terms.append(torch.stack([(a - b).abs().mean() for a, b in pairs]).mean() * bool(d.any()))
    expected = torch.stack(terms).sum()
    (slope,) = torch.autograd.grad(expected, cells)

    boxes = data.draw(boxes_for(cells.detach(), positions, 6.0))
    loss, gradients = supervise(boxes, positions, steps, offsets)
    assert loss == pytest.approx(expected.item(), abs=1e-12)
    summed = torch.zeros_like(slope)
    for box, gradient in zip(boxes, gradients, strict=True):
        if gradient is not None:
            x, y = box.origin
            summed[:, y : y + gradient.shape[1], x : x + gradient.shape[2]] += gradient
    torch.testing.assert_close(summed, slope, rtol=0, atol=1e-12)


def test_68_points_are_the_sum_of_each() -> None:
    values, random = feature_map(4), np.random.RandomState(4)
    positions, targets = random.uniform(0, 191, (2, 68, 2))
    steps = steps_toward(positions, targets, 2.0, 2.0)
    boxes = tuple(crop(values, region, STRIDE) for region in regions_read(positions, steps, OFFSETS))
    loss, _ = supervise(boxes, positions, steps, OFFSETS)
    loss_whole, (gradient_whole,) = supervise((whole(values, STRIDE),), positions, steps, OFFSETS)
    alone = [
        supervise((whole(values, STRIDE),), p[None], d[None], OFFSETS) for p, d in zip(positions, steps, strict=True)
    ]
    assert loss == pytest.approx(sum(one[0] for one in alone), rel=1e-12)
    assert loss_whole == pytest.approx(loss, rel=1e-12)
    summed = torch.stack([one[1][0] for one in alone if one[1][0] is not None]).sum(dim=0)
    torch.testing.assert_close(gradient_whole, summed, rtol=0, atol=1e-13)


@pytest.mark.parametrize("channels", [5, 130])
def test_the_mask_term_is_what_autograd_says(channels: int) -> None:
    values, reference = feature_map(5, channels).requires_grad_(), feature_map(6, channels)
    reference[:, :3] = values.detach()[:, :3]  # Nothing has changed here, so nothing pulls.
    fixed = torch.from_numpy(np.random.RandomState(7).rand(SIDE, SIDE))
    expected = 2.5 * ((values - reference) * fixed).abs().mean()
    (slope,) = torch.autograd.grad(expected, values)
    loss, gradient = mask_term(values.detach(), reference, fixed, 2.5)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-13)
    torch.testing.assert_close(gradient, slope, rtol=1e-14, atol=0)
    assert not gradient[:, :3].any()
