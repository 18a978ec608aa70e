"""What clicks do to the list of points."""

from __future__ import annotations

import json

import pytest
from draggan_nodes.capture.hand import on_picture
from draggan_nodes.capture.points import Points
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
    points.handles_now({0: A, 1: A}, but=[1])
    assert points.pairs == (PointPair(0, A, C), PointPair(1, B, C))


def two_pairs() -> Points:
    """Pairs A to C and B to C."""
    points = Points()
    for xy in (A, C, B, C):
        points.click(xy)
    return points


def test_a_dot_is_found_where_it_is_drawn() -> None:
    points = two_pairs()
    found = points.dot_at((13.0, 12.0), 8, {})
    assert found is not None
    assert (found.pair.id, found.end) == (0, "handle")
    assert points.dot_at((13.0, 12.0), 2, {}) is None
    tracked = {0: (90.0, 50.0)}
    assert points.dot_at(A, 8, tracked) is None
    found = points.dot_at((92.0, 51.0), 8, tracked)
    assert found is not None
    assert (found.pair.id, found.end) == (0, "handle")


def test_where_a_handle_has_arrived_the_target_is_taken_first() -> None:
    points = Points((PointPair(0, C, C),))
    found = points.dot_at(C, 8, {})
    assert found is not None
    assert found.end == "target"


def test_a_dot_moves_with_the_pointer_from_where_it_was_taken() -> None:
    points = two_pairs()
    dot = points.dot_at((12.0, 13.0), 8, {})
    assert dot is not None
    points.take(dot, (12.0, 13.0))
    assert points.preview == ()
    points.point_at((32.0, 63.0))
    assert points.preview == (PointPair(0, (30.0, 60.0), C),)
    assert points.pairs[0] == PointPair(0, A, C)  # until it is let go
    moved = points.let_go()
    assert moved == dot
    assert points.pairs == (PointPair(0, (30.0, 60.0), C), PointPair(1, B, C))
    assert points.preview == ()


def test_a_tracked_handle_is_moved_from_where_it_is() -> None:
    points = two_pairs()
    dot = points.dot_at((90.0, 50.0), 8, {0: (90.0, 50.0)})
    assert dot is not None
    points.take(dot, (90.0, 50.0))
    points.point_at((95.0, 50.0))
    points.let_go()
    assert points.pairs[0].handle == (95.0, 50.0)


def test_moving_a_target_leaves_the_handle_that_a_drag_has_changed_meanwhile() -> None:
    points = two_pairs()
    dot = points.dot_at(C, 8, {})
    assert dot is not None
    assert dot.pair.id == 1  # the last is drawn on top
    points.take(dot, C)
    points.handles_now({1: A})
    points.point_at((300.0, 300.0))
    points.let_go()
    assert points.pairs[1] == PointPair(1, A, (300.0, 300.0))


def test_a_click_on_a_dot_moves_nothing() -> None:
    points = two_pairs()
    dot = points.dot_at(A, 8, {})
    assert dot is not None
    points.take(dot, A)
    points.point_at((11.0, 10.0))
    assert points.let_go(apart=3) is None
    assert points.pairs[0] == PointPair(0, A, C)


def test_a_deleted_pair_can_not_be_let_go() -> None:
    points = two_pairs()
    dot = points.dot_at(A, 8, {})
    assert dot is not None
    points.take(dot, A)
    points.point_at(B)
    points.delete(0)
    assert points.let_go() is None
    assert points.pairs == (PointPair(1, B, C),)


def test_points_of_the_session_replace_all_and_their_ids_are_not_used_again() -> None:
    points = two_pairs()
    points.click(A)
    points.take_up([PointPair(7, A, B)])
    assert (points.pairs, points.pending, points.busy) == ((PointPair(7, A, B),), None, False)
    points.click(B)
    points.click(C)
    assert points.pairs[1].id == 8


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
    apart = View(session="s", scale=0.5, size=(1024, 512), origin=(100, 20))
    assert on_picture(apart, 99, 30) is None
    assert on_picture(apart, 100, 20) == on_picture(view, 0, 0)
    assert on_picture(apart, 611, 275) == on_picture(view, 511, 255)
    assert on_picture(None, 3, 3) is None
