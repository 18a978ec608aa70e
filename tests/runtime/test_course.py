"""How near a drag has come, and what is kept of it."""

from __future__ import annotations

import numpy as np
import pytest

from draggan_runtime.execution.course import Course
from draggan_runtime.messages import Progress
from draggan_runtime.wire import pack, to_host, unpack


def step(number: int, *left: float) -> Progress:
    return Progress(
        session="a",
        step=number,
        drag_steps=number,
        handles={i: (far, 0.0) for i, far in enumerate(left)},
        distances=dict(enumerate(left)),
        confidence=dict.fromkeys(range(len(left)), 1.0),
        loss=1.0,
        w_plus=np.full((2, 3), number, np.float32),
        seconds=0.0,
    )


def seen(*steps: Progress, height: int = 512) -> Course:
    course = Course()
    for each in steps:
        course.see(each, height)
    return course


def test_the_best_step_is_the_nearest_in_the_mean():
    course = seen(step(0, 20, 10), step(1, 10, 12), step(2, 22, 1))
    assert course.best.step == 1


@pytest.mark.parametrize(("height", "gained_at"), [(512, 2), (1024, 0)])
def test_nearer_is_half_a_px_at_512(height, gained_at):
    assert seen(step(0, 20), step(1, 19.8), step(2, 19.4), step(3, 19.3), height=height).gained_at == gained_at


def test_many_small_gains_are_one():
    assert seen(*(step(i, 20 - 0.1 * i) for i in range(13))).gained_at == 10


@pytest.mark.parametrize("ways", [(20, 15), (20, 15, 16)])
def test_a_course_that_was_kept_goes_on_the_same(ways):
    course = seen(*(step(i, far) for i, far in enumerate(ways)))
    again = Course.of("a", unpack(pack(to_host(course.snapshot()))))
    last = step(len(ways) - 1, ways[-1])  # an interrupted drag sees its last step again
    for each in course, again:
        each.see(last, 512)
        each.see(step(9, 17), 512)
    assert (again.gained, again.gained_at) == (course.gained, course.gained_at)
    assert (again.best.w_plus == course.best.w_plus).all()
    assert again.best.distances == course.best.distances
