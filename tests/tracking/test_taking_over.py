"""A tracker that takes another's place in a drag goes on from where the points are."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from draggan_nodes.tracking.base import Tracker
from draggan_nodes.tracking.flow import FlowTracker
from draggan_nodes.tracking.lucas_kanade import LucasKanadeTracker
from draggan_nodes.tracking.nearest import NearestTracker
from draggan_nodes.tracking.none import NoTracker
from draggan_nodes.tracking.template import TemplateTracker
from draggan_nodes.tracking.votes import VotesTracker
from test_adapting import GOAL, HANDLE, PICTURE, STEP, Session, Texture, miss

from draggan_runtime.messages import Goal, Handles, PointPair
from draggan_runtime.wire import pack, unpack

ALL: list[type[Tracker]] = [NearestTracker, NoTracker, FlowTracker, LucasKanadeTracker, TemplateTracker, VotesTracker]


def take_over(cls: type[Tracker], session: Session) -> Session:
    new = Session(cls)
    state = new.node.take_over(session.node, session.state)
    # As a session that is saved just then and goes on elsewhere.
    new.state = new.node.restore(unpack(pack(new.node.snapshot(state))))
    return new


def see(session: Session, step: int, goal: Goal = GOAL) -> Handles:
    texture = Texture("rgb" if type(session.node) in PICTURE else "64", seed=0)
    return session.track(step, texture.box(step * STEP), goal=goal)


@pytest.mark.parametrize(("first", "second"), list(permutations(ALL, 2)))
def test_the_points_keep_their_places_and_are_followed_from_there(first: type[Tracker], second: type[Tracker]) -> None:
    old = Session(first)
    for step in range(4):
        before = see(old, step)
    new = take_over(second, old)
    assert see(new, 3).positions == before.positions  # the same step once more
    if second is not NoTracker:
        for step in range(4, 9):
            now = see(new, step)
        way = np.subtract(now.positions[1], before.positions[1])
        assert np.linalg.norm(way - 5 * STEP) < 0.5


def test_one_that_sees_the_next_step_first_remembers_what_is_where_the_points_were() -> None:
    old = Session(NearestTracker)
    for step in range(4):
        before = see(old, step)
    assert see(take_over(TemplateTracker, old), 4).positions == before.positions


def test_a_drag_that_begins_begins_at_the_user_s_handles() -> None:
    old = Session(NearestTracker)
    for step in range(4):
        see(old, step)
    new = take_over(FlowTracker, old)
    assert miss(see(new, 0), 0) == 0


def test_a_point_that_the_user_moved_meanwhile_begins_where_the_user_put_it() -> None:
    old = Session(NearestTracker)
    for step in range(4):
        see(old, step)
    moved = Goal(session="s", points=(PointPair(1, (HANDLE[0] + 9, HANDLE[1]), (300.0, 262.8)),))
    assert see(take_over(FlowTracker, old), 3, moved).positions[1] == moved.points[0].handle
