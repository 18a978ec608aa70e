"""What is drawn lies where it should, in its colour, at every size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from draggan_nodes.display.draw import ARROW, HANDLE, TARGET, UNSURE, draw_brush, draw_pairs, overlay, scaled
from draggan_nodes.display.mask import EDGE, coverage, shaded

from draggan_runtime.messages import Goal, Mask, PointPair

GREY = np.full((512, 512, 3), 128, np.uint8)


def goal(*pairs: tuple[int, tuple[float, float], tuple[float, float]]) -> Goal:
    return Goal(session="s", points=tuple(PointPair(*pair) for pair in pairs))


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
    small = scaled(np.full((2048, 2048, 3), 128, np.uint8), (512, 512))
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


def test_a_handle_that_the_tracker_is_unsure_of_is_yellow() -> None:
    drawn = GREY.copy()
    pairs = goal((7, (100.0, 200.0), (300.0, 200.0)), (8, (100.0, 400.0), (300.0, 400.0))).points
    draw_pairs(drawn, pairs, unsure={7})
    assert math.dist(centre_of(drawn, UNSURE), (100, 200)) < 0.4
    assert math.dist(centre_of(drawn, HANDLE), (100, 400)) < 0.4


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


def test_pairs_are_drawn_over_what_is_there() -> None:
    drawn = GREY.copy()
    draw_pairs(drawn, [PointPair(0, (100.0, 200.0), (300.0, 200.0))])
    assert np.array_equal(drawn, overlay(GREY, goal((0, (100.0, 200.0), (300.0, 200.0)))))


def left_half() -> Mask:
    movable = np.zeros((512, 512), np.uint8)
    movable[:, :256] = 1
    return Mask(session="s", movable=movable)


def test_what_may_not_move_is_darker_and_what_may_is_untouched() -> None:
    drawn = overlay(GREY, mask=left_half())
    assert (drawn[:, :254] == 128).all()
    assert (drawn[:, 258:] < 70).all()
    small = overlay(scaled(GREY, (256, 256)), mask=left_half(), scale=0.5)
    assert (small[:, :126] == 128).all()
    assert (small[:, 130:] < 70).all()
    assert np.array_equal(overlay(GREY, mask=Mask(session="s")), GREY)


@pytest.mark.parametrize("size", [256, 512, 1900])
def test_a_line_runs_along_the_edge_of_what_may_move(size: int) -> None:
    drawn = overlay(scaled(GREY, (size, size)), mask=left_half(), scale=size / 512)
    line = (np.abs(drawn.astype(int) - EDGE) < 40).all(axis=2)
    assert line[:, size // 2 - 2 : size // 2 + 2].any(axis=1).all()
    assert not line[:, : size // 2 - size // 100 - 3].any()
    assert not line[:, size // 2 + size // 100 + 3 :].any()


def test_a_part_is_shaded_as_the_whole_is() -> None:
    """So a stroke of the brush need not redo the whole picture."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)
    movable = np.kron(rng.integers(0, 2, (20, 20)), np.full((10, 10), 255)).astype(np.uint8)
    whole = shaded(image, movable, 3)
    part = shaded(image[50:120, 60:150], movable[50:120, 60:150], 3)
    assert np.array_equal(part[3:-3, 3:-3], whole[53:117, 63:147])


def test_a_mask_is_averaged_where_the_picture_is_drawn_smaller() -> None:
    movable = np.zeros((512, 512), np.uint8)
    movable[:, :258] = 1
    covered = coverage(Mask(session="s", movable=movable), (128, 128))
    assert covered is not None
    assert (covered[:, :64] == 255).all()
    assert (np.abs(covered[:, 64].astype(int) - 127) <= 1).all()
    assert (covered[:, 65:] == 0).all()


def test_the_brush_is_a_circle_round_the_pointer_on_light_and_dark() -> None:
    for level in (0, 255):
        drawn = np.full((256, 256, 3), level, np.uint8)
        draw_brush(drawn, (255.5, 255.5), 80, 0.5)
        changed = (drawn != level).any(axis=2)
        rows, columns = np.nonzero(changed)
        assert (columns.mean(), rows.mean()) == (pytest.approx(127.5, abs=0.3), pytest.approx(127.5, abs=0.3))
        distance = np.hypot(columns - 127.5, rows - 127.5)
        assert 36 < distance.min() <= distance.max() < 44
    assert (drawn == ARROW).all(axis=2).any()
