"""Which handles belong to which picture."""

from __future__ import annotations

import numpy as np
from draggan_nodes.display.trail import Trail

from draggan_runtime.messages import Goal, PointPair, Progress


def progress(step: int, x: float) -> Progress:
    return Progress(
        session="s", step=step, drag_steps=step, handles={0: (x, 0.0), 1: (x, 9.0)}, distances={}, confidence={},
        loss=0.0, w_plus=np.zeros((1, 1)), seconds=1.0,
    )  # fmt: skip


def goal(x: float) -> Goal:
    return Goal(session="s", points=(PointPair(0, (x, 0.0), (99.0, 0.0)), PointPair(1, (0.0, 9.0), (99.0, 9.0))))


def test_the_trail_gives_the_handles_of_a_step_or_the_nearest_before() -> None:
    trail = Trail(keep=3)
    for step in range(5):
        trail.add(progress(step, float(step)))
    assert trail.at(3)[0] == (3.0, 0.0)
    assert trail.at(9)[0] == (4.0, 0.0)
    assert trail.at(1) == {}
    trail.clear()
    assert trail.at(4) == {}


def test_steps_that_go_back_are_another_drag() -> None:
    trail = Trail()
    for step in (0, 1, 2, 3):
        trail.add(progress(step, float(step)))
    trail.add(progress(1, 50.0))
    assert trail.at(3)[0] == (50.0, 0.0)
    assert trail.at(0)[0] == (0.0, 0.0)


def test_a_handle_moved_by_hand_is_where_the_hand_put_it_until_the_drag_knows() -> None:
    trail = Trail()
    trail.follow(goal(0.0))
    for step in range(3):
        trail.add(progress(step, float(step)))
    trail.follow(goal(40.0))
    assert trail.at(2).keys() == {1}
    trail.add(progress(3, 3.0))  # was under way already
    assert trail.at(3).keys() == {1}
    trail.add(progress(5, 41.0))
    assert trail.at(5)[0] == (41.0, 0.0)


def test_a_handle_that_the_goal_takes_from_the_tracker_has_not_been_moved() -> None:
    trail = Trail()
    trail.follow(goal(0.0))
    trail.add(progress(1, 7.0))
    trail.follow(goal(7.0))
    assert trail.at(1)[0] == (7.0, 0.0)
