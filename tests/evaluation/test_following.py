"""A tracker without a drag says what it says in one."""

import numpy as np
import pytest

import draggan_runtime as draggan
from draggan_runtime.errors import DragganError, UserError
from draggan_runtime.evaluation import methods
from draggan_runtime.evaluation.following import Following
from draggan_runtime.evaluation.sessions import Interrupted, Sessions
from draggan_runtime.graph import load_launch

POINTS = [((512.0, 590.0), (560.0, 590.0)), ((430.0, 700.0), (430.0, 690.0))]


def dragged(overrides, points, steps):
    """The latents of a drag, and where its tracker saw the handles in each."""
    seen = []
    with draggan.open(seed=7, set=overrides) as session:
        session.drag(points, max_steps=steps, progress=seen.append)
    by_step = {progress.drag_steps: progress for progress in seen}
    latents = [np.asarray(by_step[i].w_plus) for i in range(steps + 1)]
    return latents, [list(by_step[i].handles.values()) for i in range(steps + 1)]


@pytest.mark.parametrize(("name", "points", "steps"), [("best", 2, 5), ("nearest", 2, 2), ("lucas_kanade", 1, 1)])
def test_along_the_latents_of_a_drag_points_are_where_the_drag_saw_them(name, points, steps):
    method = methods.known()[name]
    latents, expected = dragged(method.overrides, POINTS[:points], steps)
    with Sessions() as sessions:
        for _ in range(2 if name == "best" else 1):  # and nothing is left of the first time
            handles = sessions.follow(method, latents, [handle for handle, _ in POINTS[:points]])
            found = [list(each.positions.values()) for each in handles]
            # Boxes of other sizes round differently, and the finest search goes by 1/16 px at 512.
            np.testing.assert_allclose(found, expected, atol=0.13)
    assert expected[-1] != expected[0]


STILL = '''
import numpy as np
from draggan_nodes.tracking import Found, Tracker

class Still(Tracker):
    """Gives where points were, a pixel to the right at each step."""

    def find(self, level, points):
        level.sample(points.positions[:, None])
        return Found(points.positions + (1, 0), np.full(len(points.positions), 0.25))

class Broken(Tracker):
    """Fails."""

    def find(self, level, points):
        raise ValueError("no idea")
'''


def test_a_tracker_of_ones_own_is_followed_too(tmp_path):
    (tmp_path / "own.py").write_text(STILL)
    still, broken = methods.parse([f"{n}:tracker.impl={tmp_path}/own.py:{n}" for n in ("Still", "Broken")])
    with draggan.open(seed=7) as session:
        latents = [session.w_plus] * 4
    with Sessions() as sessions:
        handles = sessions.follow(still, latents, [(500, 600), (10, 20)])
        assert handles[-1].positions == {1: (503, 600), 2: (13, 20)}
        assert handles[-1].confidence == {1: 0.25, 2: 0.25}
        with pytest.raises(DragganError, match=r"own\.py.*no idea"):
            sessions.follow(broken, latents, [(500, 600)])


def test_a_walk_is_watched_and_can_be_ended():
    steps = []
    with draggan.open(seed=7) as session:
        latents = [session.w_plus] * 4

    def watch(now):
        steps.append(now.drag_steps)
        return now.drag_steps < 1

    with Sessions(watch=watch) as sessions, pytest.raises(Interrupted):
        sessions.follow(methods.known()["best"], latents, [(500, 600)])
    assert steps == [0, 1]


def test_a_graph_without_a_drag_is_one_line(tmp_path):
    (tmp_path / "bare.yaml").write_text(
        "version: 1\nname: bare\nnodes:\n  - {id: source, impl: inversion/latent, inputs: {request: capture/request}}\n"
        "  - {id: capture, impl: capture/script}\n"
    )
    (tmp_path / "launch.yaml").write_text(
        "version: 1\nname: bare\ngraph: bare.yaml\ncontainers:\n  local: {place: driver, nodes: rest}\n"
    )
    with pytest.raises(UserError, match="has no drag"):
        Following(load_launch(str(tmp_path / "launch.yaml"), []))
