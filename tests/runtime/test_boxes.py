"""Reading many positions of many boxes at once, against one position at a time of the whole map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from box_helpers import COLUMNS, ROWS, STRIDE, anywhere, boxes_for, random_map, value
from hypothesis import given, settings
from hypothesis import strategies as st

from draggan_runtime.box_set import BoxSet, bounds
from draggan_runtime.box_table import Table
from draggan_runtime.boxes import around, covering, crop, sample, whole

REACH = 11.0
AROUND = np.array([(0, 0), (REACH, 0), (-REACH, REACH), (3.3, -REACH)])


def by_hand(cells: torch.Tensor, places: np.ndarray) -> torch.Tensor:
    flat = [value(cells, x, y) for x, y in places.reshape(-1, 2)]
    return torch.stack(flat).view(*places.shape[:2], -1)


@given(st.data(), anywhere())
@settings(max_examples=60, deadline=None)
def test_every_value_is_the_whole_map_s(data: st.DataObject, positions: np.ndarray) -> None:
    cells = random_map(0)
    boxes = BoxSet(data.draw(boxes_for(cells, positions, REACH)))
    places = positions[:, None] + AROUND
    reads = boxes.reads(boxes.covering(bounds(places)), places)
    torch.testing.assert_close(Table(boxes, reads).read(reads), by_hand(cells, places), rtol=0, atol=1e-13)


@given(st.data(), anywhere())
@settings(max_examples=40, deadline=None)
def test_gradients_return_by_the_same_weights(data: st.DataObject, positions: np.ndarray) -> None:
    """Against autograd through the values by hand, the boxes' gradients laid onto the map."""
    cells = random_map(1).requires_grad_()
    boxes = data.draw(boxes_for(cells.detach(), positions, REACH))
    places = positions[:, None] + AROUND
    pull = torch.from_numpy(np.random.RandomState(2).randn(*places.shape[:2], len(cells)))
    (expected,) = torch.autograd.grad((by_hand(cells, places) * pull).sum(), cells)

    placed = BoxSet(boxes)
    reads = placed.reads(placed.covering(bounds(places)), places)
    table = Table(placed, reads)
    gradients: list[torch.Tensor | None] = [None] * len(boxes)
    table.add_to(gradients, table.spread(reads, pull))
    table.add_to(gradients, table.spread(reads, pull))  # Added, not put.
    total = torch.zeros_like(expected)
    for box, gradient in zip(boxes, gradients, strict=True):
        if gradient is not None:
            x, y = box.origin
            assert gradient.shape == box.values.shape
            assert gradient.is_contiguous()
            total[:, y : y + gradient.shape[1], x : x + gradient.shape[2]] += gradient
    torch.testing.assert_close(total, 2 * expected, rtol=0, atol=1e-12)


def test_a_sample_is_differentiable_in_the_box_s_values() -> None:
    box = crop(random_map(0), (20.0, 30.0, 60.0, 70.0), STRIDE)
    values = box.values.clone().requires_grad_()
    places = np.array([[20.0, 30.0], [41.3, 55.5], [60.0, 70.0]])
    assert torch.autograd.gradcheck(lambda v: sample(replace(box, values=v), places), (values,))


def test_a_sample_beyond_its_box_is_refused() -> None:
    box = crop(random_map(0), (20.0, 30.0, 60.0, 70.0), STRIDE)
    with pytest.raises(ValueError, match="does not cover"):
        sample(box, np.array([[41.3, 55.5], [60.0, 90.0]]))
    with pytest.raises(ValueError, match="not a number"):
        sample(box, np.array([[np.nan, 55.5]]))


def test_half_precision_is_read_in_single() -> None:
    box = whole(random_map(0).half(), STRIDE)
    places = np.array([[41.3, 55.5], [60.0, 90.0]])
    found = sample(box, places)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, sample(whole(box.values.double(), STRIDE), places).float(), rtol=0, atol=1e-6)


@given(st.data(), anywhere(), anywhere(1, 1), st.floats(0, 60))
@settings(max_examples=60, deadline=None)
def test_a_box_covers_what_it_serves(
    data: st.DataObject, positions: np.ndarray, centre: np.ndarray, reach: float
) -> None:
    """It holds every cell that has a part in the region's values; and what is cut for a region covers it."""
    boxes = data.draw(boxes_for(random_map(0), positions, 0.0))
    x0, y0, x1, y1 = region = around(tuple(centre[0]), reach)
    touched = torch.ones(1, ROWS, COLUMNS, requires_grad=True)
    (weights,) = torch.autograd.grad(sum(value(touched, x, y).sum() for x in (x0, x1) for y in (y0, y1)), touched)
    _, rows, columns = np.nonzero(weights.numpy())

    def serves(origin: tuple[int, int], height: int, width: int) -> bool:
        x, y = origin
        return bool(
            (x <= columns).all() and (columns < x + width).all() and (y <= rows).all() and (rows < y + height).all()
        )

    found = covering(boxes, region)
    if found is not None:
        assert serves(boxes[found].origin, *boxes[found].values.shape[-2:])
    own = crop(random_map(0), region, STRIDE)
    assert covering((*boxes, own), region) == (len(boxes) if found is None else found)
    assert covering((), region) is None
