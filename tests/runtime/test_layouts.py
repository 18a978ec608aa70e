"""The same graph in one process, with an engine actor, and spread over actors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from toy import toy_graph

from draggan_runtime.app import App
from draggan_runtime.errors import StartError
from draggan_runtime.execution.deadline import deadline
from draggan_runtime.graph.model import Restart
from draggan_runtime.messages import Goal, LatentRequest
from draggan_runtime.session import pairs

LAYOUTS = ["local", "live", "spread"]
START = np.array([[100.3, 50.7]], dtype=np.float32)


def begin(app: App, target=(130.0, 90.0)) -> None:
    app.post(LatentRequest(session="main", w_plus=START))
    app.post(Goal(session="main", points=pairs([((100.3, 50.7), target)])))
    app.run_until_settled()


def drag(app: App) -> list:
    seen = []
    app.on_progress = seen.append
    app.start_drag()
    app.run_until_settled()
    return seen


def drag_while_dying(app: App, container: str) -> None:
    """A drag in which the process of a container is killed after five steps."""
    from draggan_runtime.execution.ray_host import ray  # not ray first: it reads where to listen when it is imported

    def kill(progress):
        if progress.drag_steps == 5:
            app.on_progress = None
            ray.kill(app._remote.handles[container])

    app.on_progress = kill
    app.start_drag()
    app.run_until_settled()
    assert app.progress.stopped == "failed"
    assert app.record.step >= 5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_drag_arrives_and_reports_every_step(layout):
    with App(toy_graph(layout)) as app:
        begin(app)
        seen = drag(app)
        assert [p.drag_steps for p in seen] == list(range(len(seen)))
        assert seen[-1].stopped == "reached"
        assert all(p.stopped is None for p in seen[:-1])
        assert math.dist(app.record.w_plus[0], (130, 90)) <= 1.0
        assert app.frame.step == app.record.step == len(seen) - 1


def test_every_layout_gives_the_same_latent_bit_for_bit():
    results = []
    for layout in LAYOUTS:
        with App(toy_graph(layout)) as app:
            begin(app)
            results.append((len(drag(app)), app.record.w_plus.tobytes()))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_parameter_changed_while_the_last_picture_is_still_unread_waits_and_counts(layout):
    with App(toy_graph(layout)) as app, deadline(60):
        begin(app)
        app.start_drag()
        while app.progress is None or not app.progress.stopped:
            app.pump(0.05)
        app.change("tracker", {"offset": 50.0})
        app.run_until_settled()
        assert not app.failures
        x, y = app.record.w_plus[0]
        assert drag(app)[0].handles[1] == pytest.approx((x + 50, y))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cancel_ends_the_drag_within_a_step(layout):
    with App(toy_graph(layout, generator={"slow": 0.02})) as app:
        begin(app, target=(400.0, 400.0))
        seen = []

        def stop_at_five(progress):
            seen.append(progress)
            if progress.drag_steps == 5:
                app.cancel()

        app.on_progress = stop_at_five
        app.start_drag()
        app.run_until_settled()
        assert seen[-1].stopped == "cancelled"
        # One item may be in flight when the consumer cancels from outside of the engine.
        assert seen[-1].drag_steps <= (5 if layout == "local" else 7)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_step_that_fails_is_reported_and_the_session_survives(layout):
    with App(toy_graph(layout, tracker={"fail_at": 3})) as app:
        begin(app)
        seen = drag(app)
        last = seen[-1]
        assert last.stopped == "failed"
        assert (last.failure.node, last.failure.impl, last.failure.session) == (
            "tracker",
            "toy:Tracker",
            "main",
        )
        assert last.failure.exception == "ValueError: the toy tracker broke"
        assert app.record.step == 3
        app.change("tracker", {"fail_at": -1})
        assert drag(app)[-1].stopped == "reached"


@pytest.mark.parametrize("layout", ["local", "live"])
def test_a_node_that_cannot_be_configured_fails_the_start_by_name(layout):
    with pytest.raises(StartError, match=r"node 'generator' \(toy:Generator\) did not start: RuntimeError: no weights"):
        App(toy_graph(layout, generator={"broken_configure": "no weights"}))


@pytest.mark.parametrize("layout", ["local", "live"])
def test_a_node_that_hangs_in_configure_fails_the_start_within_the_deadline(layout):
    import torch  # noqa: F401 - which takes longer than the deadline, in the process of the tests

    deadline = 0.5 if layout == "local" else 12.0
    with pytest.raises(StartError, match=r"node 'generator'.*did not (start|finish) within"):
        App(toy_graph(layout, generator={"hang": 60.0}), deadline=deadline)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parameters_change_while_a_drag_runs(layout):
    with App(toy_graph(layout, generator={"slow": 0.02})) as app:
        begin(app, target=(400.0, 400.0))

        def shift_at_three(progress):
            if progress.drag_steps == 3:
                app.change("tracker", {"offset": 50.0})
            if progress.handles[1][0] > app.record.w_plus[0, 0] + 49:
                app.cancel()

        app.on_progress = shift_at_three
        app.start_drag()
        app.run_until_settled()
        assert app.progress.stopped == "cancelled"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_goal_that_changes_is_taken_up_at_a_step_boundary(layout):
    with App(toy_graph(layout, generator={"slow": 0.01})) as app:
        begin(app, target=(400.0, 400.0))

        def turn_back(progress):
            if progress.drag_steps == 5:
                app.post(Goal(session="main", points=pairs([((100.3, 50.7), (110.0, 60.0))])))

        app.on_progress = turn_back
        app.start_drag()
        app.run_until_settled()
        assert app.progress.stopped == "reached"
        assert math.dist(app.record.w_plus[0], (110, 60)) <= 1.0


def test_an_engine_that_is_killed_is_restarted_and_the_session_goes_on():
    graph = toy_graph("live", restart=Restart("on-failure", 2), generator={"slow": 0.02})
    with App(graph) as app:
        begin(app)
        drag_while_dying(app, "engine")
        committed = app.record.w_plus.copy()
        assert drag(app)[-1].stopped == "reached"
        assert not np.array_equal(committed, app.record.w_plus)


def test_intermediate_frames_give_way_but_the_last_picture_always_comes(tmp_path):
    log = tmp_path / "log"
    graph = toy_graph("live", generator={"slow": 0.005}, renderer={"seconds": 0.05}, display={"log": str(log)})
    with App(graph) as app:
        begin(app)
        steps = len(drag(app)) - 1
    frames = [int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("frame")]
    assert frames[-1] == steps
    assert 1 < len(frames) < steps / 2
