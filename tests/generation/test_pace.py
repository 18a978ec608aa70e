"""How the points slow the optimiser down."""

from __future__ import annotations

import pytest
from draggan_nodes.generation.pace import SLOWEST, pace

from draggan_runtime.messages import Goal, Handles, PointPair

GOAL = Goal(session="s", points=(PointPair(1, (0, 0), (100, 0)), PointPair(2, (0, 0), (0, 100))))


def handles(x: float, y: float, *confidence: float) -> Handles:
    sure = dict(enumerate(confidence or (1.0, 1.0), 1))
    return Handles(session="s", size=(1024, 1024), positions={1: (x, 0), 2: (0, y)}, confidence=sure)


@pytest.mark.parametrize(
    ("x", "y", "share"),
    [(0, 0, 1), (84, 84, 1), (92, 92, 0.5), (100, 84, 0.5), (84, 116, 1), (99, 99, SLOWEST), (100, 100, SLOWEST)],
)
def test_steps_get_smaller_with_the_mean_distance_left(x, y, share):
    """8 px at 512 are 16 at 1024."""
    assert pace(GOAL, handles(x, y), near=8, sure=0) == pytest.approx(share)


@pytest.mark.parametrize(
    ("confidence", "share"), [((1, 0.6), 1), ((0.7, 0.5), 0.75), ((0.4, 0.4), 0.5), ((0, 0), 0.01)]
)
def test_steps_get_smaller_with_the_mean_confidence(confidence, share):
    assert pace(GOAL, handles(0, 0, *confidence), near=0, sure=0.8) == pytest.approx(share)


def test_before_anything_is_known_steps_are_whole():
    assert pace(GOAL, None, near=8, sure=0.8) == 1
    assert pace(None, handles(100, 100), near=8, sure=0.8) == 1
    assert pace(GOAL, handles(100, 100, 0, 0), near=0, sure=0) == 1
