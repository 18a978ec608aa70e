"""What the window says in words, and that all of it can be read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from draggan_nodes.display.notices import Notices, ShownNotice
from draggan_nodes.display.panel import BAR, Bar, bar_height, draw_bar, draw_help, draw_notices, text_size
from draggan_nodes.display.status import figures, headline, still_true, unsure
from draggan_nodes.display.text import fitted, ink, width_of, wrapped
from hypothesis import given
from hypothesis import strategies as st

from draggan_runtime.messages import Goal, NodeFailure, Notice, PointPair, Progress

GOAL = Goal(session="s", points=(PointPair(0, (1.0, 1.0), (2.0, 2.0)),))


def progress(**changes: Any) -> Progress:
    fields: dict[str, Any] = {
        "session": "s", "step": 37, "drag_steps": 37, "handles": {0: (1.5, 1.5)}, "distances": {0: 12.34},
        "confidence": {0: 0.875}, "loss": 0.0123, "w_plus": np.zeros((1, 1)), "seconds": 6.0,
    }  # fmt: skip
    return Progress(**{**fields, **changes})


def test_the_headline_says_what_the_session_does() -> None:
    assert headline(None, None) == "ready, no points"
    assert headline(None, GOAL) == "ready, 1 point"
    assert headline(progress(), GOAL) == "dragging"
    assert headline(progress(stopped="reached"), GOAL) == "arrived"
    assert headline(progress(stopped="reached"), GOAL, drawing=True) == "arrived, drawing the picture"
    assert "lost" in headline(progress(stopped="lost"), GOAL)


def test_a_failure_names_the_node() -> None:
    failure = NodeFailure("tracker", "tracking/nearest", "s", "ValueError: no")
    text = headline(progress(stopped="failed", failure=failure, loss=math.nan), GOAL)
    assert "tracker" in text
    assert "ValueError: no" in text


def test_the_figures_are_those_of_the_farthest_and_of_the_least_sure_handle() -> None:
    text = figures(progress(distances={0: 12.34, 1: 3.0}, confidence={0: 0.9, 1: 0.41}), 1.5)
    assert text.split("    ") == ["37 steps", "6.2 steps/s", "12.3 px left", "confidence 0.41", "step size 1.5"]
    assert figures(None) == ""


def test_handles_are_unsure_that_the_tracker_may_be_about_to_lose() -> None:
    assert unsure(progress(confidence={0: 0.9, 1: 0.41})) == {1}
    assert unsure(None) == set()


def test_an_ended_drag_is_reported_while_its_points_are_there() -> None:
    ended = progress(stopped="reached")
    after = Goal(session="s", points=(PointPair(0, (1.5, 1.5), (2.0, 2.0)),))
    moved = Goal(session="s", points=(PointPair(0, (1.5, 1.5), (9.0, 2.0)),))
    undone = Goal(session="s", points=GOAL.points)
    assert still_true(ended, GOAL, GOAL)
    assert still_true(ended, GOAL, after)
    for other in (moved, undone, Goal(session="s"), Goal(session="s", points=(*after.points, *moved.points))):
        assert not still_true(ended, GOAL, other)


def inked(image: np.ndarray) -> np.ndarray:
    return (image != BAR).any(axis=2)


@pytest.mark.parametrize("width", [300, 580, 1024, 1900])
def test_the_bar_shows_three_lines_and_cuts_none(width: int) -> None:
    size = text_size(width)
    canvas = np.zeros((bar_height(size), width, 3), np.uint8)
    draw_bar(
        canvas,
        Bar("dragging", "137 steps    5.7 steps/s    12.3 px left    confidence 0.91    step size 1", "h: help " * 9),
        size,
    )
    rows = inked(canvas).any(axis=1)
    lines = np.diff(np.concatenate([[False], rows, [False]]).astype(int))
    assert (lines == 1).sum() == 3
    assert not rows[[0, -1]].any()
    assert not inked(canvas)[:, -3:].any()


def test_a_recording_is_marked_in_red_and_leaves_the_headline_room() -> None:
    canvas = np.zeros((bar_height(13), 400, 3), np.uint8)
    draw_bar(canvas, Bar("failed: " + "because " * 40, recording=True), 13)
    red = (canvas[..., 0] > 180) & (canvas[..., 1] < 90)
    assert red.any()
    columns = np.nonzero(red.any(axis=0))[0]
    assert columns.min() > 300
    white = np.nonzero((canvas.min(axis=2) > 120).any(axis=0))[0]
    assert 200 < white.max() < columns.min()


def test_notices_are_whole_and_lie_on_the_lower_edge() -> None:
    text = "the engine has failed, " * 6
    picture = np.full((500, 500, 3), 200, np.uint8)
    draw_notices(picture, [ShownNotice("saved", False, 1.0), ShownNotice(text, True, 1.0)], 14)
    changed = (picture != 200).any(axis=(1, 2))
    assert changed[-1]
    assert not changed[:300].any()
    lines = wrapped(text, 14, 480)
    assert " ".join(lines).split() == text.split()
    faded = np.full((500, 500, 3), 200, np.uint8)
    draw_notices(faded, [ShownNotice("saved", False, 0.2)], 14)
    assert 150 < faded[-3].mean() < 200


def test_problems_are_shown_longer_long_notices_too_and_three_at_most() -> None:
    notices = Notices()
    for number, (text, problem) in enumerate((("old", True), ("short", False), ("long " * 20, False), ("bad", True))):
        notices.add(Notice(session="s", text=text, problem=problem), 10.0 + number * 0.1)

    def texts(now: float) -> list[str]:
        return [shown.text.split()[0] for shown in notices.at(now, 3.0)]

    assert texts(10.5) == ["short", "long", "bad"]
    assert texts(14.0) == ["long", "bad"]
    assert texts(18.0) == ["long"]
    assert texts(30.0) == []
    fading = [notices.at(10.1 + 3.0 + 5 * 0.06 - left, 3.0)[0].opacity for left in (1.5, 0.8, 0.4, 0.2)]
    assert fading == pytest.approx([1.0, 0.8, 0.4, 0.2])


@pytest.mark.parametrize("side", [300, 578, 1900])
def test_the_help_fits_the_picture(side: int) -> None:
    rows = tuple((f"key {i}", "does something that takes some words to say") for i in range(17))
    picture = np.full((side, side, 3), 255, np.uint8)
    draw_help(picture, rows, text_size(side))
    letters = (np.abs(picture.astype(int) - picture[0, 0]) > 60).any(axis=2)
    assert letters.any()
    for edge in (letters[:2], letters[-2:], letters[:, :2], letters[:, -2:]):
        assert not edge.any()
    lines = np.diff(np.concatenate([[False], letters.any(axis=1), [False]]).astype(int))
    assert (lines == 1).sum() == 17


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80), st.integers(40, 300))
def test_a_fitted_line_is_not_wider_than_its_room(text: str, room: int) -> None:
    words, size = fitted(text, 16, room)
    assert width_of(words, size) <= room
    if words != text:
        assert words.endswith("...")
    for line in wrapped(text, 12, room):
        assert width_of(line, 12) <= room


def test_letters_are_not_cut_by_their_line() -> None:
    for size in (13, 34):
        covered = ink("Åpgjy|", size)
        assert not covered[0].any()
        assert not covered[-1].any()
        assert not covered[:, -1].any()
