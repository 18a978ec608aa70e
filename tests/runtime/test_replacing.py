"""What a node runs changes while the graph runs: at a step boundary, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import toy
from test_layouts import begin, drag
from test_live import live
from toy import toy_graph

from draggan_runtime.app import App
from draggan_runtime.cluster.blueprint import tuned
from draggan_runtime.errors import UserError


def other(name: str) -> str:
    return f"{Path(toy.__file__).resolve()}:{name}"


def replace_at(app: App, step: int, **change) -> list:
    """Everything that a drag reports in which, after ``step`` steps, a node is changed; 8 steps at most."""
    seen = []

    def change_once(progress):
        seen.append(progress)
        if progress.drag_steps == step and len(seen) == step + 1:
            app.change(**change)
        if progress.drag_steps >= 8:
            app.cancel()

    app.on_progress = change_once
    app.start_drag()
    app.run_until_settled()
    return seen


def shift(app: App, progress) -> float:
    return progress.handles[1][0] - float(progress.w_plus[0, 0])


@pytest.mark.parametrize("layout", ["local", "split"])
def test_in_a_drag_the_new_one_sees_the_step_that_the_old_one_saw_last_and_goes_on(layout):
    with App(toy_graph(layout, tracker={"offset": 1.0}, generator={"slow": 0.05})) as app:
        begin(app, target=(400.0, 400.0))
        seen = replace_at(app, 3, node="tracker", params={"impl": other("Shifted")})
        assert not app.failures
        shifts = [round(shift(app, progress)) for progress in seen]
        first = shifts.index(50)
        assert shifts == [1] * first + [50] * (len(seen) - first)
        assert seen[first].step == seen[first - 1].step  # once more
        assert [p.step for p in seen[first:-1]] == list(range(seen[first].step, seen[-2].step + 1))
        assert app.record.params["tracker"] == {"impl": other("Shifted"), "fail_at": -1}


@pytest.mark.parametrize("layout", ["local", "split"])
def test_one_that_does_not_start_is_said_in_a_line_and_the_old_one_goes_on(layout):
    with App(toy_graph(layout, tracker={"offset": 1.0}, generator={"slow": 0.05})) as app:
        begin(app, target=(400.0, 400.0))
        seen = replace_at(app, 3, node="tracker", params={"impl": other("Stuck")})
        why = f"node 'tracker' ({other('Stuck')}) did not start: RuntimeError: no weights"
        assert app.refused == [why]
        assert {round(shift(app, progress)) for progress in seen} == {1}
        assert app.record.params["tracker"] == {"impl": other("Tracker"), "fail_at": -1, "offset": 1.0}
        with pytest.raises(UserError) as caught:
            app.change("tracker", {"impl": other("Stuck")})
        assert str(caught.value) == why
        assert app.graph.nodes["tracker"].impl.name == "toy:Tracker"
        assert round(shift(app, replace_at(app, 99, node="tracker", params={})[0])) == 1


def test_in_a_drag_elsewhere_the_nodes_here_change_too(tmp_path):
    with App(toy_graph("live", generator={"slow": 0.02})) as app:
        begin(app, target=(400.0, 400.0))
        replace_at(app, 3, node="display", params={"log": str(tmp_path / "log")})
    assert "progress 7" in (tmp_path / "log").read_text()


def test_parameters_that_a_node_refuses_in_a_drag_are_said_and_all_is_as_before():
    with App(toy_graph()) as app:
        begin(app, target=(400.0, 400.0))
        replace_at(app, 3, node="generator", params={"rate": -1.0})
        assert app.refused == ["the rate is below 0"]
        assert app.record.params["generator"]["rate"] == 1.0
        assert app.progress.stopped == "cancelled"
        with pytest.raises(UserError, match="the rate is below 0"):
            app.change("generator", {"rate": -1.0})
        assert app.record.params["generator"]["rate"] == 1.0


def test_between_drags_it_counts_at_once_and_the_old_one_comes_back_with_its_parameters():
    with App(toy_graph(tracker={"offset": 1.0})) as app:
        begin(app, target=(400.0, 400.0))
        app.change("tracker", {"impl": other("Shifted"), "fail_at": 99})
        assert app.graph.notes == (f"tracker.offset is left out: {other('Shifted')} does not have it",)
        assert round(shift(app, replace_at(app, 99, node="tracker", params={})[0])) == 50
        app.change("tracker", {"impl": other("Tracker")})
        assert app.record.params["tracker"] == {"impl": other("Tracker"), "fail_at": 99, "offset": 1.0}
        assert round(shift(app, replace_at(app, 99, node="tracker", params={})[0])) == 1


@pytest.mark.parametrize(
    ("node", "change", "why"),
    [
        ("tracker", {"impl": "tracking/neares"}, "no node is registered as 'tracking/neares'; did you mean"),
        ("tracker", {"impl": other("Shifted"), "offset": 2.0}, "'offset' is not a parameter of"),
        ("tracker", {"impl": other("Motion")}, "required input 'handles' of"),
        ("tracker", {"impl": other("Deaf")}, "input 'goal' is not a port of"),
        ("tracker", {"impl": other("Remembering")}, "Remembering cannot go on from the state of Tracker"),
        ("tracker", {"impl": "capture/script"}, "capture/script watches a device"),
        ("drag", {"impl": other("Shifted")}, "runtime/drag is the runtime's own"),
        ("traker", {"impl": other("Shifted")}, "no node 'traker' in the graph; did you mean 'tracker'?"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line_and_nothing_changes(node, change, why):
    with App(toy_graph()) as app:
        begin(app)
        drag(app)
        before = app.graph
        with pytest.raises(UserError) as caught:
            app.change(node, change)
        assert why in str(caught.value)
        assert "\n" not in str(caught.value)
        assert app.graph == before
        begin(app)
        assert drag(app)[-1].stopped == "reached"


def test_the_live_loop_takes_it_by_set_and_says_what_is_left_out(tmp_path):
    with App(toy_graph(tracker={"offset": 1.0})) as app:
        begin(app, target=(180.0, 90.0))
        said = live(app, tmp_path, f"set tracker.impl={other('Shifted')}", "set tracker.impl=toy", "start")
        assert said[0] == f"tracker.offset is left out: {other('Shifted')} does not have it"
        assert said[1].startswith("tracker.impl=toy: node 'tracker': no node is registered as 'toy'")
        assert said[2].startswith("reached")
        assert round(shift(app, app.progress)) == 50


def test_what_was_refused_in_a_drag_is_said_by_the_live_loop(tmp_path):
    with App(toy_graph()) as app:
        begin(app, target=(400.0, 400.0))
        app.refused.append("no weights")
        assert live(app, tmp_path)[0] == "no weights"


def test_sessions_of_a_cluster_share_their_nodes():
    with pytest.raises(UserError, match="a cluster's sessions share its nodes; start one with --set tracker"):
        tuned(toy_graph(), "s", {"tracker": {"impl": other("Shifted")}})
