"""What strokes of the brush do to the mask."""

from __future__ import annotations

import numpy as np
from draggan_nodes.capture.brush import LARGEST, SMALLEST, Brush

SIZE = (120, 80)


def stroke(brush: Brush, *way: tuple[float, float], erases: bool = False) -> None:
    brush.press(way[0], erases)
    for xy in way[1:]:
        brush.move(xy)
    assert brush.lift(SIZE)


def near(*way: tuple[float, float]) -> np.ndarray:
    """Distance of every px from the way."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    distances = []
    for (x0, y0), (x1, y1) in zip(way, way[1:] or way, strict=False):
        dx, dy = x1 - x0, y1 - y0
        t = np.clip(((x - x0) * dx + (y - y0) * dy) / max(dx * dx + dy * dy, 1e-9), 0, 1)
        distances.append(np.hypot(x - x0 - t * dx, y - y0 - t * dy))
    return np.min(distances, axis=0)


def test_a_stroke_makes_movable_what_the_brush_has_covered() -> None:
    brush = Brush(radius=9)
    way = ((20.0, 20.0), (80.0, 30.0), (60.0, 60.0))
    stroke(brush, *way)
    assert brush.movable is not None
    assert (brush.movable.shape, brush.movable.dtype) == ((80, 120), np.uint8)
    distance = near(*way)
    assert brush.movable[distance < 7.5].all()
    assert not brush.movable[distance > 10.5].any()


def test_a_click_paints_a_disc() -> None:
    brush = Brush(radius=9)
    stroke(brush, (50.0, 40.0))
    assert brush.movable is not None
    assert brush.movable[near((50.0, 40.0)) < 7.5].all()
    assert not brush.movable[near((50.0, 40.0)) > 10.5].any()


def test_erasing_without_a_mask_leaves_all_else_movable() -> None:
    brush = Brush(radius=9)
    stroke(brush, (50.0, 40.0), erases=True)
    assert brush.movable is not None
    assert not brush.movable[near((50.0, 40.0)) < 7.5].any()
    assert brush.movable[near((50.0, 40.0)) > 10.5].all()


def test_where_nothing_or_everything_may_move_there_is_no_mask() -> None:
    brush = Brush(radius=9)
    stroke(brush, (50.0, 40.0))
    brush.radius = 15
    stroke(brush, (50.0, 40.0), erases=True)
    assert brush.movable is None
    brush.radius = 200
    stroke(brush, (50.0, 40.0))
    assert brush.movable is None


def test_a_mask_that_went_out_is_not_changed_by_the_next_stroke() -> None:
    brush = Brush(radius=9)
    stroke(brush, (30.0, 40.0))
    first = brush.movable
    assert first is not None
    before = first.copy()
    stroke(brush, (90.0, 40.0))
    assert brush.movable is not first
    assert np.array_equal(first, before)


def test_a_stroke_may_leave_the_picture() -> None:
    brush = Brush(radius=9)
    stroke(brush, (10.0, 10.0), (-50.0, -20.0), (10.0, 70.0))
    assert brush.movable is not None
    assert brush.movable[70, 10] == 1


def test_without_a_stroke_there_is_nothing_to_end() -> None:
    brush = Brush()
    brush.move((3.0, 3.0))
    assert not brush.lift(SIZE)
    brush.press((3.0, 3.0), erases=False)
    brush.drop()
    assert not brush.lift(SIZE)


def test_the_size_has_limits() -> None:
    brush = Brush()
    for finer, limit in ((True, SMALLEST), (False, LARGEST)):
        for _ in range(50):
            brush.resize(finer)
        assert brush.radius == limit
