"""What is drawn lies where it should, in its colour, at every size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from draggan_nodes.display.draw import (
    HANDLE,
    TARGET,
    bar_height,
    overlay,
    shrink,
    status_bar,
    status_text,
)
from draggan_nodes.display.trail import Trail

from draggan_runtime.messages import Goal, Mask, NodeFailure, PointPair, Progress

GREY = np.full((512, 512, 3), 128, np.uint8)


def goal(*pairs: tuple[int, tuple[float, float], tuple[float, float]]) -> Goal:
    return Goal(session="s", points=tuple(PointPair(*pair) for pair in pairs))


def progress(**changes: object) -> Progress:
    fields: dict[str, object] = {
        "session": "s", "step": 37, "drag_steps": 37, "handles": {0: (1.0, 1.0)}, "distances": {0: 12.34},
        "confidence": {}, "loss": 0.0123, "w_plus": np.zeros((1, 1)), "seconds": 6.0,
    }  # fmt: skip
    return Progress(**{**fields, **changes})  # type: ignore[arg-type]


def centre_of(image: np.ndarray, colour: tuple[int, int, int]) -> tuple[float, float]:
    """Mean (x, y) of the pixels that have exactly ``colour``."""
    rows, columns = np.nonzero((image == colour).all(axis=2))
    return float(columns.mean()), float(rows.mean())


@pytest.mark.parametrize(("handle", "target"), [((100.0, 200.0), (300.0, 250.0)), ((100.5, 90.25), (20.0, 400.75))])
def test_the_red_dot_is_the_handle_and_the_blue_dot_the_target(
    handle: tuple[float, float], target: tuple[float, float]
) -> None:
    drawn = overlay(GREY, goal((0, handle, target)))
    assert math.dist(centre_of(drawn, HANDLE), handle) < 0.4
    assert math.dist(centre_of(drawn, TARGET), target) < 0.4


def test_points_lie_on_the_same_spot_of_a_smaller_picture() -> None:
    small = shrink(np.full((2048, 2048, 3), 128, np.uint8), 0.25)
    drawn = overlay(small, goal((0, (401.5, 801.5), (1201.5, 1001.5))), scale=0.25)
    assert drawn.shape == (512, 512, 3)
    assert math.dist(centre_of(drawn, HANDLE), (100, 200)) < 0.2
    assert math.dist(centre_of(drawn, TARGET), (300, 250)) < 0.2


def test_dots_grow_with_the_picture() -> None:
    large = np.full((1024, 1024, 3), 128, np.uint8)
    pair = goal((0, (150.0, 150.0), (400.0, 150.0)))
    area = [(overlay(image, pair) == HANDLE).all(axis=2).sum() for image in (GREY, large)]
    assert 3 < area[1] / area[0] < 5


def test_the_input_stays_as_it_is_and_far_pixels_too() -> None:
    drawn = overlay(GREY, goal((0, (100.0, 200.0), (300.0, 250.0))))
    assert (GREY == 128).all()
    assert (drawn[300:] == 128).all()
    assert (drawn != 128).any()


def test_an_arrow_leads_from_handle_to_target_and_stops_before_it() -> None:
    drawn = overlay(GREY, goal((0, (100.0, 200.0), (300.0, 200.0))))
    assert (drawn[200, 120:280] == 255).all()
    assert (drawn[180:220, 95:99] != 128).any()
    above_the_shaft, beside_the_head = drawn[190:196, 150:200], drawn[190:198, 285:296]
    assert (above_the_shaft == 128).all()
    assert (beside_the_head != 128).any()


def test_edges_are_smooth() -> None:
    drawn = overlay(GREY, goal((0, (100.0, 200.0), (300.0, 271.0))))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 30


def test_a_tracked_handle_is_drawn_where_it_is_now() -> None:
    drawn = overlay(GREY, goal((7, (100.0, 200.0), (300.0, 200.0))), {7: (160.0, 210.0)})
    assert math.dist(centre_of(drawn, HANDLE), (160, 210)) < 0.4


def test_the_whole_way_can_be_drawn_from_where_the_handle_started() -> None:
    drawn = overlay(GREY, goal((7, (100.0, 200.0), (300.0, 200.0))), {7: (295.0, 200.0)}, from_start=True)
    assert math.dist(centre_of(drawn, HANDLE), (295, 200)) < 0.4
    assert (drawn[200, 99:101] == 255).all()
    assert (drawn[200, 120:280] == 255).all()


def test_a_target_shows_around_the_handle_that_has_reached_it() -> None:
    large = np.full((1024, 1024, 3), 128, np.uint8)
    drawn = overlay(large, goal((0, (100.0, 200.0), (100.0, 200.0))))
    for colour in (HANDLE, TARGET):
        assert math.dist(centre_of(drawn, colour), (100, 200)) < 0.4


def test_a_handle_on_its_target_or_beyond_the_border_is_no_error() -> None:
    overlay(GREY, goal((0, (9.0, 9.0), (9.0, 9.0)), (1, (-0.5, -0.5), (511.5, 511.5)), (2, (4.0, 4.0), (4.1, 4.0))))


def test_the_preview_is_drawn_as_well() -> None:
    drawn = overlay(GREY, None, preview=goal((0, (100.0, 200.0), (300.0, 200.0))))
    assert math.dist(centre_of(drawn, TARGET), (300, 200)) < 0.4


def test_what_may_not_move_is_darker_and_what_may_is_untouched() -> None:
    movable = np.zeros((512, 512), np.uint8)
    movable[:, :256] = 1
    drawn = overlay(GREY, mask=Mask(session="s", movable=movable))
    assert (drawn[:, :256] == 128).all()
    assert (drawn[:, 256:] < 64).all()
    small = overlay(shrink(GREY, 0.5), mask=Mask(session="s", movable=movable), scale=0.5)
    assert (small[:, :128] == 128).all()
    assert (small[:, 128:] < 64).all()
    assert np.array_equal(overlay(GREY, mask=Mask(session="s")), GREY)


def test_the_status_says_state_steps_speed_and_the_farthest_distance() -> None:
    assert status_text(None, goal((0, (1.0, 1.0), (2.0, 2.0)))) == "ready, 1 point"
    running = status_text(progress(distances={0: 12.34, 1: 3.0}))
    for part in ("dragging", "37 steps", "6.2 steps/s", "12.3 px left", "loss 0.0123"):
        assert part in running
    assert status_text(progress(stopped="reached")).startswith("arrived")
    assert "lost" in status_text(progress(stopped="lost"))


def test_a_failure_names_the_node() -> None:
    failure = NodeFailure("tracker", "tracking/nearest", "s", "ValueError: no")
    text = status_text(progress(stopped="failed", failure=failure, loss=math.nan))
    assert "tracker" in text
    assert "ValueError: no" in text


def test_an_ended_drag_is_not_reported_of_other_points() -> None:
    ended = progress(stopped="reached")
    assert status_text(ended, goal((0, (1.0, 1.0), (2.0, 2.0)))).startswith("arrived")
    assert status_text(ended, goal((1, (1.0, 1.0), (2.0, 2.0)))) == "ready, 1 point"


@pytest.mark.parametrize("width", [256, 768, 1024])
def test_the_bar_holds_both_lines_and_cuts_neither(width: int) -> None:
    bar = status_bar(width, "dragging   137 steps   5.7 steps/s", "click a handle, then its target   space: start")
    assert bar.shape == (bar_height(width), width, 3)
    background = np.array(bar[-1, -1])
    inked = (bar != background).any(axis=2)
    half = bar.shape[0] // 2
    assert inked[:half].any()
    assert inked[half:].any()
    assert not inked[:, -3:].any()


def test_the_trail_gives_the_handles_of_a_step_or_the_nearest_before() -> None:
    trail = Trail(keep=3)
    for step in range(5):
        trail.add(progress(step=step, handles={0: (float(step), 0.0)}))
    assert trail.at(3) == {0: (3.0, 0.0)}
    assert trail.at(9) == {0: (4.0, 0.0)}
    assert trail.at(1) == {}
    trail.clear()
    assert trail.at(4) == {}
