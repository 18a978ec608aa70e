"""What clicks do to the list of points."""

from __future__ import annotations

import json

import pytest
from draggan_nodes.capture.points import Points
from draggan_nodes.capture.window import on_picture
from hypothesis import given
from hypothesis import strategies as st

from draggan_runtime.messages import PointPair, View

A, B, C = (10.0, 10.0), (50.0, 60.0), (200.0, 100.0)


def test_a_click_sets_a_handle_and_the_next_its_target() -> None:
    points = Points()
    points.click(A)
    assert points.pairs == ()
    assert points.preview == (PointPair(0, A, A),)
    points.click(B)
    assert points.pairs == (PointPair(0, A, B),)
    assert points.preview == ()


def test_the_preview_follows_the_pointer_while_a_handle_waits() -> None:
    points = Points()
    points.point_at(C)
    assert points.preview == ()
    points.click(A)
    points.point_at(C)
    assert points.preview == (PointPair(0, A, C),)


def test_a_double_click_does_not_make_a_target_on_its_handle() -> None:
    points = Points()
    points.click(A)
    points.click((11.0, 11.0), apart=3)
    assert points.pairs == ()
    points.click(B, apart=3)
    assert points.pairs == (PointPair(0, A, B),)


def test_taking_back_removes_the_waiting_handle_and_then_the_last_pair() -> None:
    points = Points()
    for xy in (A, B, C):
        points.click(xy)
    points.take_back()
    assert (points.pending, len(points.pairs)) == (None, 1)
    points.take_back()
    points.take_back()
    assert points.pairs == ()


def test_ids_are_not_used_again() -> None:
    points = Points()
    points.click(A)
    points.click(B)
    points.clear()
    points.click(A)
    points.click(B)
    assert points.pairs[0].id == 1


def test_after_a_drag_a_pair_starts_from_where_its_handle_is() -> None:
    points = Points()
    for xy in (A, C, B, C):
        points.click(xy)
    points.handles_now({0: (90.0, 50.0), 9: A})
    assert points.pairs == (PointPair(0, (90.0, 50.0), C), PointPair(1, B, C))


def test_points_come_back_from_plain_values() -> None:
    points = Points()
    for xy in (A, C, B):
        points.click(xy)
    again = Points.from_plain(json.loads(json.dumps(points.plain())))
    assert (again.pairs, again.next_id, again.pending) == (points.pairs, points.next_id, None)


@given(scale=st.floats(0.1, 1), x=st.integers(0, 1023), y=st.integers(0, 1023))
def test_the_middle_of_a_shown_pixel_is_the_middle_of_what_it_shows(scale: float, x: int, y: int) -> None:
    view = View(session="s", scale=scale, size=(1024, 1024))
    shown = (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5
    assert on_picture(view, *shown) == pytest.approx((x, y), abs=1e-6)


def test_beside_the_picture_there_is_nothing() -> None:
    view = View(session="s", scale=0.5, size=(1024, 512))
    assert on_picture(view, 511, 255) is not None
    assert on_picture(view, 511, 256) is None
    assert on_picture(view, 512, 255) is None
    assert on_picture(view, -1, 3) is None
    assert on_picture(None, 3, 3) is None
