"""The box over a photo: in the model's proportions, inside the photo, and under the hand that moves it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from draggan_nodes.capture.crop import Crop
from hypothesis import given
from hypothesis import strategies as st

NEAR = 5.0


def photo(width: int = 400, height: int = 300) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def at(edge_x: float, edge_y: float) -> tuple[float, float]:
    """The pointer's place on the edges between pixels."""
    return edge_x - 0.5, edge_y - 0.5


def dragged(crop: Crop, start: tuple[float, float], end: tuple[float, float]) -> tuple[float, ...]:
    crop.press(at(*start), NEAR)
    crop.move(at((start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
    crop.move(at(*end))
    crop.release()
    crop.move(at(0, 0))
    return crop.box


@pytest.mark.parametrize(
    ("proportions", "box"),
    [(1.0, (50, 0, 350, 300)), (0.5, (125, 0, 275, 300)), (2.0, (0, 50, 400, 250))],
)
def test_it_begins_as_the_largest_in_the_middle(proportions, box):
    assert Crop(photo(), proportions).box == pytest.approx(box)


def test_it_begins_where_it_was_before():
    assert Crop(photo(), 1.0, (10, 20, 110, 120)).box == pytest.approx((10, 20, 110, 120))


def test_inside_it_is_moved_and_stops_at_the_photo_s_edges():
    crop = Crop(photo(), 1.0, (10, 20, 110, 120))
    assert dragged(crop, (60, 60), (75, 50)) == pytest.approx((25, 10, 125, 110))
    assert dragged(crop, (60, 60), (900, -900)) == pytest.approx((300, 0, 400, 100))


def test_a_way_that_leads_out_of_the_photo_and_back_ends_under_the_hand():
    crop = Crop(photo(), 1.0, (10, 20, 110, 120))
    crop.press(at(60, 60), NEAR)
    for place in ((-500, 700), (61, 62)):
        crop.move(at(*place))
    assert crop.box == pytest.approx((11, 22, 111, 122))


@pytest.mark.parametrize(
    ("corner", "outwards", "box"),
    [
        ((110, 120), (20, 20), (10, 20, 130, 140)),
        ((110, 20), (20, -20), (10, 0, 130, 120)),
        ((10, 120), (-20, 20), (0, 20, 110, 130)),
        ((10, 20), (-20, -20), (0, 10, 110, 120)),
    ],
    ids=["lower right", "upper right", "lower left, up to the photo's edge", "upper left, up to the photo's edge"],
)
def test_at_a_corner_it_is_sized_and_the_opposite_corner_stays(corner, outwards, box):
    crop = Crop(photo(), 1.0, (10, 20, 110, 120))
    assert dragged(crop, corner, (corner[0] + outwards[0], corner[1] + outwards[1])) == pytest.approx(box)


def test_a_corner_follows_the_hand_as_far_as_the_proportions_let_it():
    crop = Crop(photo(), 2.0, (100, 100, 200, 150))
    assert dragged(crop, (200, 150), (240, 150)) == pytest.approx((100, 100, 220, 160))
    assert dragged(crop, (220, 160), (220, 140)) == pytest.approx((100, 100, 200, 150))


def test_it_never_becomes_nothing():
    crop = Crop(photo(), 2.0, (100, 100, 200, 150))
    assert dragged(crop, (200, 150), (0, 0)) == pytest.approx((100, 100, 132, 116))
    for _ in range(50):
        crop.resize(larger=False)
    left, top, right, bottom = crop.box
    assert (right - left, bottom - top) == pytest.approx((32, 16))


def test_keys_size_it_around_its_middle_until_it_is_the_largest():
    crop = Crop(photo(), 1.0, (150, 100, 250, 200))
    crop.resize(larger=True)
    assert crop.box == pytest.approx((145, 95, 255, 205))
    crop.resize(larger=False)
    assert crop.box == pytest.approx((150, 100, 250, 200))
    for _ in range(50):
        crop.resize(larger=True)
    assert crop.box == pytest.approx((50, 0, 350, 300))


def test_beside_it_nothing_is_taken():
    crop = Crop(photo(), 1.0, (10, 20, 110, 120))
    assert dragged(crop, (200, 200), (300, 250)) == pytest.approx((10, 20, 110, 120))
    crop.press(at(60, 60), NEAR)
    assert crop.held
    crop.release()
    assert not crop.held


def test_a_small_box_can_be_moved_however_near_its_corners_are():
    crop = Crop(photo(), 1.0, (100, 100, 116, 116))
    crop.press(at(108, 108), 50.0)
    crop.move(at(118, 98))
    assert crop.box == pytest.approx((110, 90, 126, 106))


places = st.tuples(st.floats(-1000, 2000), st.floats(-1000, 2000))


@given(
    st.sampled_from([(400, 300), (64, 900), (65, 64)]),
    st.sampled_from([1.0, 0.5, 4 / 3]),
    st.lists(st.one_of(st.tuples(places, places), st.booleans()), max_size=12),
)
def test_whatever_the_hand_does_it_is_inside_and_of_its_proportions(size, proportions, deeds):
    crop = Crop(photo(*size), proportions)
    for deed in deeds:
        if isinstance(deed, bool):
            crop.resize(larger=deed)
        else:
            crop.press(deed[0], 30.0)
            crop.move(deed[1])
            crop.release()
        left, top, right, bottom = crop.box
        assert -1e-9 <= left < right <= size[0] + 1e-9
        assert -1e-9 <= top < bottom <= size[1] + 1e-9
        assert math.isclose((right - left) / (bottom - top), proportions)
