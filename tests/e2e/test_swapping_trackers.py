"""The default model's drag under each tracker, by configuration alone, and under one after the other in one drag."""

from __future__ import annotations

import math
from itertools import groupby, pairwise

import pytest

import draggan_runtime as draggan

TRACKERS = ["votes", "nearest", "none", "flow", "lucas_kanade", "template"]
NOSE = [((512, 590), (560, 590))]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_an_edit_under_each_tracker_over_the_default_preset(tracker):
    """At half the preset's rate: at all of it a step moves the nose 3 px at 512, where optical flow gives up."""
    seen = []
    overrides = [f"tracker.impl=tracking/{tracker}", "generator.learning_rate=2e-3"]
    with draggan.open(seed=7, set=overrides) as session:
        result = session.drag(NOSE, max_steps=4, progress=seen.append)
    assert (result.error, result.stopped, result.steps) == ("", "max_steps", 4)
    ways = [progress.handles[1][0] - 512 for progress in seen]
    assert ways[0] == 0
    assert 4 < ways[-1] < 16  # 2 px a step are asked for
    assert min(progress.confidence[1] for progress in seen) > 0.8


def test_trackers_take_turns_in_one_drag(tmp_path):
    """As ``set tracker.impl=...`` does it in the window. A point never jumps, and the session remembers the last."""
    order = ["nearest", "flow", "lucas_kanade", "template", "none", "votes"]
    turns = dict(zip([3, 6, 9, 12, 15, 18], order, strict=True))
    seen, used = [], []

    def take_turns(progress):
        seen.append(progress)
        used.append(session.record.params["tracker"]["impl"])
        if name := turns.pop(progress.drag_steps, None):
            session.set(tracker={"impl": f"tracking/{name}"})

    with draggan.open(seed=7) as session:
        result = session.drag(NOSE, max_steps=20, progress=take_turns)
        assert (result.error, result.steps) == ("", 20)
        assert session.app.refused == []
        assert session.record.params["tracker"] == {
            "impl": "tracking/votes",
            "level": "128",
            "radius": 12.0,
            "around": 12.0,
        }
        session.set(tracker={"impl": "tracking/flow", "window": 30})
        session.save(tmp_path / "edit.draggan")
    assert [name for name, _ in groupby(used)] == [f"tracking/{name}" for name in ["votes", *order]]
    again = [b for a, b in pairwise(seen) if a.step == b.step and not b.stopped]
    assert [progress.drag_steps for progress in again] == [3, 6, 9, 12, 15, 18]
    for before, after in pairwise(seen):
        assert math.dist(before.handles[1], after.handles[1]) <= (0 if before.step == after.step else 12)
    with draggan.open(tmp_path / "edit.draggan") as reopened:
        assert reopened.app.graph.nodes["tracker"].impl.name == "tracking/flow"
        assert reopened.app.graph.nodes["tracker"].params["window"] == 30
